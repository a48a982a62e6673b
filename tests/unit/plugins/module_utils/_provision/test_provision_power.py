# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Power of a plan's servers: who is started, what is recorded, what is told."""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.tripleo.cloud.plugins.module_utils._bmc.errors import BmcError, Cause
from ansible_collections.tripleo.cloud.plugins.module_utils._bmc.lock import lock_file
from ansible_collections.tripleo.cloud.plugins.module_utils._bmc.model import Access, Action, Command, Power
from ansible_collections.tripleo.cloud.plugins.module_utils._provision import power
from ansible_collections.tripleo.cloud.plugins.module_utils._provision.errors import ProvisionError
from ansible_collections.tripleo.cloud.plugins.module_utils._provision.targets import (
    Target,
    inline_nodes,
    locks,
)

PLAN = {"stack": "cloud", "hash": "ab" * 32}


class Machine:
    def __init__(self, power_now: str, fails: bool = False) -> None:
        self.now = Power(power_now)
        self.fails = fails
        self.sent: list[Command] = []

    async def power(self) -> Power:
        if self.fails:
            raise BmcError("the BMC refuses the password", Cause.CREDENTIALS)
        return self.now

    async def send(self, command: Command) -> None:
        self.sent.append(command)
        self.now = Power.OFF if command in (Command.OFF, Command.SOFT) else Power.ON


class Stages:
    def __init__(self) -> None:
        self.set: list[tuple[str, str]] = []

    def set_stage(self, _stack: str, name: str, stage: str, **_options: Any) -> None:
        self.set.append((name, stage))


def run(
    monkeypatch: pytest.MonkeyPatch,
    wanted: Any,
    stage: str,
    machine: Machine,
    *,
    check: bool = False,
    restart: bool = False,
    age: float = 3600.0,
) -> tuple[dict[str, Any], Stages, list[str]]:
    def drive(accesses: Any, operation: Any, *, name: str, done: Any = None, **_options: Any) -> Any:
        outcomes = {}
        for access in accesses:
            try:
                outcomes[access.node] = asyncio.run(operation(machine))
            except BmcError as error:
                outcomes[access.node] = error.at(access.node, name)
            if done:
                done(access.node, outcomes[access.node])
        return outcomes

    monkeypatch.setattr(power, "drive", drive)
    request = power.Request(wanted, 1, check, "/locks", restart)
    chosen = power.due(wanted, [Target("server-1", "n1", stage, {}, updated=time.time() - age)])
    accesses = [Access(target.node, "10.0.0.1", "u", "p") for target in chosen]
    stages, told = Stages(), list[str]()
    state: Any = stages
    result = power.power_servers(request, chosen, accesses, state, PLAN, lambda target: told.append(target.server))
    return result, stages, told


@pytest.mark.parametrize(
    ("wanted", "stage", "before", "sent", "recorded"),
    [
        # Nothing has been started under this plan: what runs there is of another time.
        (Power.ON, "reserved", "off", [Command.ON], "powered"),
        (Power.ON, "reserved", "on", [Command.CYCLE], "powered"),
        (Power.ON, "", "on", [Command.CYCLE], "powered"),
        (Power.ON, "failed", "on", [Command.CYCLE], "powered"),
        # On its way: left alone while it runs.
        (Power.ON, "powered", "on", [], ""),
        (Power.ON, "writing", "on", [], ""),
        (Power.ON, "writing", "off", [Command.ON], "powered"),
        (Power.ON, "written", "off", [Command.ON], "written"),
        (Power.ON, "booted", "off", [], ""),
        (Power.ON, "healthy", "on", [], ""),
        (Power.OFF, "healthy", "on", [Command.OFF], ""),
        (Power.OFF, "reserved", "off", [], ""),
        (Action.CYCLE, "writing", "on", [Command.CYCLE], "powered"),
        (Action.CYCLE, "healthy", "on", [Command.CYCLE], ""),
        (Action.SOFT, "booted", "on", [Command.SOFT], ""),
    ],
)
def test_who_is_started(
    monkeypatch: pytest.MonkeyPatch, wanted: Any, stage: str, before: str, sent: list[Command], recorded: str
) -> None:
    machine = Machine(before)
    result, stages, told = run(monkeypatch, wanted, stage, machine)
    assert machine.sent == sent
    assert result["changed"] == bool(sent)
    assert stages.set == ([("server-1", recorded)] if recorded else [])
    assert told == (["server-1"] if recorded == "powered" else [])

    idle = Machine(before)
    predicted, stages, _told = run(monkeypatch, wanted, stage, idle, check=True)
    assert predicted == result
    assert not idle.sent
    assert not stages.set


