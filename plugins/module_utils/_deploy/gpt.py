# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""GUID partition tables as bytes: read one, and lay an image's table out on a larger disk. Pure."""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass
from typing import Optional

from .errors import DeployError

SECTOR = 512
ALIGNMENT = 2048
ENTRY_BYTES = 128
ENTRIES = 128
TABLE_SECTORS = ENTRIES * ENTRY_BYTES // SECTOR
HEAD_SECTORS = 2 + TABLE_SECTORS
LINUX_DATA = bytes.fromhex("af3dc60f838472478e793d69d8477de4")

_SIGNATURE = b"EFI PART"
_HEADER = struct.Struct("<8sIIIIQQQQ16sQIII")


@dataclass(frozen=True)
class Partition:
    """first, last: sectors, both inclusive."""

    first: int
    last: int
    name: str


@dataclass(frozen=True)
class Layout:
    """head: the disk's first sectors. tail: its last ones. data_first, data_sectors: the partition that was added."""

    head: bytes
    tail: bytes
    data_first: int
    data_sectors: int


def partitions(start: bytes) -> dict[int, Partition]:
    """Partitions by number from a disk's first sectors; empty when there is no valid table."""
    header = _header(start)
    if header is None:
        return {}
    found = {}
    table = start[2 * SECTOR : HEAD_SECTORS * SECTOR]
    for number in range(ENTRIES):
        entry = table[number * ENTRY_BYTES : (number + 1) * ENTRY_BYTES]
        if len(entry) == ENTRY_BYTES and entry[:16] != bytes(16):
            first, last = struct.unpack_from("<QQ", entry, 32)
            name = entry[56:128].decode("utf-16-le", "replace").split("\0")[0]
            found[number + 1] = Partition(first, last, "".join(c for c in name if c.isprintable()))
    return found


def _header(start: bytes) -> Optional[tuple[bytes, bytes]]:
    """Disk GUID and table of a valid primary table in the usual form, else None."""
    if len(start) < HEAD_SECTORS * SECTOR:
        return None
    raw = start[SECTOR : SECTOR + 92]
    fields = _HEADER.unpack_from(raw)
    if fields[0] != _SIGNATURE or fields[2] != 92 or fields[10:13] != (2, ENTRIES, ENTRY_BYTES):
        return None
    if zlib.crc32(raw[:16] + bytes(4) + raw[20:]) != fields[3]:
        return None
    table = start[2 * SECTOR : HEAD_SECTORS * SECTOR]
    return (fields[9], table) if zlib.crc32(table) == fields[13] else None


def grow(start: bytes, disk_sectors: int, root: int, data_bytes: int, data_name: str, data_guid: bytes) -> Layout:
    """Lay an image's table out on its disk: the root partition grows, a data partition follows it at the end.

    start: the image's first sectors. root: number of the last partition. DeployError when the table does not allow it.
    """
    known = _header(start)
    if known is None:
        raise DeployError("the image has no valid GUID partition table")
    disk_guid, table = known
    present = partitions(start)
    if root not in present or present[root].first != max(part.first for part in present.values()):
        raise DeployError(f"partition {root} is not the image's last one")
    number = next(number for number in range(1, ENTRIES + 1) if number not in present)
    last_usable = disk_sectors - TABLE_SECTORS - 2
    data_sectors = data_bytes // SECTOR
    data_first = (last_usable + 1 - data_sectors) // ALIGNMENT * ALIGNMENT
    if data_first <= present[root].last:
        raise DeployError(f"the disk of {disk_sectors * SECTOR} bytes has no room for the image and {data_name}")
    entries = bytearray(table)
    struct.pack_into("<Q", entries, (root - 1) * ENTRY_BYTES + 40, data_first - 1)
    name = data_name.encode("utf-16-le").ljust(72, b"\0")
    entry = struct.pack("<16s16sQQQ", LINUX_DATA, data_guid, data_first, data_first + data_sectors - 1, 0) + name
    entries[(number - 1) * ENTRY_BYTES : number * ENTRY_BYTES] = entry
    table = bytes(entries)
    primary = _make_header(1, disk_sectors - 1, 2, disk_sectors, disk_guid, table)
    backup = _make_header(disk_sectors - 1, 1, disk_sectors - 1 - TABLE_SECTORS, disk_sectors, disk_guid, table)
    mbr = bytearray(start[:SECTOR])
    struct.pack_into("<I", mbr, 446 + 12, min(disk_sectors - 1, 0xFFFFFFFF))
    return Layout(bytes(mbr) + primary + table, table + backup, data_first, data_sectors)


def _make_header(here: int, other: int, table: int, disk_sectors: int, guid: bytes, entries: bytes) -> bytes:
    last_usable = disk_sectors - TABLE_SECTORS - 2
    crc = zlib.crc32(entries)
    fields = (here, other, HEAD_SECTORS, last_usable, guid, table, ENTRIES, ENTRY_BYTES, crc)
    raw = _HEADER.pack(_SIGNATURE, 0x10000, 92, 0, 0, *fields)
    return _HEADER.pack(_SIGNATURE, 0x10000, 92, zlib.crc32(raw), 0, *fields).ljust(SECTOR, b"\0")
