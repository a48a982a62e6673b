# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The connections that OpenSSH keeps for a run's next call: the private folder of their sockets, and their end."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import signal
import stat
import tempfile

from .errors import PushError


def folder(state_dir: str, stack: str, port: int) -> str:
    """Where the sockets of a stack's connections lie. Its name is short: a socket's may have 107 letters."""
    name = hashlib.sha256(f"{os.path.realpath(state_dir)}\0{stack}\0{port}".encode()).hexdigest()[:16]
    base = "/run" if os.access("/run", os.W_OK) else os.environ.get("XDG_RUNTIME_DIR") or tempfile.gettempdir()
    return os.path.join(base, f"tripleo-push-{os.getuid()}-{name}")


def make(path: str) -> None:
    """Make the folder, or see that the one which is there is ours alone. Raises PushError."""
    with contextlib.suppress(FileExistsError):
        os.mkdir(path, 0o700)
    found = os.lstat(path)
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077:
        raise PushError(f"{path} is not a private folder of this user", operation="keep connections")


def end(path: str) -> None:
    """End the connections and remove the folder. Each is told by its process's title, which OpenSSH sets."""
    if not os.path.lexists(path):
        return
    title = f"ssh: {path}/".encode()
    for name in os.listdir("/proc"):
        with contextlib.suppress(OSError):
            if name.isdigit() and os.stat(f"/proc/{name}").st_uid == os.getuid():
                with open(f"/proc/{name}/cmdline", "rb") as stream:
                    if stream.read(len(title)) == title:
                        os.kill(int(name), signal.SIGTERM)
    shutil.rmtree(path, ignore_errors=True)
