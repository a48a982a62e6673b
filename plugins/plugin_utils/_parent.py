# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A task of ours ends with its ansible-playbook: ansible-core's workers outlive one that is killed."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Iterator

INTERVAL = 0.5


@contextlib.contextmanager
def with_parent() -> Iterator[None]:
    """Watch the parent process during the body; when it is gone, end this one and what it has started."""
    parent, ended = os.getppid(), threading.Event()

    def watch() -> None:
        while not ended.wait(INTERVAL):
            if os.getppid() != parent:
                _end()

    thread = threading.Thread(target=watch, name="parent", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def _end() -> None:
    """A worker leads a session of its own, with ssh or the local module in it; these are asked, it just goes."""
    if os.getpgrp() == os.getpid():
        os.killpg(os.getpgrp(), signal.SIGTERM)
    os._exit(1)
