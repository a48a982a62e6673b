# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The fan-out and the operations over drivers that misbehave in every way that is told of real BMCs."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import fcntl
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.tripleo.cloud.plugins.module_utils._bmc import fanout, lock, operations
from ansible_collections.tripleo.cloud.plugins.module_utils._bmc.errors import BmcError, Cause
from ansible_collections.tripleo.cloud.plugins.module_utils._bmc.model import (
    Access,
    Action,
    BootOverride,
    Command,
    Device,
    Power,
)
from ansible_collections.tripleo.cloud.plugins.module_utils._errors import TripleoError

NOTHING = BootOverride(Device.NONE)


@dataclasses.dataclass
class Machine:
    """A BMC in memory. stuck: takes power commands and does nothing. forgets: drops the persistent bit."""

    power_now: Power = Power.OFF
    override: BootOverride = NOTHING
    stuck: bool = False
    forgets: bool = False
    refuses: str = ""
    hangs: bool = False
    sent: list[Command] = dataclasses.field(default_factory=list)

    async def power(self) -> Power:
        if self.hangs:
            await asyncio.sleep(3600)
        return self.power_now

    async def send(self, command: Command) -> None:
        self.sent.append(command)
        if not self.stuck:
            self.power_now = Power.OFF if command in (Command.OFF, Command.SOFT) else Power.ON

    async def boot_override(self) -> BootOverride:
        return self.override

    async def set_boot_override(self, wanted: BootOverride) -> None:
        self.override = dataclasses.replace(wanted, persistent=wanted.persistent and not self.forgets)


class Rack:
    """A driver whose BMCs are machines in memory; counts what is open at once."""

    def __init__(self, machines: dict[str, Machine]) -> None:
        self.machines = machines
        self.open = self.most = 0

    async def __aenter__(self) -> Rack:
        return self

    async def __aexit__(self, *exception: Any) -> None:
        assert self.open == 0

    @contextlib.asynccontextmanager
    async def session(self, access: Access) -> AsyncIterator[Machine]:
        machine = self.machines[access.node]
        if machine.refuses:
            raise BmcError(machine.refuses, Cause.CREDENTIALS)
        self.open += 1
        self.most = max(self.most, self.open)
        await asyncio.sleep(0)
        try:
            yield machine
        finally:
            self.open -= 1


def drive(machines: dict[str, Machine], operation: Any, tmp_path: Path, **options: Any) -> dict[str, Any]:
    rack = Rack(machines)
    accesses = [Access(node, f"10.0.{n // 250}.{n % 250 + 1}", "u", "p") for n, node in enumerate(machines)]
    options = {"name": "test", "locks": os.fspath(tmp_path / "locks"), "timeout": 5, **options}
    outcomes = fanout.drive(accesses, operation, drivers={"ipmi": lambda: rack}, **options)
    assert list(outcomes) == list(machines)
    machines_open = options.get("in_flight", fanout.IN_FLIGHT)
    assert rack.most <= machines_open
    return outcomes


def test_power_on_is_done_once_and_confirmed(tmp_path: Path) -> None:
    machines = {"n1": Machine(), "n2": Machine(Power.ON)}
    first = drive(machines, operations.change_power(Power.ON, timeout=5), tmp_path)
    assert [first[node].changed for node in machines] == [True, False]
    second = drive(machines, operations.change_power(Power.ON, timeout=5), tmp_path)
    assert [second[node].changed for node in machines] == [False, False]
    assert machines["n1"].sent == [Command.ON]
    assert first["n1"].as_result() == {"before": "off", "after": "on", "changed": True}


def test_check_mode_sends_nothing_and_says_the_same(tmp_path: Path) -> None:
    machine = Machine()
    power = drive({"n1": machine}, operations.change_power(Action.CYCLE, timeout=5, check=True), tmp_path)["n1"]
    assert (power.changed, power.command, power.after) == (True, Command.ON, Power.ON)
    network = BootOverride(Device.NETWORK)
    boot = drive({"n1": machine}, operations.change_boot(network, check=True), tmp_path)["n1"]
    assert boot.as_result() == {"before": "none", "after": "network next", "changed": True}
    assert machine == Machine()


