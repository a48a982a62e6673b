# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a deployment to a virtual rack does and leaves, seen from outside: processes, mounts, writes to disks."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from whole_run import WholeRun

from tripleo_cloud.rack import RackError


def until(what: str, condition: Callable[[], Any], seconds: float) -> Any:
    """Wait for a condition and return its value."""
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
        time.sleep(0.05)
    return value


class Witness:
    """Watches one deployment. Module files lie below its folder when ANSIBLE_REMOTE_TMP is ``remote`` there."""

    def __init__(self, run: WholeRun) -> None:
        self.run = run
        self.remote = run.folder / "remote"

    def processes(self, *marks: str) -> dict[int, str]:
        """Command lines with all marks that belong to the deployment; the rack's own are left out."""
        found = {}
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            with contextlib.suppress(OSError):
                words = path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
                if self._ours(words) and all(mark in words for mark in marks):
                    found[int(path.parent.name)] = words
        return found

    def leftovers(self) -> list[str]:
        """Processes, mounts, loop devices, private files, and namespaces held by other processes: all of ours."""
        left = list(self.processes().values())
        for path in Path("/proc").glob("[0-9]*/mountinfo"):
            with contextlib.suppress(OSError):
                left += [f"{path}: {line}" for line in path.read_text().splitlines() if self._ours(line)]
        loops = subprocess.run(["losetup", "--list"], capture_output=True, text=True, check=True).stdout
        left += [line for line in loops.splitlines() if self._ours(line)]
        left += [os.fspath(path) for path in self.remote.rglob("private.json")]
        return left

    def _ours(self, words: str) -> bool:
        return os.fspath(self.run.folder) in words and f"{self.run.folder}/.work/rack" not in words

    def seconds_until_nothing_is_left(self, limit: float = 75.0) -> float:
        """How long that takes from now on; fails after the limit and shows what is left."""
        began = time.monotonic()
        while left := self.leftovers():
            assert time.monotonic() - began < limit, "\n".join(left)
            time.sleep(0.1)
        return time.monotonic() - began

    def servers(self, stack: str) -> dict[str, dict[str, Any]]:
        """The last event of each server of a stack, by its name."""
        last: dict[str, dict[str, Any]] = {}
        with contextlib.suppress(FileNotFoundError):
            for line in (self.run.state / "events.jsonl").read_text().splitlines():
                with contextlib.suppress(ValueError):
                    event = json.loads(line)
                    if event["stack"] == stack:
                        last[event["server"]] = event
        return last

    def writing(self, stack: str, low: float, high: float = 80.0, count: int = 2) -> dict[str, dict[str, Any]]:
        """The servers' last events when all are between low and high percent written, else nothing."""
        servers = self.servers(stack)
        at_work = [server for server in servers.values() if low <= server.get("percent", -1) <= high]
        return servers if len(at_work) == count else {}

    def counters(self, node: str) -> tuple[int, int]:
        """Number of the machine's last start, and bytes written to its disks since then. A restart is a start."""
        found = self.run.rack.block_statistics(node)
        return found["starts"], sum(disk["wr_bytes"] for disk in found["disks"].values())

    @contextlib.contextmanager
    def written(self, nodes: Iterable[str]) -> Iterator[dict[str, dict[int, int]]]:
        """Bytes written by each start of each node that runs in the body, filled in while it works."""
        found: dict[str, dict[int, int]] = {node: {} for node in nodes}
        ended = threading.Event()

        def sample() -> None:
            while not ended.wait(0.2):
                for node, starts in found.items():
                    with contextlib.suppress(RackError):
                        number, written = self.counters(node)
                        starts[number] = max(written, starts.get(number, 0))

        thread = threading.Thread(target=sample, daemon=True)
        thread.start()
        try:
            yield found
        finally:
            ended.set()
            thread.join()

    def image_bytes(self) -> int:
        """Raw size of the image that the stack's servers get."""
        current = self.run.state / "images" / "compute-image" / "current" / "manifest.json"
        return int(json.loads(current.read_text())["size"])
