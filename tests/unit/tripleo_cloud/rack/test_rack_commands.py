# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The BMC's commands with a machine that only remembers; ipmitool itself asks in tests/system/test_rack.py."""

from __future__ import annotations

import asyncio
import struct
from typing import Any

import pytest

from tripleo_cloud.rack.commands import Code, Commands
from tripleo_cloud.rack.errors import RackError
from tripleo_cloud.rack.eventlog import POWER_OFF, POWER_ON, EventLog
from tripleo_cloud.rack.rmcp import SUITES, Endpoint, Incoming, Request, Session
from tripleo_cloud.rack.sol import Sol


class Machine:
    """Stands for the owner of the machines."""

    def __init__(self) -> None:
        self.on = False
        self.flags = "0000000000"
        self.log = EventLog()
        self.done: list[str] = []
        self.gone = False

    async def call(self, operation: str, **arguments: Any) -> Any:
        if self.gone:
            raise RackError("gone")
        if operation == "describe":
            return {"on": self.on, "flags": self.flags, "failure": "", "restart_cause": 1}
        if operation == "power":
            self.done.append(arguments["action"])
            self.on = {"on": True, "off": False}.get(arguments["action"], self.on)
        elif operation == "set_flags":
            self.flags = arguments["flags"]
        elif operation == "event_log":
            return {"records": [r.hex() for r in self.log.records], "now": 5, "erased_at": self.log.erased_at}
        elif operation == "clear_event_log":
            self.log.clear()
        return None


class Line:
    """A serial line where nothing happens."""

    def listen(self) -> None:
        pass

    def read(self, most: int) -> bytes:
        return b""

    def write(self, data: bytes) -> bool:
        return False

    def close(self) -> None:
        pass


class Bmc:
    def __init__(self) -> None:
        self.machine = Machine()
        self.endpoint = Endpoint("admin", "secret", bytes(16), lambda: 0.0)
        self.sol = Sol(self.endpoint, Line(), lambda datagram, address: None)
        self.resets = 0
        self.commands = Commands(
            self.machine,
            self.endpoint,
            self.sol,
            name="n1",
            uuid="00000000-0000-0000-0000-000000000001",
            address="10.1.2.201",
            port=623,
            mac="56:54:00:00:00:01",
            on_reset=self._reset,
        )
        self.session = Session(1, 2, SUITES[0], 4, 0.0, open=True, privilege=4, cipher_key=bytes(16))

    def _reset(self) -> None:
        self.resets += 1

    def __call__(self, netfn: int, command: int, data: str = "", *, session: bool = True) -> bytes:
        request = Request(netfn, command, bytes.fromhex(data), 0, 4, 0x81, 0x20)

        async def ask() -> bytes:
            answer = await self.commands.execute(Incoming(request, self.session if session else None))
            await asyncio.sleep(0)
            return answer

        return asyncio.run(ask())


@pytest.fixture
def bmc() -> Bmc:
    return Bmc()


@pytest.mark.parametrize(
    ("netfn", "command", "data", "code"),
    [
        (0x00, 0x02, "", Code.LENGTH_INVALID),
        (0x00, 0x02, "0f", Code.INVALID_FIELD),
        (0x00, 0x02, "02", Code.NOT_IN_THIS_STATE),
        (0x00, 0x02, "03", Code.NOT_IN_THIS_STATE),
        (0x00, 0x02, "05", Code.NOT_IN_THIS_STATE),
        (0x00, 0x06, "02", Code.INVALID_FIELD),
        (0x00, 0x08, "05c0", Code.LENGTH_INVALID),
        (0x00, 0x08, "6000", Code.PARAMETER_NOT_SUPPORTED),
        (0x00, 0x09, "600000", Code.PARAMETER_NOT_SUPPORTED),
        (0x04, 0x2D, "09", Code.NOT_PRESENT),
        (0x06, 0x38, "0504", Code.INVALID_FIELD),
        (0x06, 0x3B, "05", Code.PRIVILEGE_EXCEEDS_LIMIT),
        (0x06, 0x3C, "ffffffff", Code.INVALID_SESSION),
        (0x06, 0x44, "0109", Code.OUT_OF_RANGE),
        (0x06, 0x50, "000000000000", Code.INVALID_COMMAND),
        (0x0A, 0x11, "000000", Code.LENGTH_INVALID),
        (0x0A, 0x11, "00ffff10", Code.OUT_OF_RANGE),
        (0x0A, 0x23, "0000070000ff", Code.NOT_PRESENT),
        (0x0A, 0x43, "0000000000ff", Code.NOT_PRESENT),
        (0x0A, 0x47, "0900434c52aa", Code.RESERVATION_CANCELLED),
        (0x0A, 0x47, "0000585858aa", Code.INVALID_FIELD),
        (0x0C, 0x02, "01630000", Code.PARAMETER_NOT_SUPPORTED),
        (0x2C, 0x01, "dc", Code.INVALID_COMMAND),
    ],
)
def test_refusals(bmc: Bmc, netfn: int, command: int, data: str, code: int) -> None:
    assert bmc(netfn, command, data) == bytes([code])
    assert bmc.machine.done == []


