# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One machine: a QEMU process that is started, killed and watched, and what outlives it: flags and the event log."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import time
from pathlib import Path
from typing import Any

from tripleo_cloud.rack import bootflags, eventlog
from tripleo_cloud.rack.eventlog import EventKind, EventLog
from tripleo_cloud.rack.qemu import CONSOLE_LOG, Qmp, command_line, disk_file
from tripleo_cloud.rack.spec import MachineSpec

_STATE = "state.json"
_QEMU_LOG = "qemu.log"
_CYCLE_SECONDS = 1.0
_LARGEST_CONSOLE_LOG = 16 << 20
# A start that ends within this time counts as failed; after so many in a row the machine stays off.
_QUICK_SECONDS, _MOST_QUICK_ENDS = 2.0, 5
_RESTART_CAUSES = {eventlog.BOOT_POWER_UP: 0x01, eventlog.BOOT_HARD_RESET: 0x01, eventlog.BOOT_WARM_RESET: 0x00}


class Machine:
    """A machine in a directory of its own; all methods belong to one event loop."""

    def __init__(self, spec: MachineSpec, index: int, directory: Path, *, uuid: str, accelerator: str) -> None:
        self.spec = spec
        self.index = index
        self.directory = directory
        self.uuid = uuid
        self.accelerator = accelerator
        self.starts = 0
        self.failure = ""
        self.restart_cause = 0
        self._process: asyncio.subprocess.Process | None = None
        self._qmp: Qmp | None = None
        self._watcher: asyncio.Task[None] | None = None
        self._started_at = 0.0
        self._quick_ends = 0
        self._lock = asyncio.Lock()
        self._later: set[asyncio.Task[None]] = set()
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._load()
        for disk in spec.disks:
            path = directory / disk_file(disk.serial)
            # One of another size is another disk.
            if not path.exists() or path.stat().st_size != disk.size << 30:
                with path.open("wb") as file:
                    file.truncate(disk.size << 30)

    @property
    def is_on(self) -> bool:
        """Is the machine powered?"""
        return self._process is not None

    async def power_on(self) -> None:
        """Start; nothing happens when it is on."""
        async with self._lock:
            if not self.is_on:
                self.failure, self._quick_ends = "", 0
                self.log.add(eventlog.POWER_ON)
                await self._start(eventlog.BOOT_POWER_UP)

    async def power_off(self) -> None:
        """Take the power away: what the guest has not written is lost."""
        async with self._lock:
            if self.is_on:
                await self._kill()
                self._record(eventlog.POWER_OFF)

    async def power_cycle(self) -> None:
        """Off, and on again a second later; a machine that is off stays so."""
        async with self._lock:
            if self.is_on:
                await self._kill()
                self.log.add(eventlog.POWER_CYCLE)
                await asyncio.sleep(_CYCLE_SECONDS)
                await self._start(eventlog.BOOT_POWER_UP)

    async def reset(self) -> None:
        """Start anew without loss of power."""
        async with self._lock:
            if self.is_on:
                await self._kill()
                await self._start(eventlog.BOOT_HARD_RESET)

    async def soft_off(self) -> None:
        """Press the power button; the guest decides what follows."""
        if self._qmp:
            await self._qmp.execute("system_powerdown")

    async def interrupt(self) -> None:
        """Send a non-maskable interrupt."""
        if self._qmp:
            await self._qmp.execute("inject-nmi")

    async def block_statistics(self) -> dict[str, Any]:
        """Counters of each disk since the last start (QEMU's block statistics), and the number of starts."""
        answer = (await self._qmp.execute("query-blockstats") if self._qmp else None) or []
        serials = {f"disk{number}": disk.serial for number, disk in enumerate(self.spec.disks)}
        disks = {serials[entry["device"]]: entry["stats"] for entry in answer if entry.get("device") in serials}
        return {"starts": self.starts, "disks": disks}

    async def qmp(self, command: str, arguments: dict[str, Any]) -> Any:
        """Any QMP command; None when the machine is off or refuses."""
        return await self._qmp.execute(command, **arguments) if self._qmp else None

    def set_flags(self, flags: bytes) -> None:
        """Keep the five bytes of boot flags as they are."""
        self.flags = flags
        self.save()

    def save(self) -> None:
        """Write down what outlives the process."""
        data = {
            "flags": self.flags.hex(),
            "records": [record.hex() for record in self.log.records],
            "clock_offset": self.log.clock_offset,
            "erased_at": self.log.erased_at,
            "starts": self.starts,
        }
        temporary = self.directory / f"{_STATE}.new"
        temporary.write_text(json.dumps(data))
        temporary.replace(self.directory / _STATE)

    def _load(self) -> None:
        data: dict[str, Any] = {}
        with contextlib.suppress(OSError, ValueError):
            data = json.loads((self.directory / _STATE).read_text())
        self.flags = bytes.fromhex(data.get("flags", bootflags.NONE.hex()))
        self.starts = int(data.get("starts", 0))
        self.log = EventLog(
            [bytes.fromhex(record) for record in data.get("records", [])],
            clock_offset=int(data.get("clock_offset", 0)),
            erased_at=int(data.get("erased_at", 0)),
        )

    def _record(self, kind: EventKind) -> None:
        self.log.add(kind)
        self.save()

    async def _start(self, boot: EventKind) -> None:
        choice = bootflags.choose(self.flags, self.spec.boot)
        self.flags = choice.flags_after
        self.starts += 1
        self.restart_cause = _RESTART_CAUSES[boot]
        self.log.add(boot, choice.device)
        self.save()
        console = self.directory / CONSOLE_LOG
        if console.exists() and console.stat().st_size > _LARGEST_CONSOLE_LOG:
            console.replace(console.with_suffix(".log.1"))
        ours, theirs = socket.socketpair()
        try:
            argv = command_line(
                self.spec,
                self.index,
                uuid=self.uuid,
                accelerator=self.accelerator,
                first=choice.first,
                qmp_fd=theirs.fileno(),
            )
            with (self.directory / _QEMU_LOG).open("ab") as log:
                self._process = await asyncio.create_subprocess_exec(
                    *argv,
                    cwd=self.directory,
                    stdin=asyncio.subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    pass_fds=[theirs.fileno()],
                    start_new_session=True,
                )
        except OSError as error:
            ours.close()
            self.failure = f"{argv[0]}: {error.strerror}"
            self._record(eventlog.POWER_FAILURE)
            return
        finally:
            theirs.close()
        self._started_at = time.monotonic()
        ours.setblocking(False)
        self._qmp = Qmp(*await asyncio.open_connection(sock=ours, limit=1 << 22))
        self._watcher = asyncio.create_task(self._watch(self._process, self._qmp))

    async def _kill(self) -> None:
        process, watcher = self._process, self._watcher
        self._process = self._qmp = self._watcher = None
        if process is not None:
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(signal.SIGKILL)
            await process.wait()
        if watcher is not None:
            await watcher

    async def _watch(self, process: asyncio.subprocess.Process, qmp: Qmp) -> None:
        reason = ""
        async for event in qmp.events():
            if event["event"] == "SHUTDOWN":
                reason = event.get("data", {}).get("reason", "")
        await process.wait()
        if self._process is process:
            task = asyncio.create_task(self._ended(process, reason))
            self._later.add(task)
            task.add_done_callback(self._later.discard)

    async def _ended(self, process: asyncio.subprocess.Process, reason: str) -> None:
        """QEMU ended, and nobody here has ended it."""
        async with self._lock:
            if self._process is not process:
                return
            self._process = self._qmp = self._watcher = None
            if reason == "guest-reset":
                quick = time.monotonic() - self._started_at < _QUICK_SECONDS
                self._quick_ends = self._quick_ends + 1 if quick else 0
                if self._quick_ends < _MOST_QUICK_ENDS:
                    await self._start(eventlog.BOOT_WARM_RESET)
                    return
                self.failure = f"reset itself {_MOST_QUICK_ENDS} times within {_QUICK_SECONDS:.0f} s each"
                self._record(eventlog.POWER_FAILURE)
            elif reason == "guest-shutdown":
                self._record(eventlog.SOFT_OFF)
            else:
                self.failure = f"QEMU ended with status {process.returncode}: {self._last_words()}"
                self._record(eventlog.POWER_FAILURE)

    def _last_words(self) -> str:
        with contextlib.suppress(OSError), (self.directory / _QEMU_LOG).open("rb") as log:
            log.seek(max(0, os.fstat(log.fileno()).st_size - 1000))
            lines = log.read().decode(errors="replace").strip().splitlines()
            return lines[-1] if lines else ""
        return ""
