# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The IPMI driver against the rack's own BMCs, which know nothing of pyghmi: real RMCP+ on 127.0.0.0/8."""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
import threading
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Callable, ClassVar

import pytest
from ansible_collections.tripleo.cloud.plugins.module_utils._bmc import console, fanout, operations
from ansible_collections.tripleo.cloud.plugins.module_utils._bmc.errors import BmcError, Cause
from ansible_collections.tripleo.cloud.plugins.module_utils._bmc.ipmi_codec import refusal
from ansible_collections.tripleo.cloud.plugins.module_utils._bmc.ipmi_driver import IpmiDriver
from ansible_collections.tripleo.cloud.plugins.module_utils._bmc.model import (
    Access,
    Action,
    BootOverride,
    Device,
    Power,
)

from tripleo_cloud.rack import eventlog
from tripleo_cloud.rack.bmc import Bmc
from tripleo_cloud.rack.qemu import CONSOLE_LOG
from tripleo_cloud.rack.sol import SerialLine

PASSWORD = "geheim-42"
COUNT = 100
# Several processes run tests at a time, also of several checkouts.
SUBNET = f"127.77.{os.getpid() % 250}"
NETWORK = BootOverride(Device.NETWORK)


def address_of(number: int) -> str:
    """Of a machine's BMC."""
    return f"{SUBNET}.{number + 1}"


class Machines:
    """The owner of the machines, as the BMC process sees it, without machines."""

    folder: Path

    def __init__(self) -> None:
        self.state: dict[str, dict[str, Any]] = {}
        self.logs: dict[str, eventlog.EventLog] = {}
        self.slow_power = 0.0

    def add(self, name: str) -> None:
        self.state[name] = {"on": False, "failure": False, "policy": 0, "restart_cause": 0, "flags": "00" * 5}
        self.logs[name] = eventlog.EventLog()

    def prints(self, name: str, text: bytes) -> None:
        """A machine prints on its serial line."""
        self.folder.joinpath(name).mkdir(exist_ok=True)
        with self.folder.joinpath(name, CONSOLE_LOG).open("ab") as log:
            log.write(text)

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
def rack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machines]:
    machines = Machines()
    folder = machines.folder = tmp_path_factory.mktemp("consoles")
    loop = asyncio.new_event_loop()
    names = [f"n{number}" for number in range(COUNT)]

    async def listen() -> None:
        for number, name in enumerate(names):
            machines.add(name)
            config = {
                "uuid": str(uuid.uuid5(uuid.NAMESPACE_DNS, name)),
                "username": "admin",
                "password": PASSWORD,
                "address": address_of(number),
                "port": 6623,
                "mac": f"52:54:00:00:00:{number:02x}",
            }
            client: Any = machines
            await Bmc(client, name, config, SerialLine(folder / name)).listen()

    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    asyncio.run_coroutine_threadsafe(listen(), loop).result(30)
    yield machines
    loop.call_soon_threadsafe(loop.stop)
    thread.join()


