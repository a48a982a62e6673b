# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""IPMI boot flags: the five bytes of boot option 5, and what a machine's firmware makes of them."""

from __future__ import annotations

from dataclasses import dataclass

NONE = bytes(5)
_VALID, _PERSISTENT = 0x80, 0x40
# Devices of the flags which a machine has. The others (CD, setup, floppy) leave its own order as it is.
_DEVICES = {1: "network", 2: "disk", 3: "disk"}


@dataclass(frozen=True)
class BootChoice:
    """What a start does: the first device ("disk" or "network"), the flags' device number, and the flags after it."""

    first: str
    device: int
    flags_after: bytes


def choose(flags: bytes, own_order: str) -> BootChoice:
    """Decide a start by the flags in force and the machine's own first device; flags for one boot are used up."""
    if len(flags) != 5 or not flags[0] & _VALID:
        return BootChoice(own_order, 0, NONE)
    device = (flags[1] >> 2) & 0x0F
    return BootChoice(_DEVICES.get(device, own_order), device, flags if flags[0] & _PERSISTENT else NONE)
