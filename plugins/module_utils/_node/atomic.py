# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A file is its old self or its new one at every instant, also after a power cut."""

from __future__ import annotations

import contextlib
import os
import zlib
from collections.abc import Iterable

_PART = ".part"
_LONGEST = 200


def replace(path: str, content: bytes, mode: int = 0o600, uid: int = -1, gid: int = -1) -> None:
    """Write content beside path, flush it to the disk, and rename it over path. Makes missing parent folders.

    uid and gid of -1 are the caller's. Raises OSError; then path is untouched and nothing lies beside it.
    """
    staged = staged_path(path, _PART)
    make_folder(os.path.dirname(path) or ".")
    sweep([path])
    stage(staged, content, mode, uid, gid)
    try:
        os.rename(staged, path)
    except BaseException:
        os.unlink(staged)
        raise
    sync_folder(os.path.dirname(path) or ".")


def staged_path(path: str, suffix: str = ".new") -> str:
    """Where the new content of path lies before it is renamed over it: in the same folder."""
    return os.path.join(os.path.dirname(path), f".{_short_name(path)}.{os.getpid()}{suffix}")


def sweep(paths: Iterable[str]) -> None:
    """Remove what ``replace`` has left beside these files where it was killed."""
    folders: dict[str, set[str]] = {}
    for path in paths:
        folders.setdefault(os.path.dirname(path) or ".", set()).add(_short_name(path))
    for folder, names in folders.items():
        with contextlib.suppress(OSError):
            for entry in os.listdir(folder):
                name, _dot, pid = entry[1 : -len(_PART)].rpartition(".")
                left = entry.startswith(".") and entry.endswith(_PART) and name in names and pid.isdigit()
                if left and not os.path.exists(f"/proc/{pid}"):
                    os.unlink(os.path.join(folder, entry))


def _short_name(path: str) -> str:
    """The file's name, or one of its own that leaves room for what is added to it."""
    name = os.fsencode(os.path.basename(path))
    return os.fsdecode(name if len(name) <= _LONGEST else b"%s-%08x" % (name[: _LONGEST - 9], zlib.crc32(name)))


def stage(staged: str, content: bytes, mode: int, uid: int = -1, gid: int = -1) -> None:
    """Write a file and flush it to the disk. Raises OSError; then it is not there."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(staged)
    # O_EXCL: where others may write to the folder, a file that they prepared would show them the content.
    descriptor = os.open(staged, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(content)
            stream.flush()
            os.fchown(stream.fileno(), uid, gid)
            os.fchmod(stream.fileno(), mode)
            os.fsync(stream.fileno())
    except BaseException:
        os.unlink(staged)
        raise


def make_folder(folder: str, mode: int = 0o777) -> None:
    """Make a folder and its missing parents, durably."""
    if os.path.isdir(folder):
        return
    parent = os.path.dirname(folder) or "."
    make_folder(parent)
    try:
        os.mkdir(folder, mode)
    except FileExistsError:
        if not os.path.isdir(folder):
            raise
    sync_folder(parent)


def sync_folder(folder: str) -> None:
    """Make a rename in folder durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
