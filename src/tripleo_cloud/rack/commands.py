# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The IPMI commands that a machine's BMC knows."""

from __future__ import annotations

import asyncio
import ipaddress
import struct
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

from tripleo_cloud.rack import records
from tripleo_cloud.rack.errors import RackError
from tripleo_cloud.rack.rmcp import ADMINISTRATOR, SUITES, Endpoint, Incoming, Session
from tripleo_cloud.rack.sol import CHANNEL, LARGEST_DATA, Sol, sol_parameters

_CURRENT_CHANNEL = 0x0E
_ACCOUNT = 2
_CALLBACK, _USER, _OPERATOR = 1, 2, 3
_MOST_ACCOUNTS = 2


class Code:
    """Completion codes."""

    OK = 0x00
    PARAMETER_NOT_SUPPORTED = 0x80
    PAYLOAD_ALREADY = 0x80  # active, or not active, whichever was asked for
    PAYLOAD_NEEDS_ENCRYPTION = 0x84
    PRIVILEGE_EXCEEDS_LIMIT = 0x81
    INVALID_SESSION = 0x87
    NODE_BUSY = 0xC0
    INVALID_COMMAND = 0xC1
    RESERVATION_CANCELLED = 0xC5
    LENGTH_INVALID = 0xC7
    OUT_OF_RANGE = 0xC9
    NOT_PRESENT = 0xCB
    INVALID_FIELD = 0xCC
    INSUFFICIENT_PRIVILEGE = 0xD4
    NOT_IN_THIS_STATE = 0xD5


class Refused(Exception):
    """A command that is refused with a completion code."""

    def __init__(self, code: int) -> None:
        super().__init__(f"completion code {code:#04x}")
        self.code = code


class MachineControl(Protocol):
    """What the commands need of the machine's owner."""

    async def call(self, operation: str, **arguments: Any) -> Any:
        """Carry an operation of the control socket out on this machine. Raises RackError."""


Handler = Callable[["Commands", bytes, "Session | None"], Awaitable[bytes]]
_TABLE: dict[tuple[int, int], tuple[int, Handler]] = {}


def _command(netfn: int, number: int, privilege: int = _USER) -> Callable[[Handler], Handler]:
    """Enter a handler; privilege 0: without a session too."""

    def enter(handler: Handler) -> Handler:
        _TABLE[netfn, number] = (privilege, handler)
        return handler

    return enter


