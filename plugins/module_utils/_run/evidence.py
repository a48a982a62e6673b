# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the services' logs know of a node that does not come: its DHCP lines and what it fetched."""

from __future__ import annotations

import contextlib
import os

from .reports import clean

MOST_LINES = 5
_TAIL_BYTES = 1024 * 1024
# Lines that dnsmasq writes for each packet and that say nothing of how it went.
_NOISE = ("requested options", "sent size", "available DHCP", "next server", "vendor class", "client provides")


def evidence(state_dir: str, mac: str, address: str) -> list[str]:
    """The last lines on one node, oldest first: DHCP by its MAC address, HTTP by its address.

    Paths are left out of the HTTP lines: who reads a log must not learn them.
    """
    run = os.path.join(state_dir, "run")
    dhcp = [
        line
        for line in _tail(os.path.join(run, "dnsmasq.log"))
        if mac in line.lower() and not any(word in line for word in _NOISE)
    ]
    http = [
        " ".join([words[1], words[2].rpartition("/")[2], words[3]])
        for words in map(str.split, _tail(os.path.join(run, "nginx-access.log")))
        if len(words) == 4 and words[0] == address
    ]
    lines = [line.partition(": ")[2] or line for line in dhcp[-MOST_LINES:]] + http[-MOST_LINES:]
    return [clean(line) for line in lines] or ["no DHCP request of it was seen"]


def _tail(path: str) -> list[str]:
    with contextlib.suppress(OSError), open(path, "rb") as stream:
        stream.seek(max(0, os.fstat(stream.fileno()).st_size - _TAIL_BYTES))
        return stream.read().decode(errors="replace").splitlines()
    return []
