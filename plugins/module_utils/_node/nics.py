# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The network cards of this host, in os-net-config's order."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Sequence
from typing import NamedTuple

SYS = "/sys/class/net"
CARRIER_SECONDS = 6.0


class Nic(NamedTuple):
    """A card and its own MAC address, also while it is in a bond. active: it is one of nic1, nic2 ...; up: it is on."""

    name: str
    mac: str
    active: bool = True
    up: bool = True


def present(sys_net: str = SYS) -> list[Nic]:
    """All cards: those on the board first (em1, eno1, eth0), then the others, by name with numbers in order."""
    found = []
    for name in os.listdir(sys_net):
        folder = os.path.join(sys_net, name)
        made = any(os.path.isdir(os.path.join(folder, kind)) for kind in ("bridge", "bonding"))
        if name == "lo" or made or os.path.exists(f"/proc/net/vlan/{name}") or not os.path.isdir(folder):
            continue
        mac = _read(folder, "bonding_slave/perm_hwaddr") or _read(folder, "address")
        # Virtual links have no device, and virtual functions belong to the card that they are a part of.
        device = os.path.join(folder, "device")
        real = os.path.isdir(device) and not os.path.isdir(os.path.join(device, "physfn"))
        up = int(_read(folder, "flags") or "0", 16) & 1 == 1
        found.append((name, Nic(name, mac.lower(), real and _read(folder, "operstate") == "up", up or not real)))
    return [nic for _name, nic in sorted(found, key=lambda item: (not _on_board(item[0]), _natural(item[0])))]


def mtu(name: str) -> int:
    """The MTU of an interface as it is now."""
    return int(_read(os.path.join(SYS, name), "mtu") or "1500")


def wake(nics: Sequence[Nic]) -> None:
    """Switch on the cards that are off, so that those with a cable count, and off again those without one."""
    off = [nic.name for nic in nics if not nic.up]
    for name in off:
        _set(name, "up")
    deadline = time.monotonic() + CARRIER_SECONDS
    while off and time.monotonic() < deadline:
        off = [name for name in off if _read(os.path.join(SYS, name), "carrier") != "1"]
        time.sleep(0.2)
    for name in off:
        _set(name, "down")


def _set(name: str, what: str) -> None:
    subprocess.run(["ip", "link", "set", "dev", name, what], stderr=subprocess.DEVNULL, check=False)


def _on_board(name: str) -> bool:
    return name.startswith(("em", "eno", "eth"))


def _natural(name: str) -> list[tuple[int, str]]:
    parts, digits = [""], False
    for letter in name:
        if letter.isdigit() != digits:
            parts.append("")
            digits = not digits
        parts[-1] += letter
    return [(int(part), "") if part.isdigit() else (-1, part) for part in parts]


def _read(folder: str, name: str) -> str:
    try:
        with open(os.path.join(folder, name), encoding="ascii") as stream:
            return stream.read().strip()
    except OSError:
        return ""
