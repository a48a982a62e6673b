# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the consoles of nodes are kept, and whose turn it is to record those of a stack."""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
import uuid
from collections.abc import Iterable

LARGEST = 64 * 1024
_POLL = 0.1


def console_log(state_dir: str, node: str) -> str:
    """The file that has the end of a node's console, at most 64 KiB."""
    return os.path.join(state_dir, "run", "console", f"{node}.log")


def recorder_log(state_dir: str, stack: str) -> str:
    """The file where the recorder of a stack says what it could not do."""
    return os.path.join(state_dir, "run", f"{stack}.recorder.log")


def forget(state_dir: str, nodes: Iterable[str]) -> None:
    """Remove what is kept of these nodes: they start anew."""
    for node in nodes:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(console_log(state_dir, node))


def wait_end(state_dir: str, stack: str, patience: float) -> bool:
    """Wait until no recorder of the stack works, at most patience seconds; whether none does."""
    try:
        descriptor = os.open(_turn(state_dir, stack), os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return True
    end = time.monotonic() + patience
    try:
        while not _lock(descriptor):
            if time.monotonic() >= end:
                return False
            time.sleep(_POLL)
        return True
    finally:
        os.close(descriptor)


class Turn:
    """One recorder at a time: whoever comes last names itself in a file, and who finds another name there ends."""

    def __init__(self, state_dir: str, stack: str) -> None:
        self._name = uuid.uuid4().hex.encode()
        self._descriptor = os.open(_turn(state_dir, stack), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        os.pwrite(self._descriptor, self._name, 0)

    def begin(self, patience: float) -> bool:
        """Wait for the one before to end, at most patience seconds; whether it has, and no later one came."""
        end = time.monotonic() + patience
        while self.mine() and not _lock(self._descriptor):
            if time.monotonic() >= end:
                return False
            time.sleep(_POLL)
        return self.mine()

    def mine(self) -> bool:
        """False when a later one wants to work."""
        return os.pread(self._descriptor, len(self._name), 0) == self._name

    def end(self) -> None:
        """Let others begin."""
        os.close(self._descriptor)


class Ring:
    """The end of a console in a file: when it would grow over 64 KiB, about the first half goes."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._file = self._open(os.O_APPEND)
        self._size = os.fstat(self._file).st_size

    def add(self, data: bytes) -> None:
        """Append what a machine has printed. Raises OSError."""
        if self._size + len(data) > LARGEST:
            self._cut()
        self._size += os.write(self._file, data)

    def close(self) -> None:
        """Add nothing any more."""
        os.close(self._file)

    def _open(self, flags: int, suffix: str = "") -> int:
        flags |= os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        return os.open(self._path + suffix, flags, 0o600)

    def _cut(self) -> None:
        kept = os.pread(self._file, LARGEST // 2, self._size - LARGEST // 2)
        # From the next whole line on: half a path would not be recognised as one.
        kept = kept[kept.find(b"\n") + 1 :]
        new = self._open(os.O_APPEND | os.O_TRUNC, ".new")
        os.write(new, kept)
        os.replace(self._path + ".new", self._path)
        os.close(self._file)
        self._file, self._size = new, len(kept)


def _turn(state_dir: str, stack: str) -> str:
    return os.path.join(state_dir, "run", f"{stack}.recorder")


def _lock(descriptor: int) -> bool:
    with contextlib.suppress(BlockingIOError):
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return True
    return False
