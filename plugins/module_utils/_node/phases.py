# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The refresh phases: scripts in dib-run-parts' naming and order, one run at a time, stop at the first failure."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Callable, Optional

from .errors import Busy, NodeError

PHASES = ("pre-configure", "configure", "post-configure", "migration")
APPLY_SCRIPT = "20-os-apply-config"
SCRIPT_NAME = r"^[0-9A-Za-z_-]+$"
ENVIRONMENT_NAME = r"^[0-9A-Za-z_.-]+$"
TAIL_BYTES = 4096

Emit = Callable[[Mapping[str, object]], None]


@dataclass(frozen=True)
class ScriptFailure:
    """The script that ended a run: where, with which status (negative: killed by that signal), and its last output."""

    phase: str
    script: str
    status: int
    output: str


def list_scripts(folder: str, pattern: str = SCRIPT_NAME) -> list[str]:
    """Names of the executable files of a phase's folder, in the order in which they run.

    A numeric prefix sorts as a number (none counts as 0), equal ones sort bytewise. Other names are left alone.
    """
    try:
        names = os.listdir(folder)
    except (FileNotFoundError, NotADirectoryError):
        return []
    wanted = re.compile(pattern)
    chosen = [
        name
        for name in names
        if wanted.search(name)
        and os.path.isfile(os.path.join(folder, name))
        and os.access(os.path.join(folder, name), os.X_OK)
    ]
    return sort_names(chosen)


def sort_names(names: Sequence[str]) -> list[str]:
    """Names in the order of ``LANG=C sort -n``."""
    return sorted(names, key=lambda name: (_number(name), os.fsencode(name)))


def _number(name: str) -> Decimal:
    match = re.match(r"-?(?:\d+(?:\.\d+)?|\.\d+)", name.lstrip(" \t"))
    return Decimal(match.group() if match else 0)


def environment_files(folder: str) -> list[str]:
    """The files of an ``environment.d`` in the order in which they are sourced."""
    names = os.listdir(folder) if os.path.isdir(folder) else []
    return [
        os.path.join(folder, name)
        for name in sorted(names, key=os.fsencode)
        if re.match(ENVIRONMENT_NAME, name) and os.path.isfile(os.path.join(folder, name))
    ]


def phase_environment(base: str, environment: Mapping[str, str]) -> dict[str, str]:
    """The environment of a phase's scripts: what ``environment.d`` beside the phases exports is added."""
    folder = os.path.join(base, "environment.d")
    files = environment_files(folder)
    if not files:
        return dict(environment)
    command = 'for file in "$@"; do source "$file" >&2; done; env -0'
    done = subprocess.run(
        ["/bin/bash", "-eu", "-o", "pipefail", "-c", command, "environment.d", *files],
        env=dict(environment),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
    )
    if done.returncode != 0:
        output = done.stderr.decode("utf-8", "replace")[-TAIL_BYTES:]
        raise NodeError(f"a file of {folder} failed with exit status {done.returncode}: {output}")
    pairs = (entry.split("=", 1) for entry in os.fsdecode(done.stdout).split("\0") if "=" in entry)
    return {name: value for name, value in pairs if name not in ("_", "SHLVL")}


@contextlib.contextmanager
def locked(path: str, patience: float = 0.0, waiting: Callable[[], None] = lambda: None) -> Iterator[None]:
    """Hold the lock of the phases; wait up to patience seconds for it, calling waiting once. Raises Busy."""
    deadline = time.monotonic() + patience
    try:
        opened = open(path, "a", encoding="utf-8")  # noqa: SIM115 - the lock is held as long as it is open
    except OSError as error:
        raise NodeError(f"the lock {path} cannot be opened: {error.strerror}") from error
    with opened as stream:
        told = False
        while True:
            try:
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except OSError as error:
                if time.monotonic() >= deadline:
                    raise Busy(f"another run holds {path}") from error
            if not told:
                waiting()
                told = True
            time.sleep(0.2)
        # Who holds it is only for people: a full disk is no reason to fail.
        with contextlib.suppress(OSError):
            stream.truncate(0)
            os.write(stream.fileno(), f"Locked by pid=={os.getpid()} at {time.asctime()}\n".encode())
        try:
            yield
        finally:
            stream.truncate(0)


