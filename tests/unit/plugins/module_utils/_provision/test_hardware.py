# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A machine is registered once, whatever it is called."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.tripleo.cloud.plugins.module_utils._errors import TripleoError
from ansible_collections.tripleo.cloud.plugins.module_utils._provision.hardware import register
from ansible_collections.tripleo.cloud.plugins.module_utils._state.store import State


def machine(mac: int, bmc: int) -> dict[str, Any]:
    return {"macs": [f"52:54:00:00:00:{mac:02}"], "bmc": {"address": f"192.0.2.{bmc}", "port": 623}}


def registered(state_dir: str, check: bool = False, **hardware: dict[str, Any]) -> dict[str, Any]:
    return register(state_dir, {"hardware": hardware, "bmc": {}}, check_bmc=False, timeout=1, check=check)


@pytest.fixture
def state_dir(tmp_path: Path) -> str:
    state_dir = os.fspath(tmp_path)
    assert registered(state_dir, n1=machine(1, 1), n2=machine(2, 2), n3=machine(3, 3))["changed"]
    server = {"name": "s", "node": "n1", "action": "create"}
    with State.open(state_dir) as state:
        state.store_plan({"stack": "cloud", "serial": 1, "hash": "h", "servers": {"s": server}}, 0, [])
    return state_dir


@pytest.mark.parametrize(
    "hardware",
    [
        {"other": machine(1, 9)},
        {"other": machine(9, 1)},
        {"n1": machine(2, 2), "n2": machine(1, 1)},
    ],
    ids=["same MAC address", "same BMC", "names swapped"],
)
@pytest.mark.parametrize("check", [True, False])
def test_a_reserved_machine_is_not_free_under_another_name(
    state_dir: str, hardware: dict[str, Any], check: bool
) -> None:
    with pytest.raises(TripleoError, match="is that of node n1, which stack cloud has reserved"):
        registered(state_dir, check, **hardware)
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
