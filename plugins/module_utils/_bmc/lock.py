# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One session a BMC, across processes."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import re
from collections.abc import AsyncIterator
from pathlib import Path

from .errors import BmcError, Cause
from .model import Access

POLL = 0.1


def lock_file(folder: str, access: Access) -> Path:
    """The lock file of a BMC. The port is a part of its name only where it is not IPMI's own."""
    port = "" if access.port == 623 else f"_{access.port}"
    return Path(folder) / f"bmc-{re.sub('[^a-z0-9.:-]', '_', access.address.lower())}{port}.lock"


@contextlib.asynccontextmanager
async def locked(folder: str, access: Access, patience: float) -> AsyncIterator[None]:
    """Hold the BMC's lock file, which is never removed. Waits at most patience seconds, then raises BmcError."""
    path = lock_file(folder, access)
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        end = asyncio.get_running_loop().time() + patience
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if asyncio.get_running_loop().time() >= end:
                    raise BmcError(f"another process has held {path} for {patience:g} s", Cause.BUSY) from None
                await asyncio.sleep(POLL)
        yield
    finally:
        os.close(descriptor)
