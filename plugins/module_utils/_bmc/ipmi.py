# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The Bmc protocol over IPMI, above a channel that carries single requests."""

from __future__ import annotations

import collections
import struct
from typing import Protocol

from . import ipmi_codec as codec
from .errors import BmcError, Cause
from .model import BootOverride, Command, Identity, LogEntry, Power, Sensor

LAST_RECORD = 0xFFFF
MOST_RECORDS = 4096
PIECE = 16
UNAVAILABLE = 0x20


class Channel(Protocol):
    """An open IPMI session."""

    async def request(self, netfn: int, command: int, data: bytes = b"", *, answered: bool = True) -> bytes:
        """Send one request; return the data after its completion code, raise BmcError when that is not zero.

        answered: False where the peer goes away before it answers.
        """


class IpmiBmc:
    """A BMC that speaks IPMI 2.0 (or 1.5)."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel

    async def power(self) -> Power:
        return codec.decode_power(await self._channel.request(codec.CHASSIS, 0x01))

    async def send(self, command: Command) -> None:
        await self._channel.request(codec.CHASSIS, 0x02, bytes((codec.CONTROL[command],)))

    async def boot_override(self) -> BootOverride:
        return codec.decode_override(await self._channel.request(codec.CHASSIS, 0x09, bytes((5, 0, 0))))

    async def set_boot_override(self, wanted: BootOverride) -> None:
        try:
            # Else the flags are void when the machine does not start within 60 seconds.
            await self._channel.request(codec.CHASSIS, 0x08, bytes((3, 8)))
        except BmcError as error:
            if error.code is None:
                raise
        await self._channel.request(codec.CHASSIS, 0x08, codec.encode_override(wanted))

    async def identify(self) -> Identity:
        device = await self._channel.request(codec.APP, 0x01)
        try:
            guid = await self._channel.request(codec.APP, 0x37)
        except BmcError as error:
            if error.code is None:
                raise
            guid = b""
        return codec.decode_identity(device, guid)

    async def locate(self, seconds: int) -> None:
        if not 0 <= seconds <= 255:
            raise BmcError("the locator takes 0 to 255 seconds", Cause.REFUSED)
        await self._channel.request(codec.CHASSIS, 0x04, bytes((seconds,)))

    async def reset(self) -> None:
        await self._channel.request(codec.APP, 0x02, answered=False)

    async def sensors(self) -> tuple[Sensor, ...]:
        found = []
        for record in await self._sensor_records():
            try:
                data = await self._channel.request(codec.SENSOR, 0x2D, bytes((record.number,)))
            except BmcError as error:
                if error.code != 0xCB:
                    raise
                continue
            if not codec.need(data, 2, "read a sensor")[1] & UNAVAILABLE:
                found.append(Sensor(record.name, record.kind, record.value(data[0]), record.unit))
        return tuple(found)

    async def event_log(self, last: int = 100) -> tuple[LogEntry, ...]:
        entries: collections.deque[LogEntry] = collections.deque(maxlen=last)
        number = 0
        for _count in range(MOST_RECORDS):
            try:
                data = await self._channel.request(codec.STORAGE, 0x43, struct.pack("<HHBB", 0, number, 0, 0xFF))
            except BmcError as error:
                # An empty log has no first record.
                if error.code == 0xCB and number == 0:
                    break
                raise
            number = int.from_bytes(codec.need(data, 18, "read the event log")[:2], "little")
            entries.append(codec.decode_log_entry(data[2:18]))
            if number == LAST_RECORD:
                break
        return tuple(entries)

    async def _sensor_records(self) -> list[codec.SensorRecord]:
        records = []
        number = 0
        reservation = await self._reserve()
        for _count in range(MOST_RECORDS):
            try:
                following, record = await self._sensor_record(reservation, number)
            except BmcError as error:
                # Another client has taken the reservation over: take it back and read this record again.
                if error.code == 0xCB and number == 0:
                    break
                if error.code != 0xC5:
                    raise
                reservation = await self._reserve()
                continue
            decoded = codec.decode_sensor_record(record)
            if decoded is not None:
                records.append(decoded)
            number = following
            if number == LAST_RECORD:
                break
        return records

    async def _reserve(self) -> int:
        data = await self._channel.request(codec.STORAGE, 0x22)
        return int.from_bytes(codec.need(data, 2, "reserve the sensor records")[:2], "little")

    async def _sensor_record(self, reservation: int, number: int) -> tuple[int, bytes]:
        async def piece(offset: int, length: int) -> bytes:
            request = struct.pack("<HHBB", reservation, number, offset, length)
            return codec.need(await self._channel.request(codec.STORAGE, 0x23, request), 2 + length, "read a sensor")

        data = await piece(0, 5)
        following, record = int.from_bytes(data[:2], "little"), bytes(data[2:7])
        whole = 5 + record[4]
        while len(record) < whole:
            length = min(PIECE, whole - len(record))
            record += bytes((await piece(len(record), length))[2 : 2 + length])
        return following, record
