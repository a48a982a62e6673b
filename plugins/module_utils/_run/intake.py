# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the keeper does with what nodes do: reports and boot requests become stages, events and pinned keys."""

from __future__ import annotations

import contextlib
import json
import os
import re
import sqlite3
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from .._boot.dnsmasq import SCRIPT, BootEntry, parse_run_file
from .._errors import TripleoError
from .._state.stages import Stage
from .._state.store import State
from . import events, serve
from .lease import Lease
from .reports import PLACE, Report, ReportError, check, clean, load

_DAMAGED = (FileNotFoundError, ValueError, TypeError, AttributeError, RecursionError)
ACCESS = re.compile(r"(\S+) GET /([0-9a-f]{64})/(\S+) ([0-9]{3})\n")
# A server that failed stays so until it is powered again: its firmware may go round and round.
_BEFORE_PXE = (Stage.RESERVED, Stage.POWERED)
_ORDER = list(Stage)


@dataclass(frozen=True)
class Boot:
    """What one stack boots now: its lease and its run file."""

    lease: Lease
    entries: tuple[BootEntry, ...]


def read_boot(state_dir: str, lease: Lease) -> Boot:
    """The run file of a lease. One of another plan is of no use any more: it goes, and its paths with it."""
    path = os.path.join(state_dir, "run", f"{lease.stack}.boot.json")
    try:
        with open(path, encoding="utf-8") as stream:
            plan, entries = parse_run_file(json.load(stream))
    except FileNotFoundError:
        return Boot(lease, ())
    except ValueError as error:
        raise TripleoError(f"{path} is damaged: {error}", operation="read the run file") from error
    if plan == lease.plan:
        return Boot(lease, entries)
    for entry in entries:
        serve.remove(state_dir, entry.place)
    os.unlink(path)
    return Boot(lease, ())


