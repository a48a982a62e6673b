# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where a node stands on its way from booted to healthy, so that a stuck one says where.

``step`` is what has not been reached yet: ``network``, ``metadata`` (complete documents), ``rendered`` (files in
place), ``services`` (scripts and health checks passed), or nothing. ``detail`` is what goes on there now.
"""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Mapping
from typing import Any, NamedTuple

from .first_boot import load_meta
from .paths import Paths
from .store import State

LONGEST_TEXT = 2000
CUT_OFF = "the last run was cut off"


class Progress(NamedTuple):
    """A node's place. ended: no run is under way any more; cause: why the last one failed."""

    stage: str = "booted"
    step: str = "metadata"
    detail: str = "waiting for documents"
    cause: str = ""
    ended: bool = True


def after(before: Progress, line: Mapping[str, Any]) -> Progress:
    """The place after a run has told this line. A run is begun with ``begun``."""
    if "result" in line:
        return _ended(before, line["result"])
    name, status = line.get("step"), line.get("status")
    script = line.get("script")
    if name == "healthy":
        return before._replace(stage="healthy", step="", detail="")
    if name == "configured":
        return begun()._replace(stage="configured", step="services", detail="health")
    if name == "network" and status != "done":
        return before._replace(step="network", detail="network")
    if name in ("documents", "network"):
        return before._replace(step="rendered", detail=str(name))
    if name == "render":
        return before._replace(step="services" if status == "done" else "rendered", detail="render")
    return before._replace(detail=f"{name}.d/{script}" if script else str(name))


def begun() -> Progress:
    """The place at the start of a run."""
    return Progress(detail="documents", ended=False)


def _ended(before: Progress, result: Mapping[str, Any]) -> Progress:
    failed = result.get("failed")
    if not failed:
        return Progress("healthy", "", "")
    name = str(failed.get("step") or "")
    step = {"documents": "metadata", "network": "network"}.get(name, before.step or "services")
    detail = before.detail if name == "phases" else name
    return before._replace(step=step, detail=detail, cause=str(failed.get("cause") or ""), ended=True)


def of_state(state: State) -> Progress:
    """The place that the last run left, as far as the state tells it."""
    if state.healthy:
        return Progress("healthy", "", "")
    if not state.digest:
        return Progress()
    step = {"documents": "metadata", "network": "network", "phases": "rendered"}.get(state.step, "services")
    cause = state.cause or CUT_OFF
    return Progress(state.stage, step, state.step, cause)


def save(paths: Paths, progress: Progress) -> None:
    """Keep the place in its file and tell the service; neither is worth an error."""
    now = {**progress._asdict(), "boot_id": boot_id(), "uptime": uptime()}
    now["cause"] = now["cause"][:LONGEST_TEXT]
    staged = f"{paths.progress}.{os.getpid()}"
    text = json.dumps(now).encode()
    try:
        os.makedirs(paths.state, mode=0o755, exist_ok=True)
        descriptor = os.open(staged, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(text)
        os.rename(staged, paths.progress)
    except OSError:
        pass
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as channel:
            channel.sendto(b"ended" if progress.ended else b"step", paths.socket)
    except OSError:
        pass


def load(paths: Paths, state: State) -> dict[str, Any]:
    """The place as ``status`` shows it, which survives a restart of the machine as far as the state knows it.

    running: a run holds the lock. seconds: since the place was reached; 0 when that was before the machine's start.
    """
    running = _is_running(paths.lock)
    place, seconds = of_state(state), 0.0
    try:
        with open(paths.progress, "rb") as stream:
            kept = json.loads(stream.read(1 << 20))
        if kept["boot_id"] == boot_id():
            place = Progress(**{name: kept[name] for name in Progress._fields})
            seconds = round(max(0.0, uptime() - kept["uptime"]), 1)
    except (OSError, ValueError, KeyError, TypeError):
        pass
    if place == Progress() and _is_unheard(paths):
        place = place._replace(step="network", detail="nobody has taken the report that the system is up")
    if not place.ended and not running:
        place = place._replace(cause=CUT_OFF)
    shown = {**place._asdict(), "running": running, "seconds": seconds}
    del shown["ended"]
    return shown


def _is_unheard(paths: Paths) -> bool:
    wanted = load_meta(paths.drive).get("tripleo_report_url")
    return bool(wanted) and not os.path.exists(os.path.join(paths.state, "reported"))


def _is_running(lock: str) -> bool:
    """Read from the lock's text: to try the lock would keep it from somebody else for a moment."""
    try:
        with open(lock, encoding="utf-8") as stream:
            pid = int(stream.read(200).partition("pid==")[2].split()[0])
        os.kill(pid, 0)
    except (OSError, ValueError, IndexError):
        return False
    return True


def boot_id() -> str:
    """What tells this run of the kernel from all others."""
    try:
        with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as stream:
            return stream.read().strip()
    except OSError:
        return ""


def uptime() -> float:
    """Seconds since the machine's start, suspension included; no change of the clock moves it."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)
