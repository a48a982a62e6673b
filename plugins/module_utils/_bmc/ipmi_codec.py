# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""IPMI's bytes: requests, boot flags, sensor records, log entries. Pure; the section numbers are IPMI 2.0's."""

from __future__ import annotations

import struct
from dataclasses import dataclass

from .errors import BmcError, Cause
from .model import BootOverride, Command, Device, Identity, LogEntry, Power

CHASSIS, SENSOR, APP, STORAGE = 0x00, 0x04, 0x06, 0x0A

# Section 28.3, chassis control.
CONTROL = {Command.OFF: 0, Command.ON: 1, Command.CYCLE: 2, Command.RESET: 3, Command.SOFT: 5}

# Section 28.13, boot flags, bits 5:2 of the second byte.
DEVICES = {Device.NONE: 0, Device.NETWORK: 1, Device.DISK: 2, Device.CDROM: 5, Device.SETUP: 6}
DEVICE_NAMES = {number: device for device, number in DEVICES.items()}
# "Safe mode" from disk, and remote media, are read as what they boot from.
DEVICE_NAMES.update({3: Device.DISK, 8: Device.CDROM, 11: Device.DISK})
VALID, PERSISTENT, UEFI = 0x80, 0x40, 0x20

COMPLETION = {
    0xC0: "the BMC is busy",
    0xC1: "the BMC does not know this command",
    0xC3: "the BMC gave up on time",
    0xC5: "the reservation was cancelled",
    0xC9: "a parameter is out of range",
    0xCB: "the record or sensor is not there",
    0xCC: "the BMC calls the request invalid",
    0xD4: "the user has not the privilege for this",
    0xD5: "the machine's present state does not allow it",
    0x80: "the BMC does not support this parameter",
}

SENSOR_KINDS = {1: "temperature", 2: "voltage", 3: "current", 4: "fan", 8: "power supply", 9: "power unit", 11: "other"}
UNITS = {1: "degrees C", 2: "degrees F", 3: "K", 4: "V", 5: "A", 6: "W", 18: "RPM", 19: "Hz"}
THRESHOLD = 1

EVENT_SENSORS = {
    0x01: "temperature", 0x05: "physical security", 0x07: "processor", 0x08: "power supply", 0x09: "power unit",
    0x0C: "memory", 0x0F: "firmware progress", 0x10: "event log", 0x12: "system event", 0x14: "button",
    0x1D: "system boot", 0x1E: "boot error", 0x1F: "operating system boot", 0x20: "operating system stop",
    0x22: "ACPI power state", 0x23: "watchdog",
}  # fmt: skip
# Section 42.2: what the offset of a sensor-specific event means.
EVENTS = {
    (0x09, 0): "power off", (0x09, 1): "power cycle", (0x09, 4): "AC lost", (0x09, 5): "soft power control failure",
    (0x09, 6): "power unit failure", (0x12, 1): "OEM system boot", (0x1D, 0): "initiated by power up",
    (0x1D, 1): "initiated by hard reset", (0x1D, 2): "initiated by warm reset", (0x1D, 3): "PXE boot requested by user",
    (0x1D, 7): "restart", (0x1E, 0): "no bootable media", (0x1E, 2): "PXE server not found",
    (0x1F, 1): "C: boot completed", (0x1F, 2): "PXE boot completed", (0x20, 1): "run-time stop",
    (0x20, 3): "graceful shutdown", (0x22, 0): "working", (0x22, 5): "soft off", (0x10, 2): "log cleared",
}  # fmt: skip
FIRST_EPOCH = 0x20000000


def refusal(code: int, doing: str) -> BmcError:
    """The error that a completion code other than zero means."""
    words = COMPLETION.get(code, f"completion code 0x{code:02x}")
    cause = Cause.BUSY if code in (0xC0, 0xC3) else Cause.REFUSED
    return BmcError(f"{doing}: {words}", cause, code=code)


def need(data: bytes, length: int, doing: str) -> bytes:
    """Return data when it has at least length bytes; a short answer is a BmcError."""
    if len(data) < length:
        raise BmcError(f"{doing}: the answer has {len(data)} bytes instead of {length}", Cause.REFUSED)
    return data


