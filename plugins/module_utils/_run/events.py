# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The event file: one JSON object a line, from whatever happens to a server to whoever follows it."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import time
from typing import Any

NAME = "events.jsonl"
LARGEST = 64 * 1024 * 1024
POLL_BYTES = 1024 * 1024
_HISTORY_BYTES = 8 * 1024 * 1024


def path(state_dir: str) -> str:
    """Path of the event file."""
    return os.path.join(state_dir, NAME)


def append(
    state_dir: str, stack: str, run: str, plan: str, server: str, node: str, stage: str, **details: Any
) -> dict[str, Any]:
    """Write one event and return it. details: percent, bytes, total, rate (bytes a second), cause."""
    event: dict[str, Any] = {
        "time": round(time.time(), 3),
        "stack": stack,
        "run": run,
        "plan": plan,
        "server": server,
        "node": node,
        "stage": stage,
        **{name: value for name, value in details.items() if value is not None},
    }
    line = json.dumps(event, separators=(",", ":")).encode() + b"\n"
    descriptor = os.open(path(state_dir), os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        length = os.fstat(descriptor).st_size
        if length and os.pread(descriptor, 1, length - 1) != b"\n":
            # A full disk has torn the last line.
            line = b"\n" + line
        # One write with O_APPEND: lines of several writers do not mix.
        if os.write(descriptor, line) != len(line):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), path(state_dir))
    finally:
        os.close(descriptor)
    return event


def rotate(state_dir: str) -> None:
    """Put a large event file aside. Only for the keeper when it starts: nobody follows the file then."""
    with contextlib.suppress(FileNotFoundError):
        if os.stat(path(state_dir)).st_size > LARGEST:
            os.replace(path(state_dir), path(state_dir) + ".1")


def size(state_dir: str) -> int:
    """Length of the event file in bytes, 0 when there is none."""
    try:
        return os.stat(path(state_dir)).st_size
    except FileNotFoundError:
        return 0


def read(state_dir: str, offset: int, limit: int = POLL_BYTES) -> tuple[bytes, int]:
    """Whole lines from a byte offset on, at most limit bytes, and the offset to go on from.

    A torn last line is left for the next call. A line longer than limit is passed over.
    """
    try:
        with open(path(state_dir), "rb") as stream:
            stream.seek(offset)
            chunk = stream.read(limit)
    except FileNotFoundError:
        return b"", 0
    if not chunk and size(state_dir) < offset:
        return b"", 0
    whole = chunk[: chunk.rfind(b"\n") + 1]
    if not whole and len(chunk) == limit:
        return b"", offset + limit
    return whole, offset + len(whole)


def times(state_dir: str, stack: str, plan: str) -> dict[str, dict[str, float]]:
    """When each stage of each server of a plan began last, seconds since the epoch; powering on begins anew.

    Only the last 8 MiB of the event file are looked at.
    """
    text, _offset = read(state_dir, max(0, size(state_dir) - _HISTORY_BYTES), _HISTORY_BYTES)
    found: dict[str, dict[str, float]] = {}
    for line in text.splitlines():
        if plan.encode() not in line:
            continue
        with contextlib.suppress(ValueError, KeyError, TypeError):
            event = json.loads(line)
            if event["stack"] == stack and event["plan"] == plan:
                known = found.setdefault(event["server"], {})
                if event["stage"] == "powered":
                    known.clear()
                known.setdefault(event["stage"], event["time"])
    return found
