# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The node's service: it sleeps until a run tells something or a poll is due. All work is done by processes of its own.

Imports are few and light on purpose: this is what stays in memory.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import sys
import time
from collections.abc import Iterator
from typing import Callable, Optional

from . import progress, store, systemd
from .first_boot import load_meta
from .paths import Paths
from .polling import Polling
from .reports import Reporter

JITTER = 0.1


class Schedule:
    """When the next poll is due. Pure: random gives a number from 0 up to 1, now is any clock that never jumps."""

    def __init__(self, random: Callable[[], float]) -> None:
        self._random = random
        self._polling = Polling()
        self._pause = 0.0
        self.due: Optional[float] = None

    def set(self, polling: Polling, now: float) -> None:
        """Take new settings; the first poll comes at a random moment of splay, or of one interval."""
        if polling != self._polling:
            self._polling, self._pause = polling, polling.interval
            self.due = now + self._random() * (polling.splay or polling.interval) if polling.interval else None

    def hurry(self, now: float) -> None:
        """Poll now, when polling is on."""
        if self._polling.interval:
            self._pause, self.due = self._polling.interval, now

    def polled(self, well: bool, now: float) -> None:
        """Choose the next time: after the interval, or after twice the last pause when something failed."""
        if not self._polling.interval:
            return
        longest = max(self._polling.longest, self._polling.interval)
        self._pause = self._polling.interval if well else min(2 * self._pause, longest)
        self.due = now + self._pause * (1 - JITTER + 2 * JITTER * self._random())


class Service:
    """One process, ``run`` until SIGTERM."""

    def __init__(self, paths: Paths, polling: Callable[[], Polling]) -> None:
        """polling: reads the settings anew each time."""
        self._paths = paths
        self._polling = polling
        self._schedule = Schedule(_random)
        self._reporter = Reporter()
        self._child: Optional[tuple[int, str]] = None
        self._stopping = False

    def run(self) -> int:
        """Serve; the exit status."""
        with _wake_up() as signals, _listening(self._paths) as channel:
            poller = select.poll()
            poller.register(signals, select.POLLIN)
            poller.register(channel, select.POLLIN)
            systemd.ready()
            self._start("resume")
            while self._child or not self._stopping:
                poller.poll(self._milliseconds())
                for number in _drained(lambda: os.read(signals, 512)):
                    self._signal(number)
                told = _drained(lambda: channel.recv(64))
                if told:
                    self._reporter.tell(progress.load(self._paths, store.load_state(self._paths)))
                if b"ended" in told:
                    self._settings()
                self._reporter.send(load_meta(self._paths.drive))
                if not self._child and not self._stopping and _is_past(self._schedule.due):
                    self._start("poll")
        return 0

    def _milliseconds(self) -> Optional[int]:
        due = [self._reporter.due, None if self._child or self._stopping else self._schedule.due]
        moments = [moment for moment in due if moment is not None]
        return max(0, int(1000 * (min(moments) - time.monotonic())) + 1) if moments else None

    def _signal(self, number: int) -> None:
        if number == signal.SIGCHLD:
            self._reap()
        elif number == signal.SIGHUP:
            self._settings()
            self._schedule.hurry(time.monotonic())
        else:
            self._stopping = True
            if self._child:
                os.kill(self._child[0], signal.SIGTERM)

    def _settings(self) -> None:
        self._schedule.set(self._polling(), time.monotonic())

    def _start(self, command: str) -> None:
        argv = [*getattr(sys, "orig_argv", [sys.executable, "-IS", sys.argv[0], ""])[:-1], command]
        self._child = (os.posix_spawn(sys.executable, argv, os.environ, setsigdef=[signal.SIGPIPE]), command)

    def _reap(self) -> None:
        if self._child is None:
            return
        pid, status = os.waitpid(self._child[0], os.WNOHANG)
        if pid:
            command, self._child = self._child[1], None
            if command == "poll":
                self._schedule.polled(status == 0, time.monotonic())
            else:
                self._settings()


@contextlib.contextmanager
def _wake_up() -> Iterator[int]:
    """A descriptor that has the number of each signal, so that the service sleeps without any time limit."""
    reader, writer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD):
        signal.signal(number, lambda *_signal: None)
    try:
        yield reader
    finally:
        signal.set_wakeup_fd(-1)


@contextlib.contextmanager
def _listening(paths: Paths) -> Iterator[socket.socket]:
    os.makedirs(paths.run, mode=0o755, exist_ok=True)
    with contextlib.suppress(FileNotFoundError):
        os.unlink(paths.socket)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as channel:
        channel.bind(paths.socket)
        os.chmod(paths.socket, 0o600)
        yield channel


def _drained(read: Callable[[], bytes]) -> bytes:
    found = b""
    while True:
        try:
            found += read()
        except BlockingIOError:
            return found


def _is_past(moment: Optional[float]) -> bool:
    return moment is not None and moment <= time.monotonic()


def _random() -> float:
    return int.from_bytes(os.urandom(4), "big") / (1 << 32)
