# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads rack.yml, the file that says which machines a rack has."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import yaml

from tripleo_cloud.rack.errors import RackError

ACCELERATORS = ("auto", "kvm", "tcg")
BOOT_ORDERS = ("disk", "network")
LARGEST_FILE = 1 << 20
# A BMC has an address from .201 on, a node one from .10 to .99.
MOST_MACHINES = 50
# virtio-blk cuts serial numbers off after 20 characters.
_SERIAL = re.compile(r"[A-Za-z0-9._-]{1,20}\Z")
_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?\Z")
_MAC = re.compile(r"([0-9a-f]{2}:){5}[0-9a-f]{2}\Z")
_TOP = {"accelerator", "defaults", "machines"}
_MACHINE = {"name", "cpus", "memory", "disks", "macs", "boot", "capabilities"}
_DISK = {"size", "serial"}


@dataclass(frozen=True)
class DiskSpec:
    """A disk: its serial number and its size in GiB."""

    serial: str
    size: int


@dataclass(frozen=True)
class MachineSpec:
    """A machine; memory in MiB, macs in the order of the network cards, boot is the firmware's first device."""

    name: str
    cpus: int
    memory: int
    disks: tuple[DiskSpec, ...]
    macs: tuple[str, ...]
    boot: str
    capabilities: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class RackSpec:
    """A rack's machines, and the wanted accelerator."""

    accelerator: str
    machines: tuple[MachineSpec, ...]

    def to_dict(self) -> dict[str, Any]:
        """The same as plain data, for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> RackSpec:
        """The reverse of to_dict."""
        return cls(
            data["accelerator"],
            tuple(
                MachineSpec(
                    m["name"],
                    m["cpus"],
                    m["memory"],
                    tuple(DiskSpec(**disk) for disk in m["disks"]),
                    tuple(m["macs"]),
                    m["boot"],
                    tuple((key, value) for key, value in m["capabilities"]),
                )
                for m in data["machines"]
            ),
        )


class _Reader:
    """Collects all errors of a file, so that one look mends them all."""

    def __init__(self) -> None:
        self.errors: list[str] = []

    def fault(self, where: str, text: str) -> None:
        self.errors.append(f"{where}: {text}")

    def mapping(self, value: Any, where: str, known: Iterable[str]) -> dict[str, Any]:
        if not isinstance(value, dict):
            self.fault(where, "must be a mapping")
            return {}
        for key in value:
            if key not in known:
                self.fault(where, f"unknown key {key!r} (known: {', '.join(sorted(known))})")
        return value

    def number(self, value: Any, where: str, low: int, high: int) -> int:
        if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
            self.fault(where, f"must be a whole number from {low} to {high}, not {value!r}")
            return low
        return value

    def word(self, value: Any, where: str, pattern: re.Pattern[str], wanted: str) -> str:
        if not isinstance(value, str) or not pattern.match(value):
            self.fault(where, f"must be {wanted}, not {value!r}")
            return ""
        return value

    def choice(self, value: Any, where: str, choices: Iterable[str]) -> str:
        if value not in choices:
            self.fault(where, f"must be one of {', '.join(choices)}, not {value!r}")
            return ""
        return str(value)


def load(path: Path, mac_seed: bytes) -> RackSpec:
    """Read a rack file. Raises RackError with all faults.

    mac_seed: three or more bytes which make the addresses of machines without macs.
    """
    try:
        if path.stat().st_size > LARGEST_FILE:
            raise RackError(f"{path}: larger than {LARGEST_FILE} bytes")
        data = yaml.safe_load(path.read_text())
    except OSError as error:
        raise RackError(f"{path}: {error.strerror}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise RackError(f"{path}: no YAML: {error}") from error
    return parse(data, mac_seed, str(path))


def parse(data: Any, mac_seed: bytes, where: str = "rack.yml") -> RackSpec:
    """Validate a rack file's content. Raises RackError with all faults, one a line."""
    reader = _Reader()
    top = reader.mapping(data, where, _TOP)
    defaults = reader.mapping(top.get("defaults") or {}, "defaults", _MACHINE - {"name", "macs"})
    accelerator = reader.choice(top.get("accelerator", "auto"), "accelerator", ACCELERATORS)
    machines = top.get("machines")
    if not isinstance(machines, list) or not 1 <= len(machines) <= MOST_MACHINES:
        reader.fault("machines", f"must be a list of 1 to {MOST_MACHINES} machines")
        machines = []
    specs = tuple(_machine(reader, entry, defaults, number, mac_seed) for number, entry in enumerate(machines, 1))
    _unique(reader, "name", [spec.name for spec in specs])
    _unique(reader, "MAC address", [mac for spec in specs for mac in spec.macs])
    _unique(reader, "disk serial number", [disk.serial for spec in specs for disk in spec.disks])
    if reader.errors:
        raise RackError(f"{where} is wrong:\n" + "\n".join(f"  {error}" for error in reader.errors))
    return RackSpec(accelerator, specs)


