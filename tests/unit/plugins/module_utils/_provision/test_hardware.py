# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A machine is registered once, whatever it is called."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.tripleo.cloud.plugins.module_utils._bmc.errors import BmcError, Cause
from ansible_collections.tripleo.cloud.plugins.module_utils._errors import TripleoError
from ansible_collections.tripleo.cloud.plugins.module_utils._provision import hardware
from ansible_collections.tripleo.cloud.plugins.module_utils._provision.hardware import maintain, register
from ansible_collections.tripleo.cloud.plugins.module_utils._state.store import State


def machine(mac: int, bmc: int) -> dict[str, Any]:
    return {"macs": [f"52:54:00:00:00:{mac:02}"], "bmc": {"address": f"192.0.2.{bmc}", "port": 623}}


def registered(state_dir: str, check: bool = False, **machines: dict[str, Any]) -> dict[str, Any]:
    return register(state_dir, {"hardware": machines, "bmc": {}}, check_bmc=False, timeout=1, check=check)


@pytest.fixture
def bmcs(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What each BMC says, an answer or an error, by the node's name."""
    says: dict[str, Any] = {}
    monkeypatch.setattr(hardware, "drive", lambda nodes, *_rest, **_more: {one.node: says[one.node] for one in nodes})
    return says


def checked(state_dir: str, check: bool = False, **machines: dict[str, Any]) -> dict[str, Any]:
    access = {"address": "192.0.2.1", "username": "u", "password": "p"}
    private = {"hardware": machines, "bmc": dict.fromkeys(machines, access)}
    return register(state_dir, private, check_bmc=True, timeout=1, check=check)


def names_aside(state_dir: str) -> dict[str, list[str]]:
    with State.open(state_dir, read_only=True) as state:
        return {name: [it.cause for it in marks] for name, marks in state.aside().items()}


@pytest.fixture
def state_dir(tmp_path: Path) -> str:
    state_dir = os.fspath(tmp_path)
    assert registered(state_dir, n1=machine(1, 1), n2=machine(2, 2), n3=machine(3, 3))["changed"]
    server = {"name": "s", "node": "n1", "action": "create"}
    with State.open(state_dir) as state:
        state.store_plan({"stack": "cloud", "serial": 1, "hash": "h", "servers": {"s": server}}, 0, [])
    return state_dir


@pytest.mark.parametrize(
    "machines",
    [
        {"other": machine(1, 9)},
        {"other": machine(9, 1)},
        {"n1": machine(2, 2), "n2": machine(1, 1)},
    ],
    ids=["same MAC address", "same BMC", "names swapped"],
)
@pytest.mark.parametrize("check", [True, False])
def test_a_reserved_machine_is_not_free_under_another_name(
    state_dir: str, machines: dict[str, Any], check: bool
) -> None:
    with pytest.raises(TripleoError, match="is that of node n1, which stack cloud has reserved"):
        registered(state_dir, check, **machines)
    with State.open(state_dir, read_only=True) as state:
        assert set(state.nodes()) == {"n1", "n2", "n3"}


def test_a_free_machine_can_be_renamed(state_dir: str) -> None:
    result = registered(state_dir, n1=machine(1, 1), new=machine(2, 2))
    assert (result["changed_nodes"], set(result["before"]), set(result["after"])) == (["n2", "new"], {"n2"}, {"new"})
    with State.open(state_dir, read_only=True) as state:
        assert set(state.nodes()) == {"n1", "n3", "new"}
    assert not registered(state_dir, n1=machine(1, 1), new=machine(2, 2))["changed"]


def test_reserved_machines_may_get_other_bmc_addresses(state_dir: str) -> None:
    result = registered(state_dir, n1=machine(1, 2), n2=machine(2, 1))
    assert result["changed_nodes"] == ["n1", "n2"]


GOOD = {"power": "off", "firmware": "1.0", "manufacturer": 0}
FILE = {"n1": machine(1, 1), "n2": machine(2, 2), "n3": machine(3, 3)}


def silent(node: str, cause: Cause = Cause.SILENT) -> BmcError:
    return BmcError("no answer from 192.0.2.9", cause, node=node, operation="check the BMC")


def test_a_dead_bmc_of_a_registered_node_sets_it_aside_until_it_answers(state_dir: str, bmcs: dict[str, Any]) -> None:
    bmcs.update(n1=silent("n1"), n2=GOOD, n3=GOOD, n4=GOOD)
    machines = {**FILE, "n2": machine(2, 20), "n4": machine(4, 4)}
    preview = checked(state_dir, True, **machines)
    assert names_aside(state_dir) == {}
    result = checked(state_dir, **machines)
    assert result == preview
    assert (result["failed_nodes"], result["changed_nodes"]) == ([], ["n1", "n2", "n4"])
    assert result["warnings"] == [
        "n1: check the BMC: no answer from 192.0.2.9. Next: Check bmc.address and bmc.port of this node, and that the"
        " BMC has power and is reachable from here. Until its BMC answers when nodes are registered, no plan chooses"
        " node n1."
    ]
    assert result["after"]["n1"]["set_aside"] == "check the BMC: no answer from 192.0.2.9"
    assert names_aside(state_dir) == {"n1": ["check the BMC: no answer from 192.0.2.9"]}
    with State.open(state_dir, read_only=True) as state:
        assert state.nodes()["n2"].hardware["bmc"]["address"] == "192.0.2.20"
        assert state.nodes()["n4"].bmc_report == GOOD
    again = checked(state_dir, **machines)
    assert (again["changed"], len(again["warnings"])) == (False, 1)
    maintain(state_dir, ["n1"], True, "by hand", check=False)
    bmcs["n1"] = GOOD
    assert checked(state_dir, True, **machines)["changed_nodes"] == ["n1"]
    assert checked(state_dir, **machines)["before"]["n1"]["set_aside"].startswith("check the BMC")
    assert names_aside(state_dir) == {"n1": ["by hand"]}
    assert not checked(state_dir, **machines)["changed"]


def test_new_nodes_that_fail_are_all_named_and_the_others_are_stored(state_dir: str, bmcs: dict[str, Any]) -> None:
    bmcs.update(n1=GOOD, n3=silent("n3", Cause.CREDENTIALS), n4=silent("n4"), n5=GOOD, renamed=silent("renamed"))
    machines = {"n1": machine(1, 1), "n3": machine(3, 33), "n4": machine(4, 4), "n5": machine(5, 5)}
    result = checked(state_dir, **machines, renamed=machine(2, 2))
    assert [entry["node"] for entry in result["failed_nodes"]] == ["n3", "n4", "renamed"]
    assert (result["changed_nodes"], result["set_aside"]) == (["n5"], {})
    with State.open(state_dir, read_only=True) as state:
        assert set(state.nodes()) == {"n1", "n2", "n3", "n5"}, "what fails takes no old name away"
        assert state.nodes()["n3"].hardware == machine(3, 3)


def test_maintenance(state_dir: str) -> None:
    with State.open(state_dir) as state:
        state.set_stage("cloud", "s", "failed", plan="h", cause="no disk")
    assert maintain(state_dir, ["n1", "n2"], True, "new memory", check=True)["changed_nodes"] == ["n1", "n2"]
    assert set(names_aside(state_dir)) == {"n1"}
    done = maintain(state_dir, ["n1", "n2"], True, "new memory", check=False)
    assert [mark["by"] for mark in done["after"]["n1"]] == ["maintenance", "deployment"]
    assert not maintain(state_dir, ["n1", "n2"], True, "new memory", check=False)["changed"]
    assert maintain(state_dir, ["n2"], True, "another reason", check=False)["changed"]
    with pytest.raises(TripleoError, match=r"no node n8, n9 is registered.*name one of: n1, n2, n3"):
        maintain(state_dir, ["n1", "n9", "n8"], False, "", check=False)
    cleared = maintain(state_dir, ["n1", "n2", "n3"], False, "", check=False)
    assert cleared["changed_nodes"] == ["n1", "n2"]
    assert names_aside(state_dir) == {}
    assert not maintain(state_dir, ["n1"], False, "", check=False)["changed"]