@pytest.mark.parametrize(
    ("netfn", "command", "data", "needed"),
    [
        (0x00, 0x01, "", 2),
        (0x00, 0x02, "01", 3),
        (0x00, 0x08, "05c004000000", 3),
        (0x06, 0x02, "", 4),
        (0x06, 0x38, "0e04", 0),
    ],
)
def test_privileges(bmc: Bmc, netfn: int, command: int, data: str, needed: int) -> None:
    assert (bmc(netfn, command, data, session=False)[0] == Code.OK) == (needed == 0)
    for privilege in (2, 3, 4):
        bmc.session.privilege = privilege
        expected = Code.OK if privilege >= needed else Code.INSUFFICIENT_PRIVILEGE
        assert bmc(netfn, command, data)[0] == expected


def test_power_and_flags_reach_the_machine(bmc: Bmc) -> None:
    for number in ("01", "02", "03", "04", "05", "00"):
        assert bmc(0x00, 0x02, number) == b"\0"
    assert bmc.machine.done == ["on", "cycle", "reset", "interrupt", "soft", "off"]
    assert bmc(0x00, 0x08, "05e004000000") == b"\0"
    assert bmc.machine.flags == "e004000000"
    assert bmc(0x00, 0x09, "050000") == bytes.fromhex("000105e004000000")


def test_owner_that_does_not_answer_is_told_as_busy(bmc: Bmc) -> None:
    bmc.machine.gone = True
    assert bmc(0x00, 0x01) == bytes([Code.NODE_BUSY])


def test_mc_reset_is_answered_first(bmc: Bmc) -> None:
    assert bmc(0x06, 0x02) == b"\0"
    assert bmc.resets == 1


def test_event_log_is_walked_and_cleared(bmc: Bmc) -> None:
    bmc.machine.log.add(POWER_ON)
    bmc.machine.log.add(POWER_OFF)
    first = bmc(0x0A, 0x43, "0000000000ff")
    following = struct.unpack_from("<H", first, 1)[0]
    assert first[3:] == bmc.machine.log.records[0]
    second = bmc(0x0A, 0x43, "0000" + struct.pack("<H", following).hex() + "00ff")
    assert second[1:3] == b"\xff\xff"
    assert bmc(0x0A, 0x43, "0000ffff0304")[3:] == bmc.machine.log.records[1][3:7]
    reservation = bmc(0x0A, 0x42)[1:]
    assert bmc(0x0A, 0x47, reservation.hex() + "434c52aa") == b"\0\x01"
    assert len(bmc.machine.log.records) == 1


def test_fru_is_read_in_parts(bmc: Bmc) -> None:
    size = struct.unpack_from("<H", bmc(0x0A, 0x10, "00"), 1)[0]
    read = b""
    while len(read) < size:
        answer = bmc(0x0A, 0x11, "00" + struct.pack("<H", len(read)).hex() + "10")
        assert answer[1] == len(answer) - 2
        read += answer[2:]
    assert read == bmc.commands.fru


def test_temperature_follows_the_power(bmc: Bmc) -> None:
    cold = bmc(0x04, 0x2D, "01")[1]
    bmc.machine.on = True
    assert bmc(0x04, 0x2D, "01")[1] > cold


def test_the_console_has_one_owner(bmc: Bmc) -> None:
    bmc.endpoint.sessions[1] = bmc.session
    assert bmc(0x06, 0x4A, "01") == b"\x00\x01\x00\x00"
    assert bmc(0x06, 0x49, "010100000000") == b"\x80"  # not active
    assert bmc(0x06, 0x48, "010140000000") == b"\x84"  # not without encryption
    assert bmc(0x06, 0x48, "0101c0000000") == bytes.fromhex("00 00000000 c800 c800 6f02 ffff")
    assert bmc(0x06, 0x48, "0101c0000000") == b"\x80"  # active already
    assert bmc(0x06, 0x4A, "01") == b"\x00\x01\x01\x00"
    assert bmc(0x06, 0x4B, "0101") == bytes.fromhex("00 01000000 01 00000000000000")
    assert bmc(0x06, 0x49, "010100000000") == b"\x00"
    assert bmc(0x06, 0x4B, "0101") == bytes(13)
    assert bmc(0x06, 0x48, "0101c0000000")[0] == Code.OK


@pytest.mark.parametrize(("data", "code"), [("0201c0000000", 0xCC), ("0102c0000000", 0xCC), ("01", 0xC7)])
def test_other_payloads_and_instances_are_refused(bmc: Bmc, data: str, code: int) -> None:
    assert bmc(0x06, 0x48, data) == bytes([code])


def test_a_user_may_not_take_the_console(bmc: Bmc) -> None:
    bmc.session.privilege = 2
    assert bmc(0x06, 0x48, "0101c0000000") == bytes([Code.INSUFFICIENT_PRIVILEGE])


def test_the_console_s_parameters(bmc: Bmc) -> None:
    assert bmc(0x0C, 0x22, "01010000") == b"\x00\x11\x01"
    assert bmc(0x0C, 0x22, "01080000") == b"\x00\x11\x6f\x02"
    assert bmc(0x0C, 0x22, "01090000") == bytes([Code.PARAMETER_NOT_SUPPORTED])
    assert bmc(0x06, 0x4E, "0e")[:3] == b"\x00\x03\x00"
    assert bmc(0x06, 0x4F, "0e01") == b"\x00\x10"
