# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Builds the image of an element, boots its root file system, and leaves a process that keeps the machine.

Usage: machine.py FOLDER ELEMENT [MORE_ELEMENTS...], and machine.py FOLDER to end it. MORE_ELEMENTS are folders of
elements besides the collection's. The process ends by itself after 15 minutes.
FOLDER/free_port holds a port that nothing listens on: the machine shares the host's network.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[3] / "tests" / "system"))

import image_tree

LONGEST = 900.0


def main() -> int:
    """Start the process and wait until the machine can be reached, or end it; the exit status."""
    if len(sys.argv) == 2:
        _end(Path(sys.argv[1]))
        return 0
    started, tell = os.pipe()
    if os.fork() == 0:
        os.close(started)
        _keep(Path(sys.argv[1]), sys.argv[2], [Path(path) for path in sys.argv[3:]], tell)
        os._exit(0)
    os.close(tell)
    return 0 if os.read(started, 1) else 1


def _end(folder: Path) -> None:
    with contextlib.suppress(FileNotFoundError):
        pid = (folder / "pid").read_text()
        while os.fsencode(folder) in Path("/proc", pid, "cmdline").read_bytes():
            os.kill(int(pid), signal.SIGTERM)
            time.sleep(0.2)


def _keep(folder: Path, element: str, more: list[Path], tell: int) -> None:
    os.setsid()
    tree = image_tree.build(element, ("debian-base", "node-agent", element), folders=more)
    machine = image_tree.machine(folder, tree)
    try:
        machine.start()
        ends = {signal.SIGTERM, signal.SIGINT, signal.SIGHUP}
        signal.pthread_sigmask(signal.SIG_BLOCK, ends)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            (folder / "free_port").write_text(str(free.getsockname()[1]))
        (folder / "pid").write_text(str(os.getpid()))
        os.write(tell, b"1")
        # Who started it waits until nobody can write any more.
        nothing = os.open(os.devnull, os.O_RDWR)
        for descriptor in (0, 1, 2, tell):
            os.dup2(nothing, descriptor)
        signal.sigtimedwait(ends, LONGEST)
    finally:
        machine.stop()


if __name__ == "__main__":
    sys.exit(main())
