# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a BMC tells about its machine: sensor data records and FRU inventory."""

from __future__ import annotations

import struct

SENSOR = 0x01
_SENSOR_NAME = b"System Temp"
_UPPER = (95, 85, 75)  # non-recoverable, critical, non-critical; degrees Celsius
IDLE_DEGREES, RUNNING_DEGREES = 23, 41


def temperature_record() -> bytes:
    """The full sensor record of the temperature sensor; a reading is degrees Celsius as it is."""
    key = bytes([0x20, 0x00, SENSOR])
    body = bytes([0x07, 0x01])  # entity: system board 1
    body += bytes([0x7F, 0x68, 0x01, 0x01])  # initialised; thresholds readable, hysteresis none; temperature; threshold
    body += struct.pack("<HHH", 0x0A80, 0x7A80, 0x3838)
    body += bytes([0x00, 0x01, 0x00])  # unsigned, degrees Celsius
    body += bytes([0x00, 0x01, 0x00, 0x00, 0x00, 0x00, 0x00])  # linear, M = 1, B = 0, no exponents
    body += bytes([0x01, 35, 60, 10, 0xFF, 0x00])  # nominal, normal range, range
    body += bytes([*_UPPER, 0, 0, 0, 1, 1, 0, 0, 0])
    body += bytes([0xC0 | len(_SENSOR_NAME)]) + _SENSOR_NAME
    return struct.pack("<HBBB", 1, 0x51, 0x01, len(key + body)) + key + body


def reading(is_on: bool) -> bytes:
    """Answer to Get Sensor Reading of the temperature sensor."""
    return bytes([RUNNING_DEGREES if is_on else IDLE_DEGREES, 0xC0, 0xC0, 0x80])


def thresholds() -> bytes:
    """Answer to Get Sensor Thresholds: which are readable, then lower and upper ones from mild to grave."""
    return bytes([0x38, 0, 0, 0, _UPPER[2], _UPPER[1], _UPPER[0]])


def fru(name: str, uuid: str) -> bytes:
    """FRU inventory with a board and a product area."""
    board = _area(b"\x00\x00\x00", ["tripleo.cloud", "Virtual rack machine", uuid[:8], "QEMU-Q35", ""])
    product = _area(b"", ["tripleo.cloud", "Virtual rack machine", "QEMU-Q35", "1", uuid, name, ""])
    header = bytes([0x01, 0x00, 0x00, 0x01, 0x01 + len(board) // 8, 0x00, 0x00])
    return header + bytes([-sum(header) & 0xFF]) + board + product


def _area(head: bytes, fields: list[str]) -> bytes:
    body = b"\x19" + head  # language: English
    for text in fields:
        body += bytes([0xC0 | len(text)]) + text.encode()
    body += b"\xc1"
    length = (len(body) + 2 + 1 + 7) // 8
    area = (bytes([0x01, length]) + body).ljust(length * 8 - 1, b"\0")
    return area + bytes([-sum(area) & 0xFF])
