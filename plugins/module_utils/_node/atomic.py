# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A file is its old self or its new one at every instant, also after a power cut."""

from __future__ import annotations

import os


def replace(path: str, content: bytes, mode: int = 0o600, uid: int = -1, gid: int = -1) -> None:
    """Write content beside path, flush it to the disk, and rename it over path. Makes missing parent folders.

    uid and gid of -1 are the caller's. Raises OSError; then path is untouched and nothing lies beside it.
    """
    staged = staged_path(path)
    make_folder(os.path.dirname(path) or ".")
    stage(staged, content, mode, uid, gid)
    try:
        os.rename(staged, path)
    except BaseException:
        os.unlink(staged)
        raise
    sync_folder(os.path.dirname(path) or ".")


def staged_path(path: str) -> str:
    """Where the new content of path lies before it is renamed over it: in the same folder."""
    return os.path.join(os.path.dirname(path), f".{os.path.basename(path)[:200]}.{os.getpid()}.new")


def stage(staged: str, content: bytes, mode: int, uid: int = -1, gid: int = -1) -> None:
    """Write a file and flush it to the disk. Raises OSError; then it is not there."""
    descriptor = os.open(staged, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
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