def test_a_server_that_failed_is_started_anew() -> None:
    """What failed at a stage that was proven keeps the stage; its machine may hang, so that it is not left as it is."""
    assert Target("server-1", "n1", "written", {}).started
    assert not Target("server-1", "n1", "written", {}, "no answer for 60 s").started


@pytest.mark.parametrize(
    ("stage", "before", "sent"),
    [
        ("powered", "on", [Command.CYCLE]),
        ("writing", "off", [Command.ON]),
        ("written", "on", [Command.CYCLE]),
        ("failed", "on", [Command.CYCLE]),
        # It booted after it was last listened for: it is not cut off.
        ("booted", "on", []),
        ("healthy", "off", []),
    ],
)
def test_who_is_started_again(monkeypatch: pytest.MonkeyPatch, stage: str, before: str, sent: list[Command]) -> None:
    machine = Machine(before)
    run(monkeypatch, Power.ON, stage, machine, restart=True)
    assert machine.sent == sent


@pytest.mark.parametrize(("before", "sent"), [("on", []), ("off", [Command.ON])])
def test_a_first_boot_is_not_cut_off(monkeypatch: pytest.MonkeyPatch, before: str, sent: list[Command]) -> None:
    machine = Machine(before)
    run(monkeypatch, Power.ON, "written", machine, restart=True, age=60.0)
    assert machine.sent == sent
    other = Machine("on")
    run(monkeypatch, Power.ON, "writing", other, restart=True, age=60.0)
    assert other.sent == [Command.CYCLE]


def test_a_failed_node_is_told_and_not_recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    result, stages, _told = run(monkeypatch, Power.ON, "reserved", Machine("off", fails=True))
    assert result["failed_nodes"][0]["operation"] == "power on"
    assert result["failed_nodes"][0]["cause"] == "the BMC refuses the password"
    assert not result["changed"]
    assert not stages.set


def test_the_diff_shows_each_changed_node(monkeypatch: pytest.MonkeyPatch) -> None:
    result, _stages, _told = run(monkeypatch, Power.ON, "reserved", Machine("on"))
    assert result["diff"] == {"before": "n1: on\n", "after": "n1: on (power cycle)\n"}
    assert result["power"] == {"n1": {"before": "on", "after": "on"}}


def test_one_node_by_its_own_options() -> None:
    one = {"address": "10.0.0.1", "username": "u", "password": "p", "port": 6230, "nodes": None, "name": None}
    assert inline_nodes(one) == [Access("10.0.0.1", "10.0.0.1", "u", "p", 6230)]


def test_nodes_given_twice_are_refused() -> None:
    node = {"name": "n1", "address": "10.0.0.1", "username": "u", "password": "p"}
    with pytest.raises(ProvisionError, match="n1 is given twice"):
        inline_nodes({"nodes": [node, {**node, "address": "10.0.0.2"}]})


def test_bmc_locks_without_a_state_folder_lie_in_a_folder_of_ones_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", os.fspath(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
    assert locks(os.fspath(tmp_path)) == os.fspath(tmp_path / "locks")
    absent, own = os.fspath(tmp_path / "absent"), tmp_path / f"tripleo-cloud-{os.geteuid()}"
    assert locks(absent) == os.fspath(own / "locks") == locks(absent)
    assert own.stat().st_mode & 0o777 == 0o700
    own.chmod(0o770)
    with pytest.raises(ProvisionError, match="is not a folder of this user alone"):
        locks(absent)
    own.rmdir()
    own.symlink_to(tmp_path)
    with pytest.raises(ProvisionError, match="is not a folder of this user alone"):
        locks(absent)
    monkeypatch.setenv("XDG_RUNTIME_DIR", os.fspath(tmp_path))
    assert locks(absent) == os.fspath(tmp_path / "tripleo-cloud" / "locks")


def test_a_preview_makes_no_lock_file_in_the_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    state_dir, own = tmp_path / "state", tmp_path / "own"
    monkeypatch.setenv("XDG_RUNTIME_DIR", os.fspath(own))
    own.mkdir()
    (state_dir / "locks").mkdir(parents=True)
    known, new = (
        Access.parse(n, {"address": a, "username": "u", "password": "p"})
        for n, a in (("n1", "192.0.2.1"), ("n2", "192.0.2.2"))
    )
    lock_file(os.fspath(state_dir / "locks"), known).touch()
    elsewhere = os.fspath(own / "tripleo-cloud" / "locks")
    assert locks(os.fspath(state_dir), [known]) == os.fspath(state_dir / "locks")
    assert locks(os.fspath(state_dir), [known, new]) == elsewhere