def run_phases(
    base: str,
    environment: Mapping[str, str],
    log: str,
    emit: Emit,
    apply: Callable[[], None],
    deadline: Optional[float] = None,
) -> Optional[ScriptFailure]:
    """Run all phases below base; return the failure that ended them, or None.

    apply renders the configuration files, at the place of ``configure.d/20-os-apply-config`` (there or not); what it
    raises ends the run. deadline is a time of the monotonic clock at which a running script is killed.
    """
    for phase in PHASES:
        folder = os.path.join(base, f"{phase}.d")
        scripts = list_scripts(folder)
        if phase == "configure":
            scripts = sort_names([*(name for name in scripts if name != APPLY_SCRIPT), APPLY_SCRIPT])
        if not scripts:
            continue
        prepared = phase_environment(base, environment)
        for script in scripts:
            if phase == "configure" and script == APPLY_SCRIPT:
                try:
                    apply()
                except NodeError:
                    _run_error_scripts(base, prepared, log, emit)
                    raise
                continue
            failure = run_script(phase, os.path.join(folder, script), prepared, log, emit, deadline)
            if failure:
                _run_error_scripts(base, prepared, log, emit)
                return failure
    return None


def run_phase(
    phase: str, base: str, environment: Mapping[str, str], log: str, emit: Emit, deadline: Optional[float] = None
) -> Optional[ScriptFailure]:
    """Run the scripts of one phase alone, in an environment that is prepared; the failure that ended it, or None."""
    folder = os.path.join(base, f"{phase}.d")
    for script in list_scripts(folder):
        failure = run_script(phase, os.path.join(folder, script), environment, log, emit, deadline)
        if failure:
            return failure
    return None


def _run_error_scripts(base: str, environment: Mapping[str, str], log: str, emit: Emit) -> None:
    run_phase("error", base, environment, log, emit)


def run_script(
    phase: str,
    path: str,
    environment: Mapping[str, str],
    log: str,
    emit: Emit,
    deadline: Optional[float] = None,
) -> Optional[ScriptFailure]:
    """Run one script, its output going to the log; emit its start and its end."""
    name = os.path.basename(path)
    emit({"step": phase, "script": name, "status": "started"})
    started = time.monotonic()
    status, output = run_logged([path], environment, log, deadline)
    seconds = round(time.monotonic() - started, 2)
    if status == 0:
        emit({"step": phase, "script": name, "status": "done", "seconds": seconds})
        return None
    emit({"step": phase, "script": name, "status": "failed", "seconds": seconds, "code": status, "output": output})
    return ScriptFailure(phase, name, status, output)


def run_logged(
    command: Sequence[str], environment: Mapping[str, str], log: str, deadline: Optional[float] = None
) -> tuple[int, str]:
    """Run a command with its output appended to log; return its status and the end of its output.

    At the deadline the command and what it started in its session are killed. A file, not a pipe: a service that a
    script leaves behind would keep a pipe open.
    """
    descriptor = os.open(log, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "rb+", buffering=0) as stream:
        begin = stream.seek(0, os.SEEK_END)
        try:
            process = subprocess.Popen(
                command,
                env=dict(environment),
                cwd="/",
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        except OSError as error:
            return 126, f"cannot be executed: {error.strerror}"
        try:
            status = process.wait(None if deadline is None else max(0.0, deadline - time.monotonic()))
            reason = ""
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            status, reason = process.wait(), "killed at the time limit\n"
        end = stream.seek(0, os.SEEK_END)
        stream.seek(max(begin, end - TAIL_BYTES))
        return status, reason + stream.read().decode("utf-8", "replace")
