# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A change of network files that counts only when it is confirmed.

Before the first file is written, ``pending.json`` keeps old and new texts and what was ``applied``; confirming is
removing it. Whoever finds one
while nobody holds the lock puts the old files back: the guard (a transient unit that waits for the lock, so it acts as
soon as a run dies), the next run, and the next boot before networkd starts. Imports are light: it runs at each boot.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import time
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple, Optional

from .atomic import replace, sync_folder
from .errors import NodeError

LOCK_SECONDS = 300.0
Texts = Mapping[str, Optional[str]]


class Place(NamedTuple):
    """Where the agent keeps what it knows of the network. Paths of files are below root."""

    root: str
    state: str

    @property
    def pending(self) -> str:
        """The change that is not confirmed."""
        return os.path.join(self.state, "network", "pending.json")

    @property
    def applied(self) -> str:
        """What was confirmed last."""
        return os.path.join(self.state, "network", "applied.json")

    @property
    def refused(self) -> str:
        """Digest and cause of the change that was taken back last."""
        return os.path.join(self.state, "network", "refused.json")


@contextlib.contextmanager
def locked(place: Place, seconds: float = LOCK_SECONDS) -> Iterator[None]:
    """Hold the lock of the host's network. Raises NodeError when another process has it for seconds."""
    os.makedirs(os.path.dirname(place.pending), mode=0o700, exist_ok=True)
    descriptor = os.open(os.path.join(place.state, "network", "lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    deadline = time.monotonic() + seconds
    try:
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise NodeError("another process changes the network and does not come to its end") from None
                time.sleep(0.1)
        yield
    finally:
        os.close(descriptor)


def confirm(place: Place) -> None:
    """Make the change that was begun the one that stays."""
    os.unlink(place.pending)
    sync_folder(os.path.dirname(place.pending))


def write(place: Place, texts: Texts) -> None:
    """Bring files to these texts; None removes one. Raises NodeError."""
    for name, text in texts.items():
        path = os.path.join(place.root, name)
        if read(path) == text:
            continue
        try:
            if text is None:
                os.unlink(path)
                sync_folder(os.path.dirname(path))
            else:
                replace(path, text.encode(), 0o644)
        except OSError as error:
            raise NodeError(f"{path} cannot be written: {error.strerror}") from error


def take_back(place: Place, cause: str) -> Optional[dict[str, Any]]:
    """Write the old files of a change that was not confirmed; what was pending, None without one.

    It stays pending: ``confirm`` ends it when all else is back too.
    """
    pending = load(place.pending)
    if not pending:
        return None
    write(place, pending["before"])
    save(place.applied, pending["applied"])
    save(place.refused, {"digest": pending["digest"], "cause": cause})
    return pending


def take_back_at_boot(root: str, state: str) -> bool:
    """Before networkd starts: the old files, if a change was not confirmed; whether one was there. Raises NodeError."""
    place = Place(root, state)
    if not os.path.exists(place.pending):
        return False
    with locked(place):
        if take_back(place, "the machine went down before the new settings were proven"):
            confirm(place)
    return True


def load(path: str) -> dict[str, Any]:
    """A file of the state; empty when it is missing. Raises NodeError when it cannot be read."""
    text = read(path)
    try:
        loaded = json.loads(text or "{}")
    except ValueError as error:
        raise NodeError(f"{path} is damaged: {error}") from error
    return loaded if isinstance(loaded, dict) else {}


def save(path: str, value: Any) -> None:
    """Store a file of the state durably. Raises NodeError."""
    try:
        replace(path, json.dumps(value, indent=1).encode())
    except OSError as error:
        raise NodeError(f"{path} cannot be written: {error.strerror}") from error


def read(path: str) -> Optional[str]:
    """The text of a file; None when there is none."""
    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as stream:
            return stream.read()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise NodeError(f"{path} cannot be read: {error.strerror}") from error
