# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a plan is stored over: never a run that is going on, never news that it was not made from."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.tripleo.cloud.plugins.module_utils._errors import TripleoError
from ansible_collections.tripleo.cloud.plugins.module_utils._plan.plan import Planned
from ansible_collections.tripleo.cloud.plugins.module_utils._provision import stacks
from ansible_collections.tripleo.cloud.plugins.module_utils._run import lease
from ansible_collections.tripleo.cloud.plugins.module_utils._state.records import AsideKind
from ansible_collections.tripleo.cloud.plugins.module_utils._state.secrets import SecretStore
from ansible_collections.tripleo.cloud.plugins.module_utils._state.stages import Stage
from ansible_collections.tripleo.cloud.plugins.module_utils._state.store import State


def planned(serial: int, **changes: Any) -> Planned:
    server = {"name": "s1", "node": "n1", "action": "create"}
    plan = {"stack": "cloud", "serial": serial, "hash": f"hash-{serial}", "servers": {"s1.Server": server}}
    fields = {
        "is_new": True,
        "to_do": ("s1",),
        "documents": {},
        "given": {},
        "to_make": {"%{secret:A#1}": (8, "digits")},
    }
    return Planned(**{"plan": plan, "addresses": (), **fields, **changes})


@pytest.fixture
def state_dir(tmp_path: Path) -> str:
    with State.open(os.fspath(tmp_path)) as state:
        state.register({"n1": {"macs": ["52:54:00:00:00:01"]}})
        stacks._store(state, planned(1), stacks._before(state, "cloud"))
    return os.fspath(tmp_path)


def store(state: State, before: Any) -> None:
    values = SecretStore(state.state_dir, "cloud").values()
    try:
        stacks._store(state, planned(2, given={"%{given:B#00}": "other"}), before)
    except TripleoError:
        assert SecretStore(state.state_dir, "cloud").values() == values
        raise


def test_a_plan_replaces_the_one_that_it_was_made_from(state_dir: str) -> None:
    with State.open(state_dir) as state:
        store(state, stacks._before(state, "cloud"))
        assert state.plan("cloud")["serial"] == 2
    assert set(SecretStore(state_dir, "cloud").values()) == {"%{secret:A#1}", "%{given:B#00}"}


def test_no_plan_is_stored_while_a_run_holds_the_stack(state_dir: str) -> None:
    lease.acquire(state_dir, "cloud", "hash-1", "alice@host", "run-1", True)
    with State.open(state_dir) as state:
        with pytest.raises(lease.LeaseHeld, match="alice@host"):
            store(state, stacks._before(state, "cloud"))
        lease.release(state_dir, "cloud", "run-1")
        store(state, stacks._before(state, "cloud"))


def test_a_server_that_booted_meanwhile_is_not_planned_over(state_dir: str) -> None:
    with State.open(state_dir) as state:
        before = stacks._before(state, "cloud")
        state.set_stage("cloud", "s1", Stage.BOOTED, plan="hash-1")
        with pytest.raises(TripleoError, match="was changed by another run"):
            store(state, before)
        assert state.plan("cloud")["serial"] == 1


@pytest.mark.parametrize(
    ("kind", "stage", "held"),
    [
        # A plan is carried on with nodes that failed under it, but an operator takes them away from it.
        (AsideKind.DEPLOYMENT, "failed", True),
        (AsideKind.REGISTRATION, "reserved", True),
        (AsideKind.MAINTENANCE, "failed", False),
        (AsideKind.MAINTENANCE, "booted", True),
    ],
)
def test_which_nodes_that_are_set_aside_a_stack_still_holds(
    state_dir: str, kind: AsideKind, stage: str, held: bool
) -> None:
    with State.open(state_dir) as state:
        state.set_stage("cloud", "s1", stage, plan="hash-1")
        state.set_aside({"n1": "a cause"}, kind)
        before, other = stacks._before(state, "cloud"), stacks._before(state, "other")
    assert before.held == ({"s1.Server": "n1"} if held else {})
    assert "a cause" in before.aside["n1"] and before.unavailable == {}
    assert other.unavailable == {"n1": "is reserved by stack cloud"}


def test_a_lost_secret_is_named(state_dir: str) -> None:
    os.unlink(SecretStore(state_dir, "cloud").path)
    with State.open(state_dir) as state, pytest.raises(TripleoError, match=r"lost the value of %{secret:A#1}"):
        stacks._store(state, planned(1, is_new=False), stacks._before(state, "cloud"))


def test_a_lost_document_or_given_secret_is_written_again(state_dir: str) -> None:
    again = planned(1, is_new=False, documents={"sha256:aa": {"a": 1}}, given={"%{given:B#00}": "value"})
    with State.open(state_dir) as state:
        before = stacks._before(state, "cloud")
        assert stacks._store(state, again, before)
        document = os.path.join(state_dir, "documents", "aa.json")
        assert Path(document).read_text() == '{"a":1}'
        assert os.stat(document).st_mode & 0o777 == 0o600
        assert SecretStore(state_dir, "cloud").values()["%{given:B#00}"] == "value"
        assert not stacks._store(state, again, before)


def test_a_damaged_document_is_written_again(state_dir: str) -> None:
    again = planned(1, is_new=False, documents={"sha256:aa": {"a": 1}})
    path = Path(state_dir, "documents", "aa.json")
    with State.open(state_dir) as state:
        stacks._store(state, again, stacks._before(state, "cloud"))
        path.write_text('{"a":2}')
        assert stacks._store(state, again, stacks._before(state, "cloud"))
    assert path.read_text() == '{"a":1}'
