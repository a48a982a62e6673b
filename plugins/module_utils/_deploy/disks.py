# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The machine's disks, and which one the plan names."""

from __future__ import annotations

import contextlib
import os
import struct
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from . import gpt
from .errors import DeployError

_NOT_DISKS = ("loop", "ram", "zram", "sr", "fd", "md", "dm-", "nbd", "mtd", "drbd", "rbd")
_LOOK_BYTES = 2 * 1024 * 1024
_SLOW_CONTROLLERS = ("scsi_host", "nvme", "mmc_host")
_SETTLE_SECONDS = 4
_MOST_LOOKS = 15


@dataclass(frozen=True)
class Disk:
    """A whole disk. size: bytes. holds: what was seen on it, in words."""

    name: str
    size: int
    serial: str = ""
    wwn: str = ""
    model: str = ""
    holds: str = ""

    @property
    def path(self) -> str:
        """Its device node."""
        return f"/dev/{self.name}"

    def as_report(self) -> dict[str, Any]:
        """Its entry in a report."""
        return asdict(self)

    def __str__(self) -> str:
        parts = [
            f"{key} {value}"
            for key, value in (("serial", self.serial), ("wwn", self.wwn), ("model", self.model))
            if value
        ]
        return f"{self.name} ({', '.join([*parts, f'{self.size} bytes'])})"


def find(sys_block: str = "/sys/block", dev: str = "/dev") -> list[Disk]:
    """Every whole disk that can be written and is not removable."""
    found = []
    for name in sorted(os.listdir(sys_block)):
        folder = os.path.join(sys_block, name)
        size = int(_read(folder, "size") or 0) * 512
        if name.startswith(_NOT_DISKS) or not size or _read(folder, "ro") == "1" or _read(folder, "removable") == "1":
            continue
        found.append(
            Disk(
                name,
                size,
                _read(folder, "serial") or _read(folder, "device/serial") or _vpd_serial(folder),
                _read(folder, "wwid") or _read(folder, "device/wwid"),
                _read(folder, "device/model"),
                holds(os.path.join(dev, name)),
            )
        )
    return found


def find_settled(
    look: Callable[[], list[Disk]] = find,
    pause: Callable[[float], None] = time.sleep,
    sys_class: str = "/sys/class",
) -> list[Disk]:
    """Every disk, once no other one comes: behind some controllers they appear by and by.

    Waiting ends after a minute; where there is no such controller, it does not begin.
    """
    found = look()
    if not any(_entries(os.path.join(sys_class, kind)) for kind in _SLOW_CONTROLLERS):
        return found
    for _look in range(_MOST_LOOKS):
        pause(_SETTLE_SECONDS)
        before, found = found, look()
        if found and [disk.name for disk in found] == [disk.name for disk in before]:
            break
    return found


def _entries(folder: str) -> list[str]:
    with contextlib.suppress(OSError):
        return os.listdir(folder)
    return []


def choose(disks: Sequence[Disk], hints: Mapping[str, Any], needed: int) -> Disk:
    """The one disk that all hints fit; DeployError when none or several do, or when it is smaller than needed bytes."""
    fitting = [disk for disk in disks if all(_fits(disk, key, value) for key, value in hints.items())]
    wanted = ", ".join(f"{key} {value}" for key, value in sorted(hints.items())) or "being the only disk"
    seen = "; ".join(map(str, disks)) or "no disk"
    if len(fitting) != 1:
        count = "no disk fits" if not fitting else f"{len(fitting)} disks fit"
        raise DeployError(f"{count} {wanted}; the machine has {seen}. Nothing was written")
    if fitting[0].size < needed:
        raise DeployError(f"disk {fitting[0]} is smaller than the {needed} bytes that are needed. Nothing was written")
    return fitting[0]


def _fits(disk: Disk, key: str, value: Any) -> bool:
    if key == "size":
        return disk.size == int(value)
    if key == "name":
        return str(value).rpartition("/")[2] == disk.name
    if key == "wwn":
        return _plain_wwn(disk.wwn) == _plain_wwn(str(value))
    if key in ("serial", "model"):
        return str(getattr(disk, key)) == str(value).strip()
    raise DeployError(f"hint {key!r} is unknown. Nothing was written")


def _plain_wwn(wwn: str) -> str:
    text = wwn.lower()
    for prefix in ("0x", "naa.", "eui.", "wwn-"):
        text = text[len(prefix) :] if text.startswith(prefix) else text
    return text


def _read(folder: str, name: str) -> str:
    with contextlib.suppress(OSError), open(os.path.join(folder, name), errors="replace") as stream:
        return stream.read().strip()
    return ""


def _vpd_serial(folder: str) -> str:
    """Serial number from the SCSI page 0x80, which the kernel offers raw."""
    with contextlib.suppress(OSError), open(os.path.join(folder, "device/vpd_pg80"), "rb") as stream:
        page = stream.read(256)
        return page[4 : 4 + page[3]].decode(errors="replace").strip() if len(page) > 4 else ""
    return ""


def holds(path: str) -> str:
    """What a disk holds, from its first 2 MiB and the starts of its partitions."""
    try:
        with open(path, "rb") as stream:
            start = stream.read(_LOOK_BYTES)
            partitions = gpt.partitions(start)
            if partitions:
                parts = []
                for number, part in partitions.items():
                    stream.seek(part.first * gpt.SECTOR)
                    kind = filesystem(stream.read(4096))
                    parts.append(" ".join(word for word in (f"{number}:", part.name, kind) if word))
                return f"gpt, {', '.join(parts)}"
    except OSError as error:
        return f"cannot be read: {error.strerror}"
    kind = filesystem(start[:4096])
    if kind:
        return kind
    if start[510:512] == b"\x55\xaa":
        return "an MBR partition table"
    return "nothing in its first 2 MiB" if not start.strip(b"\0") else "data of an unknown kind"


def filesystem(start: bytes) -> str:
    """Name and label of a file system, from its first 4 KiB; empty when it is not known."""
    if len(start) >= 2048 and start[1080:1082] == b"\x53\xef":
        label = start[1144:1160].split(b"\0")[0].decode(errors="replace")
        return f"ext {label!r}" if label else "ext"
    if start[:4] == b"XFSB":
        return "xfs"
    if start[510:512] == b"\x55\xaa" and start[54:59] in (b"FAT12", b"FAT16"):
        return "vfat"
    if start[510:512] == b"\x55\xaa" and start[82:87] == b"FAT32":
        return "vfat"
    if start[512:520] == b"LABELONE":
        return "an LVM physical volume"
    if len(start) >= 8 and struct.unpack_from("<I", start, 0)[0] == 0xA92B4EFC:
        return "a RAID member"
    return ""