class Commands:
    """The commands of one BMC. on_reset is called after `mc reset` was answered."""

    def __init__(
        self,
        machine: MachineControl,
        endpoint: Endpoint,
        sol: Sol,
        *,
        name: str,
        uuid: str,
        address: str,
        port: int,
        mac: str,
        on_reset: Callable[[], None],
    ) -> None:
        self.machine = machine
        self.endpoint = endpoint
        self.sol = sol
        self.port = port
        self.address = ipaddress.IPv4Address(address)
        self.mac = bytes.fromhex(mac.replace(":", ""))
        self.fru = records.fru(name, uuid)
        self.on_reset = on_reset
        self.boot_options: dict[int, bytes] = {}
        self.reservation = 0

    async def execute(self, incoming: Incoming) -> bytes:
        """Carry a command out; the completion code and the answer's data."""
        request, session = incoming.request, incoming.session
        entry = _TABLE.get((request.netfn, request.command))
        if entry is None or request.lun:
            return bytes([Code.INVALID_COMMAND])
        privilege, handler = entry
        if privilege and (session is None or session.privilege < privilege):
            return bytes([Code.INSUFFICIENT_PRIVILEGE])
        try:
            return bytes([Code.OK]) + await handler(self, request.data, session)
        except Refused as refusal:
            return bytes([refusal.code])
        except (IndexError, struct.error):
            return bytes([Code.LENGTH_INVALID])
        except RackError:
            return bytes([Code.NODE_BUSY])

    async def is_on(self) -> bool:
        """Ask the owner for the power state."""
        return bool((await self.machine.call("describe"))["on"])

    # Chassis

    @_command(0x00, 0x00)
    async def chassis_capabilities(self, data: bytes, session: Session | None) -> bytes:
        return bytes([0x00, 0x20, 0x20, 0x20, 0x20])

    @_command(0x00, 0x01)
    async def chassis_status(self, data: bytes, session: Session | None) -> bytes:
        state = await self.machine.call("describe")
        fault = 0x08 if state["failure"] else 0
        return bytes([fault | bool(state["on"]), fault, 0x40, 0x00])

    @_command(0x00, 0x02, _OPERATOR)
    async def chassis_control(self, data: bytes, session: Session | None) -> bytes:
        actions = {0: "off", 1: "on", 2: "cycle", 3: "reset", 4: "interrupt", 5: "soft"}
        action = actions.get(data[0] & 0x0F)
        if action is None:
            raise Refused(Code.INVALID_FIELD)
        if action not in ("on", "off") and not await self.is_on():
            raise Refused(Code.NOT_IN_THIS_STATE)
        await self.machine.call("power", action=action)
        return b""

    @_command(0x00, 0x04, _OPERATOR)
    async def chassis_identify(self, data: bytes, session: Session | None) -> bytes:
        return b""

    @_command(0x00, 0x06, _OPERATOR)
    async def set_power_policy(self, data: bytes, session: Session | None) -> bytes:
        # After a power cut machines stay off; 3 asks which policies there are.
        if data[0] & 7 not in (0, 3):
            raise Refused(Code.INVALID_FIELD)
        return b"\x01"

    @_command(0x00, 0x07)
    async def restart_cause(self, data: bytes, session: Session | None) -> bytes:
        return bytes([(await self.machine.call("describe"))["restart_cause"], CHANNEL])

    @_command(0x00, 0x08, _OPERATOR)
    async def set_boot_option(self, data: bytes, session: Session | None) -> bytes:
        number, value = data[0] & 0x7F, data[1:]
        if number > 7:
            raise Refused(Code.PARAMETER_NOT_SUPPORTED)
        if number == 5:
            if len(value) != 5:
                raise Refused(Code.LENGTH_INVALID)
            await self.machine.call("set_flags", flags=value.hex())
        elif len(value) > 20:
            raise Refused(Code.LENGTH_INVALID)
        else:
            self.boot_options[number] = value
        return b""

    @_command(0x00, 0x09, _OPERATOR)
    async def get_boot_option(self, data: bytes, session: Session | None) -> bytes:
        number = data[0] & 0x7F
        if number > 7:
            raise Refused(Code.PARAMETER_NOT_SUPPORTED)
        if number == 5:
            value = bytes.fromhex((await self.machine.call("describe"))["flags"])
        else:
            value = self.boot_options.get(number, bytes({4: 2, 6: 9}.get(number, 1)))
        return bytes([0x01, number]) + value

    # Sensor

    @_command(0x04, 0x2D)
    async def sensor_reading(self, data: bytes, session: Session | None) -> bytes:
        self._check_sensor(data[0])
        return records.reading(await self.is_on())

    @_command(0x04, 0x27)
    async def sensor_thresholds(self, data: bytes, session: Session | None) -> bytes:
        self._check_sensor(data[0])
        return records.thresholds()

    @_command(0x04, 0x25)
    async def sensor_hysteresis(self, data: bytes, session: Session | None) -> bytes:
        self._check_sensor(data[0])
        return bytes([1, 1])

    @_command(0x04, 0x29)
    async def sensor_event_enable(self, data: bytes, session: Session | None) -> bytes:
        self._check_sensor(data[0])
        return bytes([0xC0, 0, 0, 0, 0])

    @_command(0x04, 0x2F)
    async def sensor_type(self, data: bytes, session: Session | None) -> bytes:
        self._check_sensor(data[0])
        return bytes([0x01, 0x01])

    @staticmethod
    def _check_sensor(number: int) -> None:
        if number != records.SENSOR:
            raise Refused(Code.NOT_PRESENT)

    # Application

    @_command(0x06, 0x01)
    async def device_id(self, data: bytes, session: Session | None) -> bytes:
        # Revision 1.0, IPMI 2.0; sensors, SDR repository, SEL, FRU inventory and chassis device.
        return bytes([0x20, 0x01, 0x01, 0x00, 0x02, 0x8F]) + bytes(3) + bytes([0x01, 0x00])

    @_command(0x06, 0x02, ADMINISTRATOR)
    @_command(0x06, 0x03, ADMINISTRATOR)
    async def reset(self, data: bytes, session: Session | None) -> bytes:
        asyncio.get_running_loop().call_soon(self.on_reset)
        return b""

    @_command(0x06, 0x04)
    async def self_test(self, data: bytes, session: Session | None) -> bytes:
        return bytes([0x55, 0x00])

    @_command(0x06, 0x08, 0)
    @_command(0x06, 0x37, 0)
    async def guid(self, data: bytes, session: Session | None) -> bytes:
        return self.endpoint.guid

    @_command(0x06, 0x38, 0)
    async def authentication_capabilities(self, data: bytes, session: Session | None) -> bytes:
        self._check_channel(data[0])
        if not 1 <= data[1] & 0x0F <= ADMINISTRATOR:
            raise Refused(Code.INVALID_FIELD)
        # No IPMI 1.5 authentication; named users only; IPMI 2.0 connections.
        return bytes([CHANNEL, 0x80, 0x04, 0x02, 0, 0, 0, 0])

    @_command(0x06, 0x3B)
    async def session_privilege(self, data: bytes, session: Session | None) -> bytes:
        assert session is not None
        wanted = data[0] & 0x0F
        if wanted > session.highest or wanted == _CALLBACK:
            raise Refused(Code.PRIVILEGE_EXCEEDS_LIMIT)
        session.privilege = wanted or session.privilege
        return bytes([session.privilege])

    @_command(0x06, 0x3C)
    async def close_session(self, data: bytes, session: Session | None) -> bytes:
        if not self.endpoint.close(struct.unpack_from("<I", data)[0]):
            raise Refused(Code.INVALID_SESSION)
        return b""

    @_command(0x06, 0x3D)
    async def session_info(self, data: bytes, session: Session | None) -> bytes:
        assert session is not None
        count = sum(other.open for other in self.endpoint.sessions.values())
        return bytes([1, 16, count, _ACCOUNT, session.privilege, 0x10 | CHANNEL])

    @_command(0x06, 0x41)
    async def channel_access(self, data: bytes, session: Session | None) -> bytes:
        self._check_channel(data[0])
        return bytes([0x22, ADMINISTRATOR])

    @_command(0x06, 0x42)
    async def channel_info(self, data: bytes, session: Session | None) -> bytes:
        self._check_channel(data[0])
        # 802.3 LAN, IPMB-1.0, multi-session; vendor: IPMI forum.
        return bytes([CHANNEL, 0x04, 0x01, 0x80 | len(self.endpoint.sessions) & 0x3F, 0xF2, 0x1B, 0, 0, 0])

    @_command(0x06, 0x44, _OPERATOR)
    async def user_access(self, data: bytes, session: Session | None) -> bytes:
        self._check_channel(data[0])
        number = self._account(data[1])
        # Enabled with administrator's rights; accounts that do not exist have no access.
        access = 0x30 | ADMINISTRATOR if number == _ACCOUNT else 0x0F
        return bytes([_MOST_ACCOUNTS, 0x40 | 1, 0, access])

    @_command(0x06, 0x46, _OPERATOR)
    async def user_name(self, data: bytes, session: Session | None) -> bytes:
        name = self.endpoint.username if self._account(data[0]) == _ACCOUNT else b""
        return name.ljust(16, b"\0")[:16]

    # Payloads: serial-over-LAN, with one instance

    @_command(0x06, 0x48, _OPERATOR)
    async def activate_payload(self, data: bytes, session: Session | None) -> bytes:
        assert session is not None
        self._check_sol(data)
        if self.sol.session() is not None:
            raise Refused(Code.PAYLOAD_ALREADY)
        if not data[2] & 0x80:
            raise Refused(Code.PAYLOAD_NEEDS_ENCRYPTION)
        self.sol.activate(session)
        return struct.pack("<4xHHHH", LARGEST_DATA, LARGEST_DATA, self.port, 0xFFFF)

    @_command(0x06, 0x49, _OPERATOR)
    async def deactivate_payload(self, data: bytes, session: Session | None) -> bytes:
        self._check_sol(data)
        if self.sol.session() is None:
            raise Refused(Code.PAYLOAD_ALREADY)
        self.sol.deactivate()
        return b""

    @_command(0x06, 0x4A)
    async def payload_status(self, data: bytes, session: Session | None) -> bytes:
        self._check_sol(data, instance=False)
        return bytes([1, self.sol.session() is not None, 0])

    @_command(0x06, 0x4B)
    async def payload_instance(self, data: bytes, session: Session | None) -> bytes:
        self._check_sol(data)
        owner = self.sol.session()
        return struct.pack("<IB7x", owner.number if owner else 0, 1 if owner else 0)

    @_command(0x06, 0x4D)
    async def user_payloads(self, data: bytes, session: Session | None) -> bytes:
        self._check_channel(data[0])
        return bytes([0x02 if self._account(data[1]) == _ACCOUNT else 0, 0, 0, 0])

    @_command(0x06, 0x4E)
    async def channel_payloads(self, data: bytes, session: Session | None) -> bytes:
        self._check_channel(data[0])
        # IPMI messages and serial-over-LAN; the six packets that open a session.
        return bytes([0x03, 0, 0x3F, 0, 0, 0, 0, 0])

    @_command(0x06, 0x4F)
    async def payload_version(self, data: bytes, session: Session | None) -> bytes:
        self._check_channel(data[0])
        if data[1] > 1:
            raise Refused(Code.PARAMETER_NOT_SUPPORTED)
        return b"\x10"

    @staticmethod
    def _check_sol(data: bytes, *, instance: bool = True) -> None:
        if data[0] & 0x3F != 1 or (instance and data[1] & 0x0F != 1):
            raise Refused(Code.INVALID_FIELD)

    @_command(0x06, 0x54, 0)
    async def cipher_suites(self, data: bytes, session: Session | None) -> bytes:
        self._check_channel(data[0])
        listed = b"".join(
            bytes([0xC0, suite.number, suite.authentication, 0x40 | suite.integrity, 0x81])
            for suite in sorted(SUITES, key=lambda suite: suite.number)
        )
        start = 16 * (data[2] & 0x3F)
        return bytes([CHANNEL]) + listed[start : start + 16]

    @staticmethod
    def _check_channel(number: int) -> None:
        if number & 0x0F not in (CHANNEL, _CURRENT_CHANNEL):
            raise Refused(Code.INVALID_FIELD)

    @staticmethod
    def _account(number: int) -> int:
        if not 1 <= number & 0x3F <= _MOST_ACCOUNTS:
            raise Refused(Code.OUT_OF_RANGE)
        return number & 0x3F

    # Storage: FRU inventory, sensor data records, event log

    @_command(0x0A, 0x10)
    async def fru_info(self, data: bytes, session: Session | None) -> bytes:
        if data[0]:
            raise Refused(Code.NOT_PRESENT)
        return struct.pack("<HB", len(self.fru), 0)

    @_command(0x0A, 0x11)
    async def read_fru(self, data: bytes, session: Session | None) -> bytes:
        number, offset, count = struct.unpack_from("<BHB", data)
        if number:
            raise Refused(Code.NOT_PRESENT)
        if offset >= len(self.fru):
            raise Refused(Code.OUT_OF_RANGE)
        part = self.fru[offset : offset + count]
        return bytes([len(part)]) + part

    @_command(0x0A, 0x20)
    async def sdr_info(self, data: bytes, session: Session | None) -> bytes:
        return struct.pack("<BHHIIB", 0x51, 1, 0, 0, 0, 0x02)

    @_command(0x04, 0x20)
    async def device_sdr_info(self, data: bytes, session: Session | None) -> bytes:
        return bytes([1, 0x01])

    @_command(0x0A, 0x22)
    @_command(0x04, 0x22)
    @_command(0x0A, 0x42)
    async def reserve(self, data: bytes, session: Session | None) -> bytes:
        self.reservation = self.reservation % 0xFFFF + 1
        return struct.pack("<H", self.reservation)

    @_command(0x0A, 0x23)
    @_command(0x04, 0x21)
    async def get_sdr(self, data: bytes, session: Session | None) -> bytes:
        _, number, offset, count = struct.unpack_from("<HHBB", data)
        if number not in (0, 1, 0xFFFF):
            raise Refused(Code.NOT_PRESENT)
        record = records.temperature_record()
        if offset >= len(record):
            raise Refused(Code.OUT_OF_RANGE)
        return b"\xff\xff" + record[offset : offset + count]

    @_command(0x0A, 0x40)
    async def sel_info(self, data: bytes, session: Session | None) -> bytes:
        log = await self.machine.call("event_log")
        entries = log["records"]
        free = min(0xFFFE, 16 * (512 - len(entries)))
        added = struct.unpack_from("<I", bytes.fromhex(entries[-1]), 3)[0] if entries else 0xFFFFFFFF
        return struct.pack("<BHHIIB", 0x51, len(entries), free, added, log["erased_at"] or 0xFFFFFFFF, 0x02)

    @_command(0x0A, 0x43)
    async def get_sel_entry(self, data: bytes, session: Session | None) -> bytes:
        _, number, offset, count = struct.unpack_from("<HHBB", data)
        entries = [bytes.fromhex(record) for record in (await self.machine.call("event_log"))["records"]]
        numbers = [struct.unpack_from("<H", entry)[0] for entry in entries]
        if not entries:
            raise Refused(Code.NOT_PRESENT)
        place = {0x0000: 0, 0xFFFF: len(entries) - 1}.get(number)
        if place is None:
            if number not in numbers:
                raise Refused(Code.NOT_PRESENT)
            place = numbers.index(number)
        following = numbers[place + 1] if place + 1 < len(numbers) else 0xFFFF
        part = entries[place][offset:] if count == 0xFF else entries[place][offset : offset + count]
        return struct.pack("<H", following) + part

    @_command(0x0A, 0x47, _OPERATOR)
    async def clear_sel(self, data: bytes, session: Session | None) -> bytes:
        reservation, mark, action = struct.unpack_from("<H3sB", data)
        if mark != b"CLR" or action not in (0x00, 0xAA):
            raise Refused(Code.INVALID_FIELD)
        if reservation != self.reservation:
            raise Refused(Code.RESERVATION_CANCELLED)
        if action == 0xAA:
            await self.machine.call("clear_event_log")
        return b"\x01"

    @_command(0x0A, 0x48)
    async def get_sel_time(self, data: bytes, session: Session | None) -> bytes:
        return struct.pack("<I", (await self.machine.call("event_log"))["now"] & 0xFFFFFFFF)

    @_command(0x0A, 0x49, _OPERATOR)
    async def set_sel_time(self, data: bytes, session: Session | None) -> bytes:
        await self.machine.call("set_clock", seconds=struct.unpack_from("<I", data)[0])
        return b""

    # Transport

    @_command(0x0C, 0x02, _OPERATOR)
    async def lan_parameter(self, data: bytes, session: Session | None) -> bytes:
        self._check_channel(data[0])
        value = self._lan_parameters().get(data[1])
        if value is None:
            raise Refused(Code.PARAMETER_NOT_SUPPORTED)
        return b"\x11" if data[0] & 0x80 else b"\x11" + value

    @_command(0x0C, 0x22, _OPERATOR)
    async def sol_parameter(self, data: bytes, session: Session | None) -> bytes:
        self._check_channel(data[0])
        values = sol_parameters(self.port)
        if data[1] not in values:
            raise Refused(Code.PARAMETER_NOT_SUPPORTED)
        return b"\x11" if data[0] & 0x80 else b"\x11" + values[data[1]]

    def _lan_parameters(self) -> dict[int, bytes]:
        suites = sorted(suite.number for suite in SUITES)
        return {
            0: b"\x00",
            1: b"\x00",  # no authentication types of IPMI 1.5
            2: bytes(5),
            3: self.address.packed,
            4: b"\x01",  # static
            5: self.mac,
            6: b"\xff\xff\xff\x00",
            12: bytes(4),
            13: bytes(6),
            14: bytes(4),
            15: bytes(6),
            20: bytes(2),
            21: bytes(1),
            22: bytes([len(suites)]),
            23: bytes([0, *suites]).ljust(17, b"\0"),
            24: bytes([0, ADMINISTRATOR | ADMINISTRATOR << 4]).ljust(9, b"\0"),
        }
