# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is known of a node that does not come: its DHCP lines, what it fetched, and the end of its console."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Sequence

from .console import console_log
from .reports import clean

MOST_LINES = 5
CONSOLE_LINES = 12
# What the lines of a console begin with, which come last.
CONSOLE = "| "
_TAIL_BYTES = 1024 * 1024
# Lines that dnsmasq writes for each packet and that say nothing of how it went.
_NOISE = ("requested options", "sent size", "available DHCP", "next server", "vendor class", "client provides")
# Escape sequences of terminals: control sequences, strings up to their end, and short ones.
_ESCAPE = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|[\]PX^_][^\x07\x1b]*(?:\x07|\x1b\\)?|[ -/]*[0-~])")
# Paths and tokens have 64 digits. A terminal of 80 columns breaks one in two, of which one has 32 at least.
_SECRET = re.compile(r"[0-9a-fA-F]{24,}")


def evidence(state_dir: str, mac: str, address: str, node: str) -> list[str]:
    """The last lines on one node, oldest first: DHCP by its MAC address, HTTP by its address, then its console.

    Paths are left out of the HTTP lines, and masked in the console's: who reads a log must not learn them.
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
    lines = [clean(line) for line in lines] or ["no DHCP request of it was seen"]
    console = console_log(state_dir, node)
    shown = screen("\n".join(_tail(console)))
    return [*lines, f"console, the end of {console}:", *(CONSOLE + line for line in shown)] if shown else lines


def last_words(lines: Sequence[str], stage: str) -> str:
    """What the evidence on a silent server adds to its cause, for the message: the end of it, by its stage."""
    shown = [line[len(CONSOLE) :] for line in lines if line.startswith(CONSOLE)]
    dhcp = [line for line in lines if "DHCP" in line and not line.startswith(CONSOLE)]
    words = [f"the boot services' log says: {dhcp[-1]}"] if stage == "powered" and dhcp else []
    return "".join(f"; {word}" for word in [*words, *(f"its console ends with: {line}" for line in shown[-1:])])


def screen(text: str) -> list[str]:
    """The last lines that a terminal would show of text, without blank ones and without what looks like a secret."""
    # Of a line that is written over itself the last state counts.
    lines = (line.rstrip("\r").rpartition("\r")[2] for line in _ESCAPE.sub("", text).split("\n"))
    shown = [clean(_SECRET.sub("(hidden)", line)) for line in lines]
    return [line for line in shown if line][-CONSOLE_LINES:]


def _tail(path: str) -> list[str]:
    with contextlib.suppress(OSError), open(path, "rb") as stream:
        stream.seek(max(0, os.fstat(stream.fileno()).st_size - _TAIL_BYTES))
        return stream.read().decode(errors="replace").split("\n")
    return []
