# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The IPMI driver against the rack's own BMCs, which know nothing of pyghmi: real RMCP+ on 127.0.0.0/8."""

from __future__ import annotations

import asyncio
import os
import threading
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.tripleo.cloud.plugins.module_utils._bmc import fanout, operations
from ansible_collections.tripleo.cloud.plugins.module_utils._bmc.errors import BmcError, Cause
from ansible_collections.tripleo.cloud.plugins.module_utils._bmc.model import (
    Access,
    Action,
    BootOverride,
    Device,
    Power,
)

from tripleo_cloud.rack import eventlog
from tripleo_cloud.rack.bmc import Bmc

PASSWORD = "geheim-42"
COUNT = 100
NETWORK = BootOverride(Device.NETWORK)


class Machines:
    """The owner of the machines, as the BMC process sees it, without machines."""

    def __init__(self) -> None:
        self.state: dict[str, dict[str, Any]] = {}
        self.logs: dict[str, eventlog.EventLog] = {}
        self.slow_power = 0.0

    def add(self, name: str) -> None:
        self.state[name] = {"on": False, "failure": False, "policy": 0, "restart_cause": 0, "flags": "00" * 5}
        self.logs[name] = eventlog.EventLog()

    async def call(self, operation: str, machine: str, **arguments: Any) -> Any:
        state, log = self.state[machine], self.logs[machine]
        if operation == "describe":
            return dict(state)
        if operation == "event_log":
            return {"records": [record.hex() for record in log.records], "now": log.now(), "erased_at": 0}
        if operation == "set_flags":
            state["flags"] = arguments["flags"]
        elif operation == "power":
            on = arguments["action"] not in ("off", "soft")
            log.add(eventlog.POWER_ON if on else eventlog.POWER_OFF)
            asyncio.get_running_loop().call_later(self.slow_power, state.__setitem__, "on", on)
        return None


@pytest.fixture(scope="module")
def rack() -> Iterator[Machines]:
    machines = Machines()
    loop = asyncio.new_event_loop()
    names = [f"n{number}" for number in range(COUNT)]

    async def listen() -> None:
        for number, name in enumerate(names):
            machines.add(name)
            config = {
                "uuid": str(uuid.uuid5(uuid.NAMESPACE_DNS, name)),
                "username": "admin",
                "password": PASSWORD,
                "address": f"127.77.0.{number + 1}",
                "port": 6623,
                "mac": f"52:54:00:00:00:{number:02x}",
            }
            client: Any = machines
            await Bmc(client, name, config).listen()

    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    asyncio.run_coroutine_threadsafe(listen(), loop).result(30)
    yield machines
    loop.call_soon_threadsafe(loop.stop)
    thread.join()


def drive(operation: Any, tmp_path: Path, count: int = 1, first: int = 0, **changes: Any) -> list[Any]:
    fields = {"username": "admin", "password": PASSWORD, "port": 6623, **changes}
    accesses = [
        Access(node=f"n{number}", address=f"127.77.0.{number + 1}", **fields) for number in range(first, first + count)
    ]
    outcomes = fanout.drive(accesses, operation, name="test", locks=os.fspath(tmp_path / "locks"), timeout=20)
    return list(outcomes.values())


def test_a_whole_rack_is_started_and_stopped_in_one_call(rack: Machines, tmp_path: Path) -> None:
    started = drive(operations.change_power(Power.ON, timeout=20), tmp_path, COUNT)
    assert [outcome.changed for outcome in started] == [True] * COUNT
    again = drive(operations.change_power(Power.ON, timeout=20), tmp_path, COUNT)
    assert [outcome.changed for outcome in again] == [False] * COUNT
    stopped = drive(operations.change_power(Power.OFF, timeout=20), tmp_path, COUNT)
    assert [outcome.changed for outcome in stopped] == [True] * COUNT
    assert not any(state["on"] for state in rack.state.values())


def test_power_is_waited_for(rack: Machines, tmp_path: Path) -> None:
    rack.slow_power = 0.7
    try:
        assert drive(operations.change_power(Power.ON, timeout=20), tmp_path)[0].changed
        assert rack.state["n0"]["on"]
        [failure] = drive(operations.change_power(Power.OFF, timeout=0.1), tmp_path)
        assert failure.cause is Cause.UNCONFIRMED
    finally:
        rack.slow_power = 0.0


