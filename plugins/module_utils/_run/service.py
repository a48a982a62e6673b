# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One service of the keeper: a child process that is started, watched, and started again a few times."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Sequence
from typing import Any

from .reports import clean

MOST_STARTS = 3
WITHIN_SECONDS = 60.0
STOP_SECONDS = 5.0
_READY_SECONDS = 0.4
_EVIDENCE_BYTES = 8192
_EVIDENCE_LINES = 3


class Service:
    """A child in the foreground.

    After three starts within a minute it is given up; ``error`` then has the end of its log. Exit statuses are handed
    in by whoever reaps the children, because the first process of a PID namespace reaps all.
    """

    def __init__(
        self, name: str, arguments: Sequence[str], log: str, words: Sequence[str] = (), pid_file: str = ""
    ) -> None:
        """arguments: the command. log: the file that has its output. words: further logs to quote from.

        pid_file: written by the service when it listens; without one it counts as ready when it has stayed for a while.
        """
        self.name = name
        self.error = ""
        self.started = 0.0
        self._arguments = list(arguments)
        self._log = log
        self._logs = [log, *words]
        self._pid_file = pid_file
        self._process: subprocess.Popen[bytes] | None = None
        self._starts: list[float] = []

    @property
    def pid(self) -> int | None:
        """Process id while it runs."""
        return self._process.pid if self._process else None

    def start(self) -> None:
        """Start it when it does not run and is not given up."""
        if self._process or self.error:
            return
        now = time.monotonic()
        self._starts = [moment for moment in self._starts if now - moment < WITHIN_SECONDS]
        if len(self._starts) >= MOST_STARTS:
            self.error = f"{self.name} ended {MOST_STARTS} times: {self._evidence()}"
            return
        if self._starts and now - self._starts[-1] < 1.0:
            return
        self._starts.append(now)
        self._forget_pid_file()
        with open(self._log, "ab") as log:
            try:
                self._process = subprocess.Popen(
                    self._arguments, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
                )
            except OSError as error:
                self.error = f"{self.name} cannot be started: {error}"
                return
        self.started = time.time()

    def ended(self, pid: int, status: int) -> bool:
        """Take an exit status; False when the process was another one's."""
        if self._process is None or self._process.pid != pid:
            return False
        self._process.returncode = status
        self._process = None
        _kill_group(pid)
        return True

    def restart(self) -> None:
        """End it when it runs, so that the next start has it read its files anew. That is no crash."""
        if self._process:
            self.stop()

    def stop(self) -> None:
        """End it, by force after five seconds, and forget its errors."""
        process = self._process
        if process:
            self._signal(signal.SIGTERM)
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                _kill_group(process.pid)
                process.wait()
            self._process = None
        self.error = ""
        self._starts.clear()

    def report(self) -> dict[str, Any]:
        """What others may know of it."""
        return {"ready": self._ready(), "started": self.started, "error": self.error}

    def _ready(self) -> bool:
        if self._process is None:
            return False
        if not self._pid_file:
            return time.time() - self.started > _READY_SECONDS
        with contextlib.suppress(OSError), open(self._pid_file, encoding="ascii") as stream:
            return stream.read().strip() == str(self._process.pid)
        return False

    def _forget_pid_file(self) -> None:
        if self._pid_file:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self._pid_file)

    def _signal(self, number: int) -> None:
        if self._process:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._process.pid, number)

    def _evidence(self) -> str:
        lines: list[str] = []
        for path in self._logs:
            with contextlib.suppress(OSError), open(path, "rb") as stream:
                stream.seek(max(0, os.fstat(stream.fileno()).st_size - _EVIDENCE_BYTES))
                lines += [line for line in stream.read().decode(errors="replace").splitlines() if line.strip()]
        telling = [line for line in lines if "emerg" in line or "failed" in line or "error" in line] or lines
        return clean("; ".join(dict.fromkeys(telling[-_EVIDENCE_LINES:])), 600) or "its log is empty"


def _kill_group(pid: int) -> None:
    """Kill what a service has started: nginx's workers outlive a master that was killed, and keep its port."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGKILL)