class Intake:
    """Follows the nodes of the stacks that have boot work."""

    def __init__(self, state_dir: str, log: Callable[[str], None], fault: Callable[[str], None]) -> None:
        """log: takes what happens. fault: takes what goes wrong again and again until somebody mends it."""
        self._state_dir = state_dir
        self._log = log
        self._fault = fault
        self._file_of_ramdisks = os.path.join(state_dir, "run", "ramdisks.json")
        # Place -> when it was heard of last, and its longest silence since its stage began; seconds since the epoch.
        self._silences: dict[str, tuple[float, float]] = {}
        # Place -> stack and boot id of the ramdisk that reported last; kept for the next keeper.
        self._ramdisks: dict[str, tuple[str, str]] = {}
        with contextlib.suppress(*_DAMAGED), open(self._file_of_ramdisks, encoding="utf-8") as file:
            self._ramdisks = {place: (stack, boot_id) for place, (stack, boot_id) in json.load(file).items()}

    def scan(self, boots: Iterable[Boot], requests: Iterable[tuple[str, str]]) -> None:
        """Take in all reports that lie there and all requests (path, file name) that nginx answered."""
        asked = {path for path, name in requests if name == SCRIPT}
        for boot in boots:
            waiting = {entry: self._waiting(entry) for entry in boot.entries}
            if not any(names or entry.path in asked for entry, names in waiting.items()):
                continue
            with State.open(self._state_dir) as state:
                whole = True
                for entry, names in waiting.items():
                    try:
                        if entry.path in asked:
                            self._boot_request(state, boot, entry)
                        for name in names:
                            self._file(state, boot, entry, name)
                    except (TripleoError, OSError, sqlite3.Error) as error:
                        # What could not be taken in stays where it is, and what came after it, for the next round.
                        self._fault(f"{entry.node}: {clean(str(error))}")
                        whole = False
                if whole:
                    self._finish(state, boot)

    def _waiting(self, entry: BootEntry) -> list[str]:
        """Names of the reports that lie in a node's folder, as they came."""
        try:
            return _reports(serve.reports(self._state_dir, entry.place))
        except OSError as error:
            self._fault(f"{entry.node}: {error}")
            return []

    def _boot_request(self, state: State, boot: Boot, entry: BootEntry) -> None:
        record = state.servers(boot.lease.stack).get(entry.server)
        if record and Stage(record.stage) in _BEFORE_PXE:
            self._stage(state, boot, entry, Stage.PXE)

    def _file(self, state: State, boot: Boot, entry: BootEntry, name: str) -> None:
        path = os.path.join(serve.reports(self._state_dir, entry.place), name)
        try:
            report = check(load(path), name, plan=boot.lease.plan, server=entry.server, token_sha256=entry.token_sha256)
        except (ReportError, OSError) as error:
            self._log(f"{entry.node}: the report {clean(name, 100)} is not used: {clean(str(error))}")
        else:
            try:
                self._report(state, boot, entry, report)
            except TripleoError as error:
                self._log(f"{entry.node}: stage {report.stage}: {clean(str(error))}")
        # Last: when the keeper dies before, the next one takes the same report in again, to the same end.
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)

    def _report(self, state: State, boot: Boot, entry: BootEntry, report: Report) -> None:
        details = report.details
        record = state.servers(boot.lease.stack).get(entry.server)
        stage = Stage(record.stage) if record else Stage.RESERVED
        if report.stage == PLACE:
            # Shown, not believed: which stage a server reaches after `booted` is asked over SSH.
            if stage.is_booted:
                self._event(boot, entry, stage, **details)
            return
        if stage.is_booted:
            if stage is Stage.BOOTED and report.stage == "booted":
                # Again, because the event may not have found room on the disk when the state had it already.
                self._event(boot, entry, Stage.BOOTED)
            return
        if report.stage == "ramdisk":
            self._ramdisks[entry.place] = (boot.lease.stack, report.boot_id)
            self._save()
            state.set_facts(entry.node, {"disks": details["disks"]})
            self._stage(state, boot, entry, Stage.RAMDISK)
        elif report.stage == "writing":
            if serve.switched(self._state_dir, entry.place):
                return
            if stage is Stage.WRITING and record:
                self._silence(entry, record.updated)
                self._event(boot, entry, Stage.WRITING, **details)
            else:
                self._stage(state, boot, entry, Stage.WRITING, **details)
        elif report.stage == "written":
            addresses = _addresses(state, boot.lease.stack, entry)
            serve.pin(self._state_dir, boot.lease.stack, addresses, details["ssh_host_key"])
            self._stage(state, boot, entry, Stage.WRITTEN, host_key=details["ssh_host_key"])
            serve.switch(self._state_dir, entry.place)
        elif report.stage == "failed":
            self._stage(state, boot, entry, Stage.FAILED, cause=details["cause"])
        else:
            self._booted(state, boot, entry, report)

    def _booted(self, state: State, boot: Boot, entry: BootEntry, report: Report) -> None:
        built = report.details["build_id"]
        if self._ramdisks.get(entry.place, ("", ""))[1] == report.boot_id:
            self._log(f"{entry.node}: reports booted from the ramdisk; not believed")
        elif built != entry.build_id:
            cause = f"the system that booted has build id {built}, the plan's image has {entry.build_id}"
            self._stage(state, boot, entry, Stage.FAILED, cause=cause)
        else:
            self._stage(state, boot, entry, Stage.BOOTED)

    def _finish(self, state: State, boot: Boot) -> None:
        records = state.servers(boot.lease.stack)
        stages = [Stage(records[entry.server].stage) for entry in boot.entries if entry.server in records]
        if len(stages) < len(boot.entries) or not all(stage.is_booted for stage in stages):
            return
        # Servers that an earlier run has booted are no longer in the run file; their places go with the last one.
        booted_before = [place for place, (stack, _boot_id) in self._ramdisks.items() if stack == boot.lease.stack]
        for place in {*booted_before, *(entry.place for entry in boot.entries)}:
            serve.remove(self._state_dir, place)
            self._ramdisks.pop(place, None)
        self._save()
        with contextlib.suppress(FileNotFoundError):
            os.unlink(os.path.join(self._state_dir, "run", f"{boot.lease.stack}.boot.json"))

    def _stage(self, state: State, boot: Boot, entry: BootEntry, stage: Stage, **details: Any) -> None:
        cause, host_key = details.get("cause"), details.pop("host_key", None)
        lease = boot.lease
        self._learn(state, boot, entry, stage)
        state.set_stage(lease.stack, entry.server, stage, plan=lease.plan, cause=cause, host_key=host_key)
        self._event(boot, entry, stage, **details)
        self._log(f"{entry.server} ({entry.node}): {stage.value}{': ' + cause if cause else ''}")

    def _learn(self, state: State, boot: Boot, entry: BootEntry, stage: Stage) -> None:
        """Remember how long a machine was silent in the stage that it has just ended well, all within this run."""
        record = state.servers(boot.lease.stack).get(entry.server)
        if record is None:
            return
        longest = self._silence(entry, record.updated)
        self._silences.pop(entry.place)
        if record.updated >= boot.lease.since and _ORDER.index(stage) == _ORDER.index(Stage(record.stage)) + 1:
            state.learn(entry.node, Stage(record.stage), longest)

    def _silence(self, entry: BootEntry, began: float) -> float:
        """Something was heard of a machine; its longest silence in seconds since its stage began."""
        now = time.time()
        heard, longest = self._silences.get(entry.place, (began, 0.0))
        longest = max(longest, now - max(heard, began))
        self._silences[entry.place] = (now, longest)
        return longest

    def _event(self, boot: Boot, entry: BootEntry, stage: Stage, **details: Any) -> None:
        lease = boot.lease
        events.append(
            self._state_dir, lease.stack, lease.run_id, lease.plan, entry.server, entry.node, stage.value, **details
        )

    def _save(self) -> None:
        serve.write_file(self._file_of_ramdisks, json.dumps(self._ramdisks), 0o600)