def drive(operation: Any, tmp_path: Path, count: int = 1, first: int = 0, **changes: Any) -> list[Any]:
    fields = {"username": "admin", "password": PASSWORD, "port": 6623, **changes}
    accesses = [
        Access(node=f"n{number}", address=address_of(number), **fields) for number in range(first, first + count)
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
    accesses = [Access("dead", f"{SUBNET}.250", "admin", PASSWORD, 6623)]
    accesses += [Access(f"n{number}", address_of(number), "admin", PASSWORD, 6623) for number in range(20)]
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


def access(number: int) -> Access:
    return Access(f"n{number}", address_of(number), "admin", PASSWORD, port=6623)


async def ipmitool(number: int, *words: str) -> tuple[int, str]:
    """Another client, in a process of its own: exit status and all that it says."""
    account = ["-H", address_of(number), "-p", "6623", "-U", "admin", "-E"]
    process = await asyncio.create_subprocess_exec(
        *("ipmitool", "-I", "lanplus", "-C", "17", *account, *words),
        env={**os.environ, "IPMI_PASSWORD": PASSWORD},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    said, _nothing = await process.communicate()
    return process.returncode or 0, said.decode()


async def until(condition: Callable[[], bool]) -> None:
    for _count in range(400):
        if condition():
            return
        await asyncio.sleep(0.05)
    raise AssertionError("it did not come to pass")


def test_consoles_of_many_machines_in_one_process(rack: Machines) -> None:
    count = 20
    shown = {number: bytearray() for number in range(count)}
    text = {number: b"".join(b"%d: line %d\r\n" % (number, line) for line in range(300)) for number in range(count)}

    async def work() -> None:
        async with contextlib.AsyncExitStack() as stack:
            driver = await stack.enter_async_context(IpmiDriver())
            for number in range(count):
                rack.prints(f"n{number}", b"before it was opened\r\n")
                await stack.enter_async_context(driver.console(access(number), shown[number].extend))
            for number in range(count):
                rack.prints(f"n{number}", text[number])
            await until(lambda: all(len(shown[number]) >= len(text[number]) for number in range(count)))

    asyncio.run(work())
    assert {number: bytes(got) for number, got in shown.items()} == text


def test_other_sessions_work_while_a_console_is_open_and_may_not_have_it(rack: Machines) -> None:
    shown = bytearray()

    async def work() -> None:
        async with IpmiDriver() as driver:
            async with driver.console(access(30), shown.extend):
                assert (await ipmitool(30, "power", "on"))[0] == 0
                await until(lambda: bool(rack.state["n30"]["on"]))
                status, said = await ipmitool(30, "sol", "activate")
                assert (status != 0, "payload already active" in said) == (True, True)
                rack.prints("n30", b"still here")
                await until(lambda: bytes(shown) == b"still here")
            # It was given back.
            assert "already de-activated" in (await ipmitool(30, "sol", "deactivate"))[1]

    asyncio.run(work())


def test_a_console_that_is_taken_away_is_noticed(rack: Machines) -> None:
    async def work() -> None:
        async with IpmiDriver() as driver, driver.console(access(31), bytes) as console:
            lost = asyncio.ensure_future(console.lost())
            assert (await ipmitool(31, "sol", "deactivate"))[0] == 0
            await asyncio.wait_for(lost, 5)

    asyncio.run(work())


def test_who_has_the_console_is_asked_too(rack: Machines, monkeypatch: pytest.MonkeyPatch) -> None:
    """A BMC need not say that it has given the console to somebody else."""
    monkeypatch.setattr(console, "ALIVE", 0.2)
    monkeypatch.setattr(console, "_DEACTIVATED", 0)

    async def work() -> None:
        async with IpmiDriver() as driver, driver.console(access(32), bytes) as open_console:
            lost = asyncio.ensure_future(open_console.lost())
            await asyncio.sleep(0.6)
            assert not lost.done()
            await ipmitool(32, "sol", "deactivate")
            await asyncio.wait_for(lost, 5)

    asyncio.run(work())


@pytest.mark.parametrize(
    ("code", "cause", "message"),
    [
        (0x80, Cause.BUSY, "another client"),
        (0x81, Cause.REFUSED, "disabled"),
        (0xC1, Cause.REFUSED, "no serial-over-LAN"),
        (0xCC, Cause.REFUSED, "invalid"),
    ],
)
def test_refused_consoles_have_a_cause(code: int, cause: Cause, message: str) -> None:
    class Channel:
        number = 1
        handlers: ClassVar[list[Any]] = []

        async def request(self, netfn: int, command: int, data: bytes = b"", *, answered: bool = True) -> bytes:
            raise refusal(code, "request")

        def on_sol(self, handler: Any) -> None:
            self.handlers.append(handler)

        def send_sol(self, payload: bytes) -> None: ...

    with pytest.raises(BmcError, match=message) as refused:
        asyncio.run(console.SolConsole(Channel(), 623, bytes).activate())
    assert refused.value.cause is cause
    assert Channel.handlers[-1] is None


def test_packets_that_come_again_are_shown_once() -> None:
    sent: list[bytes] = []
    shown = bytearray()

    class Channel:
        number = 1
        handler: Any = None

        async def request(self, netfn: int, command: int, data: bytes = b"", *, answered: bool = True) -> bytes:
            return bytes(8) + b"\x02\x6f" + bytes(2)

        def on_sol(self, handler: Any) -> None:
            self.handler = handler

        def send_sol(self, payload: bytes) -> None:
            sent.append(payload)

    channel = Channel()
    asyncio.run(console.SolConsole(channel, 623, shown.extend).activate())
    for packet in (b"\1\0\0\0ab", b"\1\0\0\0ab", b"\1\0\0\0abc", b"\2\0\0\0abc", b"\0\1\1\0", b"\3", b"\3\0\0\0"):
        channel.handler(bytearray(packet))
    assert bytes(shown) == b"abcabc"
    assert sent == [b"\0\1\2\0", b"\0\1\2\0", b"\0\1\3\0", b"\0\2\3\0", b"\0\3\0\0"]
