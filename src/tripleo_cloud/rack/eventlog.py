# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A machine's IPMI system event log: 16 byte records with times."""

from __future__ import annotations

import struct
import time
from collections.abc import Sequence
from dataclasses import dataclass

LONGEST = 512
_GENERATOR = 0x0020  # the BMC itself
_SENSOR_SPECIFIC = 0x6F
_DEASSERTED = 0x80
_UNUSED = 0xFF


@dataclass(frozen=True)
class EventKind:
    """What an event record says: sensor type, sensor number, offset in the sensor type's own list of events."""

    sensor_type: int
    sensor: int
    offset: int
    deasserted: bool = False


POWER_ON = EventKind(0x09, 0x02, 0x00, deasserted=True)  # Power Unit: "Power off/down" deasserted
POWER_OFF = EventKind(0x09, 0x02, 0x00)
POWER_CYCLE = EventKind(0x09, 0x02, 0x01)
POWER_FAILURE = EventKind(0x09, 0x02, 0x06)
SOFT_OFF = EventKind(0x22, 0x04, 0x06)  # System ACPI Power State: S4/S5 soft-off
BOOT_POWER_UP = EventKind(0x1D, 0x03, 0x00)  # System Boot Initiated
BOOT_HARD_RESET = EventKind(0x1D, 0x03, 0x01)
BOOT_WARM_RESET = EventKind(0x1D, 0x03, 0x02)
LOG_CLEARED = EventKind(0x10, 0x05, 0x02)  # Event Logging Disabled: "Log area reset/cleared"


class EventLog:
    """Records in the order of their events; the oldest goes when there are LONGEST."""

    def __init__(self, records: Sequence[bytes] = (), *, clock_offset: int = 0, erased_at: int = 0) -> None:
        self.records = list(records)
        self.clock_offset = clock_offset
        self.erased_at = erased_at

    def now(self) -> int:
        """The log's clock, seconds since 1970 unless somebody has set it."""
        return int(time.time()) + self.clock_offset

    def set_clock(self, seconds: int) -> None:
        """Set the log's clock."""
        self.clock_offset = seconds - int(time.time())

    def add(self, kind: EventKind, code: int = _UNUSED) -> None:
        """Append an event with the time now; code is a byte of our own (the boot flags' device of a boot)."""
        last = struct.unpack_from("<H", self.records[-1])[0] if self.records else 0
        number = last % 0xFFFE + 1
        # Bits 7:6 of the first event byte say that the second holds an OEM code.
        data1 = kind.offset | (0x80 if code != _UNUSED else 0)
        direction = _SENSOR_SPECIFIC | (_DEASSERTED if kind.deasserted else 0)
        self.records.append(
            struct.pack(
                "<HBIHBBBBBBB",
                number,
                0x02,
                self.now() & 0xFFFFFFFF,
                _GENERATOR,
                0x04,
                kind.sensor_type,
                kind.sensor,
                direction,
                data1,
                code,
                _UNUSED,
            )
        )
        del self.records[:-LONGEST]

    def clear(self) -> None:
        """Empty the log; as on real BMCs the first record then says so."""
        self.records.clear()
        self.erased_at = self.now()
        self.add(LOG_CLEARED)
