# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Identifies processes by id and start time, so that nobody else's process is ever ended."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import time
from pathlib import Path


def start_time(pid: int) -> int | None:
    """When a process started (clock ticks since the host's start); None when there is none, or only a zombie."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] == "Z" else int(fields[19])


def remember(path: Path, pid: int) -> None:
    """Write a process down."""
    path.write_text(json.dumps({"pid": pid, "start_time": start_time(pid), "boot_id": _boot_id()}))


def recall(path: Path) -> int | None:
    """The process that was written down, if it is still that one and alive."""
    try:
        known = json.loads(path.read_text())
        pid = int(known["pid"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
    alive = known.get("boot_id") == _boot_id() and known.get("start_time") == start_time(pid)
    return pid if alive and known.get("start_time") is not None else None


def end(pid: int, number: int = signal.SIGKILL) -> None:
    """Send a signal; a process that has gone is fine."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


def wait_gone(pid: int, seconds: float) -> bool:
    """Wait until a process has gone; False when it has not."""
    born = start_time(pid)
    deadline = time.monotonic() + seconds
    while born is not None and start_time(pid) == born:
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def inner_pid(pid: int) -> int | None:
    """A process's id in its innermost PID namespace."""
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("NSpid:"):
                return int(line.split()[-1])
    return None


def _boot_id() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