def test_a_power_that_never_comes_is_an_error(tmp_path: Path) -> None:
    outcome = drive({"n1": Machine(stuck=True)}, operations.change_power(Power.ON, timeout=0.3), tmp_path)["n1"]
    assert outcome.cause is Cause.UNCONFIRMED
    assert "n1: test: the machine did not turn on within 0.3 s" in str(outcome)


def test_the_boot_device_is_read_back(tmp_path: Path) -> None:
    wanted = BootOverride(Device.NETWORK, persistent=True)
    machines = {"good": Machine(), "old": Machine(forgets=True)}
    outcomes = drive(machines, operations.change_boot(wanted), tmp_path)
    assert outcomes["good"].changed
    assert "reads back network next" in str(outcomes["old"])
    assert not drive({"good": machines["good"]}, operations.change_boot(wanted), tmp_path)["good"].changed


def test_one_bad_bmc_stops_no_other(tmp_path: Path) -> None:
    machines = {"n1": Machine(), "n2": Machine(refuses="the BMC refuses the password"), "n3": Machine()}
    told: list[str] = []
    outcomes = drive(
        machines, operations.change_power(Power.ON, timeout=5), tmp_path, done=lambda node, _outcome: told.append(node)
    )
    assert outcomes["n2"].as_failure() == {
        "node": "n2",
        "operation": "test",
        "cause": "the BMC refuses the password",
        "next_step": Cause.CREDENTIALS.next_step,
    }
    assert machines["n1"].power_now is machines["n3"].power_now is Power.ON
    assert sorted(told) == ["n1", "n2", "n3"]


def test_a_hanging_bmc_has_a_deadline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fanout, "LOGIN", 0.1)
    machines = {"n1": Machine(hangs=True), "n2": Machine()}
    outcomes = drive(machines, lambda bmc: bmc.power(), tmp_path, timeout=0.1)
    assert outcomes["n1"].cause is Cause.SILENT
    assert outcomes["n2"] is Power.OFF


def test_thousands_at_once_are_bounded(tmp_path: Path) -> None:
    machines = {f"n{number}": Machine() for number in range(2000)}
    outcomes = drive(machines, operations.change_power(Power.ON, timeout=5), tmp_path, in_flight=64)
    assert all(outcome.changed for outcome in outcomes.values())


@pytest.mark.parametrize("in_flight", [1, 64])
def test_after_the_loss_of_the_lease_no_further_node_is_touched(tmp_path: Path, in_flight: int) -> None:
    machines = {f"n{number}": Machine() for number in range(200)}
    ended: list[str] = []

    def alive() -> None:
        if len(ended) >= 10:
            raise TripleoError("the lease is lost")

    with pytest.raises(TripleoError, match="the lease is lost"):
        drive(
            machines,
            operations.change_power(Power.ON, timeout=5),
            tmp_path,
            in_flight=in_flight,
            done=lambda node, _outcome: ended.append(node),
            alive=alive,
        )
    assert 10 <= sum(bool(machine.sent) for machine in machines.values()) <= 10 + in_flight


def test_a_lost_lease_is_seen_while_all_bmcs_are_silent(tmp_path: Path) -> None:
    calls: list[None] = []

    def alive() -> None:
        calls.append(None)
        if len(calls) > 2:
            raise TripleoError("the lease is lost")

    with pytest.raises(TripleoError, match="the lease is lost"):
        drive({"n1": Machine(hangs=True)}, lambda bmc: bmc.power(), tmp_path, timeout=60, alive=alive)


def test_a_bmc_that_another_process_uses_is_waited_for_then_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fanout, "LOGIN", 0.2)
    path = lock.lock_file(os.fspath(tmp_path / "locks"), Access("n1", "10.0.0.1", "u", "p"))
    path.parent.mkdir()
    with path.open("w") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        outcome = drive({"n1": Machine()}, lambda bmc: bmc.power(), tmp_path, timeout=0.1)["n1"]
    assert outcome.cause is Cause.BUSY
    assert str(path) in str(outcome)
    assert drive({"n1": Machine()}, lambda bmc: bmc.power(), tmp_path)["n1"] is Power.OFF


def test_an_unknown_driver_is_named(tmp_path: Path) -> None:
    access = Access("n1", "10.0.0.1", "u", "p", driver="snmp")
    outcomes = fanout.drive(
        [access], lambda bmc: bmc.power(), name="test", locks=os.fspath(tmp_path), timeout=1, drivers={}
    )
    assert "no driver 'snmp'" in str(outcomes["n1"])