@pytest.mark.parametrize(
    ("override", "flags"),
    [
        (NETWORK, "8004000000"),
        (BootOverride(Device.NETWORK, persistent=True), "c004000000"),
        (BootOverride(Device.DISK, persistent=True, uefi=True), "e008000000"),
        (BootOverride(Device.NONE), "0000000000"),
    ],
)
def test_boot_devices_are_set_and_read_back(rack: Machines, tmp_path: Path, override: BootOverride, flags: str) -> None:
    rack.state["n1"]["flags"] = "8014000000"
    [report] = drive(operations.change_boot(override), tmp_path, first=1)
    assert report.changed
    assert rack.state["n1"]["flags"] == flags
    [report] = drive(operations.change_boot(override), tmp_path, first=1)
    assert not report.changed


def test_a_reset_needs_a_running_machine(rack: Machines, tmp_path: Path) -> None:
    rack.state["n2"]["on"] = False
    [failure] = drive(operations.change_power(Action.RESET, timeout=5), tmp_path, first=2)
    assert failure.cause is Cause.REFUSED
    assert drive(operations.change_power(Action.CYCLE, timeout=5), tmp_path, first=2)[0].changed
    assert rack.state["n2"]["on"]
    assert drive(operations.change_power(Action.RESET, timeout=5), tmp_path, first=2)[0].changed


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"password": "falsch"}, "the BMC refuses the password"),
        ({"username": "nobody"}, "the BMC does not know the user"),
    ],
)
def test_a_wrong_login_is_named_and_shows_no_password(
    rack: Machines, tmp_path: Path, changes: dict[str, str], message: str
) -> None:
    [failure] = drive(lambda bmc: bmc.power(), tmp_path, **changes)
    assert isinstance(failure, BmcError)
    assert failure.cause is Cause.CREDENTIALS
    assert str(failure).startswith(f"n0: test: {message}")
    assert not {PASSWORD, "falsch"} & set(str(failure).split())
    # The same BMC with the right login right afterwards: nothing of the failed one is left.
    assert isinstance(drive(lambda bmc: bmc.power(), tmp_path)[0], Power)


def test_sensors_event_log_and_identity(rack: Machines, tmp_path: Path) -> None:
    drive(operations.change_power(Power.OFF, timeout=20), tmp_path, first=3)
    drive(operations.change_power(Power.ON, timeout=20), tmp_path, first=3)

    async def everything(bmc: Any) -> Any:
        return await bmc.sensors(), await bmc.event_log(), await bmc.identify()

    [(sensors, log, identity)] = drive(everything, tmp_path, first=3)
    assert [sensor.unit for sensor in sensors] == ["degrees C"]
    assert 0 < sensors[0].value < 100
    assert log[-1].text == "power off (ended)"
    assert log[-1].time > 1_600_000_000
    assert identity.protocol == "IPMI 2.0"
    assert identity.guid


def test_a_dead_bmc_does_not_hold_up_the_others(rack: Machines, tmp_path: Path) -> None:
    order: list[str] = []
    accesses = [Access("dead", "127.77.1.1", "admin", PASSWORD, 6623)]
    accesses += [Access(f"n{number}", f"127.77.0.{number + 1}", "admin", PASSWORD, 6623) for number in range(20)]
    outcomes = fanout.drive(
        accesses, lambda bmc: bmc.power(), name="test", locks=os.fspath(tmp_path), timeout=20,
        done=lambda node, _outcome: order.append(node),
    )  # fmt: skip
    assert order[-1] == "dead"
    assert outcomes["dead"].cause is Cause.SILENT  # type: ignore[union-attr]
    assert all(isinstance(outcome, Power) for node, outcome in outcomes.items() if node != "dead")


def test_a_restarted_bmc_is_reached_again(rack: Machines, tmp_path: Path) -> None:
    async def restart(bmc: Any) -> None:
        await bmc.reset()

    assert drive(restart, tmp_path, first=4) == [None]
    # While it is silent the login is tried again; it comes back within the driver's patience.
    assert isinstance(drive(lambda bmc: bmc.power(), tmp_path, first=4)[0], Power)
