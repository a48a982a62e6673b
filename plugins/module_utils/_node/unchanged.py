# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The application that has nothing to do: all that the last one read and left has the same bytes as then.

Nothing is parsed or rendered to find that out, and this file imports next to nothing: on a slow machine that is most of
the time. Contents are compared, never times of files.
"""

from __future__ import annotations

import os
import stat
import sys

from .build_id import DIGEST
from .places import state_folder

try:
    from _blake2 import blake2b
except ImportError:
    from hashlib import blake2b  # loads OpenSSL, which takes longer than all else here

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Optional

PREFIXES = ("OS_CONFIG_", "NODE_AGENT_")
ACCOUNTS = ("/etc/nsswitch.conf", "/etc/passwd", "/etc/group")


class Record:
    """What the last whole application was; one file of the agent's state, for the last command line that was used."""

    def __init__(self, arguments: Sequence[str], environment: Mapping[str, str]) -> None:
        self._path = os.path.join(state_folder(environment), "unchanged")
        relevant = sorted(f"{key}={value}" for key, value in environment.items() if key.startswith(PREFIXES))
        call = [DIGEST, sys.version, str(os.geteuid()), _cwd(), *arguments, "", *relevant]
        self._call = _line(blake2b(os.fsencode("\0".join(call))))
        self._before: Optional[bytes] = None
        self._inputs: list[str] = []
        self._templates = ""

    def messages(self) -> Optional[list[str]]:
        """What the last application said, when this one would read the same and find its files in place; else None."""
        try:
            with open(self._path, "rb") as stream:
                if stream.readline() != self._call:
                    return None
                known, text = stream.readline(), stream.read()
            inputs, (templates,), targets, said = (part.split("\n") for part in os.fsdecode(text).split("\n\n"))
            return said if _proof(text, _read(inputs, templates), targets) == known else None
        except (OSError, ValueError):
            return None

    def begin(self, inputs: Sequence[str], templates: str) -> None:
        """Forget the last application, and remember what this one is about to read."""
        self._inputs, self._templates = [*inputs, *ACCOUNTS], templates
        try:
            if os.path.exists(self._path):
                os.unlink(self._path)
            self._before = _read(self._inputs, templates)
        except (OSError, ValueError):
            self._before = None

    def save(self, targets: Sequence[str], said: Sequence[str], in_place: Callable[[], bool]) -> None:
        """Record the application that began. in_place looks once more whether every file is as it was rendered."""
        lists = (self._inputs, [self._templates], targets, said)
        fits = all(line and "\n" not in line for lines in lists for line in lines)
        if not DIGEST or self._before is None or not fits:
            return
        text = os.fsencode("\n\n".join("\n".join(lines) for lines in lists))
        staged = f"{self._path}.{os.getpid()}.new"
        try:
            proof = _proof(text, self._before, targets)
            # Only after the files were digested: what somebody changes meanwhile is seen here.
            if _read(self._inputs, self._templates) != self._before or not in_place():
                return
            os.makedirs(os.path.dirname(self._path), mode=0o755, exist_ok=True)
            # Not flushed: a file that is torn does not fit its proof.
            descriptor = os.open(staged, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
            with open(descriptor, "wb") as stream:
                stream.write(self._call + proof + text)
            os.replace(staged, self._path)
        except (OSError, ValueError):
            return


def has_account(path: str, number: Optional[int]) -> bool:
    """Whether a user or group, if one is given, is in this file: those from elsewhere may change without a trace."""
    if number is None:
        return True
    with open(path, "rb") as stream:
        return any(line.split(b":")[2:3] == [str(number).encode()] for line in stream)


def _cwd() -> str:
    try:
        return os.getcwd()
    except FileNotFoundError:
        return ""


def _line(digest: blake2b) -> bytes:
    return digest.hexdigest().encode() + b"\n"


def _proof(text: bytes, read: bytes, targets: Sequence[str]) -> bytes:
    """The line that stands for the record's text, what was read, and what lies at the targets."""
    found = blake2b(len(text).to_bytes(8, "big") + text + read)
    for path in targets:
        try:
            status = os.lstat(path)
        except FileNotFoundError:
            found.update(b"absent\0")
            continue
        found.update(f"{status.st_mode} {status.st_uid} {status.st_gid}\0".encode())
        if stat.S_ISREG(status.st_mode):
            _add_content(found, path)
    return _line(found)


def _read(inputs: Sequence[str], templates: str) -> bytes:
    """Digest of all that an application reads. Raises OSError or ValueError for what cannot be read twice."""
    found = blake2b()
    for path in inputs:
        _add_input(found, path)
    _add_folder(found, templates)
    return bytes(found.digest())


def _add_folder(found: blake2b, folder: str) -> None:
    with os.scandir(folder) as entries:
        ordered = sorted(entries, key=lambda entry: entry.name)
    for entry in ordered:
        found.update(os.fsencode(entry.path) + b"\0")
        if entry.is_dir(follow_symlinks=False):
            _add_folder(found, entry.path)
        elif not entry.is_dir():
            _add_input(found, entry.path)


def _add_input(found: blake2b, path: str) -> None:
    try:
        mode = os.stat(path).st_mode
    except FileNotFoundError:
        found.update(b"absent\0")
        return
    if not stat.S_ISREG(mode):
        raise ValueError(path)
    found.update(b"program\0" if os.access(path, os.X_OK) else b"text\0")
    _add_content(found, path)


def _add_content(found: blake2b, path: str) -> None:
    with open(path, "rb", buffering=0) as stream:
        content = stream.read()
    found.update(len(content).to_bytes(8, "big") + content)