class AccessLog:
    """Reads what nginx wrote to its access log since the last look."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._offset = 0

    def requests(self) -> list[tuple[str, str]]:
        """Path and file name of every GET that was answered with 200 or 206."""
        with contextlib.suppress(OSError), open(self._path, "rb") as stream:
            stream.seek(self._offset)
            chunk = stream.read(events.POLL_BYTES)
            whole = chunk[: chunk.rfind(b"\n") + 1]
            self._offset += len(whole) or (len(chunk) if len(chunk) == events.POLL_BYTES else 0)
            lines = whole.decode(errors="replace").splitlines(keepends=True)
            found = [matched for matched in map(ACCESS.fullmatch, lines) if matched]
            return [(matched.group(2), matched.group(3)) for matched in found if matched.group(4)[:2] == "20"]
        return []


def _reports(path: str) -> list[str]:
    """Names of the files in a report folder, as they came."""
    found = []
    with contextlib.suppress(FileNotFoundError), os.scandir(path) as entries:
        for item in entries:
            with contextlib.suppress(FileNotFoundError):
                found.append((item.stat(follow_symlinks=False).st_mtime_ns, _natural(item.name), item.name))
    return [name for _time, _number, name in sorted(found)]


def _natural(name: str) -> int:
    digits = name.rpartition("-")[2].partition(".")[0]
    return int(digits) if digits.isascii() and digits.isdigit() and len(digits) < 10 else 0


def _addresses(state: State, stack: str, entry: BootEntry) -> set[str]:
    """All addresses of a server: its provisioning address and what the plan gives it."""
    plan = state.current_plan(stack) or {}
    found = {entry.address}
    for server in plan.get("servers", {}).values():
        if server.get("name") == entry.server:
            found.update(address for addresses in server.get("networks", {}).values() for address in addresses)
    return found