def _machine(reader: _Reader, entry: Any, defaults: Mapping[str, Any], number: int, seed: bytes) -> MachineSpec:
    where = f"machine {number}"
    given = reader.mapping(entry, where, _MACHINE)
    name = reader.word(given.get("name"), f"{where}: name", _NAME, "lower case letters, digits and hyphens")
    where = f"machine {name}" if name else where
    merged = {**defaults, **given}
    macs = merged.get("macs")
    if macs is None:
        macs = [f"52:54:00:{seed[0]:02x}:{seed[1]:02x}:{number:02x}"]
    elif not isinstance(macs, list) or not 1 <= len(macs) <= 8:
        reader.fault(f"{where}: macs", "must be a list of 1 to 8 addresses")
        macs = []
    macs = [mac.lower() if isinstance(mac, str) else mac for mac in macs]
    for mac in macs:
        if reader.word(mac, f"{where}: macs", _MAC, 'like "52:54:00:12:34:56" (in quotes)') and int(mac[:2], 16) & 1:
            reader.fault(f"{where}: macs", f"{mac} is a multicast address")
    capabilities = merged.get("capabilities") or {}
    if not isinstance(capabilities, dict) or not all(isinstance(v, (str, int)) for v in capabilities.values()):
        reader.fault(f"{where}: capabilities", "must be a mapping of names to words")
        capabilities = {}
    return MachineSpec(
        name=name,
        cpus=reader.number(merged.get("cpus", 1), f"{where}: cpus", 1, 64),
        memory=reader.number(merged.get("memory", 1024), f"{where}: memory (MiB)", 128, 1 << 20),
        disks=_disks(reader, merged.get("disks", [{"size": 8}]), where, number),
        macs=tuple(str(mac) for mac in macs),
        boot=reader.choice(merged.get("boot", "disk"), f"{where}: boot", BOOT_ORDERS),
        capabilities=tuple(sorted((str(key), str(value)) for key, value in capabilities.items())),
    )


def _disks(reader: _Reader, value: Any, where: str, number: int) -> tuple[DiskSpec, ...]:
    if not isinstance(value, list) or not 1 <= len(value) <= 8:
        reader.fault(f"{where}: disks", "must be a list of 1 to 8 disks")
        return ()
    disks = []
    for index, entry in enumerate(value):
        here = f"{where}: disk {index + 1}"
        given = reader.mapping(entry, here, _DISK)
        default = f"RACK{number:04d}" + ("" if index == 0 else "BCDEFGH"[index - 1])
        serial = reader.word(given.get("serial", default), f"{here}: serial", _SERIAL, "1 to 20 letters and digits")
        disks.append(DiskSpec(serial, reader.number(given.get("size"), f"{here}: size (GiB)", 1, 1 << 14)))
    return tuple(disks)


def _unique(reader: _Reader, what: str, values: list[str]) -> None:
    for value in sorted({value for value in values if value and values.count(value) > 1}):
        reader.fault(f"{what} {value}", "used more than once")