def decode_power(data: bytes) -> Power:
    """Answer of Get Chassis Status."""
    return Power.ON if need(data, 3, "read the power")[0] & 1 else Power.OFF


def encode_override(wanted: BootOverride) -> bytes:
    """The five boot flags, with the parameter's number before them."""
    if wanted.device is Device.NONE:
        return bytes((5, 0, 0, 0, 0, 0))
    flags = VALID | (PERSISTENT if wanted.persistent else 0) | (UEFI if wanted.uefi else 0)
    return bytes((5, flags, DEVICES[wanted.device] << 2, 0, 0, 0))


def decode_override(data: bytes) -> BootOverride:
    """Answer of Get System Boot Options, parameter 5."""
    version, number, flags, device = need(data, 4, "read the boot device")[:4]
    if version & 15 != 1 or number & 0x7F != 5:
        raise BmcError("read the boot device: the answer is about another parameter", Cause.REFUSED)
    selected = DEVICE_NAMES.get(device >> 2 & 15, Device.SETUP)
    # Bit 7 of the number: the parameter is marked invalid or locked.
    if number & 0x80 or not flags & VALID or selected is Device.NONE:
        return BootOverride(Device.NONE)
    return BootOverride(selected, bool(flags & PERSISTENT), bool(flags & UEFI))


def decode_identity(data: bytes, guid: bytes) -> Identity:
    """Answers of Get Device ID and Get System GUID (empty where the BMC has none)."""
    need(data, 11, "identify")
    return Identity(
        firmware=f"{data[2] & 0x7F}.{data[3]:02x}",
        protocol=f"IPMI {data[4] & 15}.{data[4] >> 4}",
        manufacturer=int.from_bytes(data[6:9], "little"),
        product=int.from_bytes(data[9:11], "little"),
        guid=guid[:16].hex(),
    )


@dataclass(frozen=True)
class SensorRecord:
    """What a full sensor data record says about reading a sensor; value = (m * raw + b) * 10**scale."""

    number: int
    name: str
    kind: str
    unit: str
    m: int
    b: float
    scale: int
    signed: int

    def value(self, raw: int) -> float:
        """The measured value of a raw byte."""
        if self.signed and raw > 127:
            raw = raw - 255 if self.signed == 1 else raw - 256
        return round((self.m * raw + self.b) * 10.0**self.scale, 3)


def _signed(value: int, bits: int) -> int:
    return value - (1 << bits) if value >> (bits - 1) else value


def decode_sensor_record(record: bytes) -> SensorRecord | None:
    """A sensor that measures; None for other records and for what cannot be converted linearly (section 43.1)."""
    if len(record) < 48 or record[3] != 1 or record[13] != THRESHOLD or record[20] >> 6 == 3 or record[23] & 0x7F:
        return None
    exponents = record[29]
    m = _signed(record[24] | (record[25] & 0xC0) << 2, 10)
    b = _signed(record[26] | (record[27] & 0xC0) << 2, 10)
    return SensorRecord(
        number=record[7],
        name=record[48 : 48 + (record[47] & 31)].decode("latin-1").strip("\0 "),
        kind=SENSOR_KINDS.get(record[12], "other"),
        unit=UNITS.get(record[21], ""),
        m=m,
        b=b * 10.0 ** _signed(exponents & 15, 4),
        scale=_signed(exponents >> 4, 4),
        signed=record[20] >> 6,
    )


def decode_log_entry(entry: bytes) -> LogEntry:
    """A record of the event log, 16 bytes (section 32.1)."""
    need(entry, 16, "read the event log")
    number, kind, moment = struct.unpack("<HBI", entry[:7])
    if kind != 2:
        return LogEntry(number, 0, f"OEM record 0x{kind:02x}", entry[3:16].hex())
    sensor, event_type, offset = entry[10], entry[12] & 0x7F, entry[13] & 15
    name = EVENT_SENSORS.get(sensor, f"sensor type 0x{sensor:02x}")
    text = EVENTS.get((sensor, offset), "") if event_type == 0x6F else ""
    text = text or f"event type 0x{event_type:02x} offset {offset}"
    if entry[12] & 0x80:
        text += " (ended)"
    # A BMC without a set clock counts from its own start.
    return LogEntry(number, moment if moment >= FIRST_EPOCH else 0, name, text)
