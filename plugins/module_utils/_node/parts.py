# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""``dib-run-parts``: the scripts of one folder in order, each in the environment that ``environment.d`` exports."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Optional

from . import phases

NAME = "dib-run-parts"
USAGE = f"""Usage: {NAME} [OPTION] scripts_directory
Option:
      --list  print names of all valid files

Examples:
      {NAME} --list /opt/stack/os-config-refresh/configure.d/
      {NAME} /opt/stack/os-config-refresh/configure.d/
"""
# The shell that sources environment.d runs the scripts too: umask, limits and working directory reach them.
_DRIVER = r"""
set -ue
set -o pipefail
dib_report=$1 target_dir=$2
dib_files=("${@:4:$3}")
targets=("${@:4+$3}")
set --
output() { printf '%s %(%a %b %e %H:%M:%S %Z %Y)T %s\n' dib-run-parts -1 "$*" >&2; }
source_environment() {
    local env_file xtrace
    for env_file in "${dib_files[@]}"; do
        output "Sourcing environment file ${env_file}"
        xtrace=$(set +o | grep xtrace)
        set -o xtrace
        source "$env_file"
        $xtrace
    done
}
(
    source_environment
    for target in "${targets[@]}"; do
        output "Running $target_dir/$target"
        printf '%s\n%s\n' "$target" "$(date +%s.%N)" >&"$dib_report"
        "$target_dir/$target" {dib_report}>&-
        date +%s.%N >&"$dib_report"
        output "$target completed"
    done
)
"""


@dataclass(frozen=True)
class Parts:
    """How a folder's run ended. ``script`` is the one that ended it; ``expired`` says that the deadline did."""

    status: int
    script: str = ""
    expired: bool = False


def list_parts(folder: str, environment: Mapping[str, str]) -> list[str]:
    """Names of the scripts of a folder in their order; ``RUN_PARTS_REGEX``, in grep's syntax, chooses other names."""
    pattern = environment.get("RUN_PARTS_REGEX")
    names = phases.list_scripts(folder, "" if pattern else phases.SCRIPT_NAME)
    if not pattern:
        return names
    given = "".join(f"{name}\n" for name in names)
    done = subprocess.run(["grep", "-E", "-e", pattern], input=os.fsencode(given), stdout=subprocess.PIPE, check=False)
    return os.fsdecode(done.stdout).splitlines()


def run_parts(folder: str, environment: Mapping[str, str], deadline: Optional[float] = None) -> Parts:
    """Run the scripts of a folder up to the first that fails. Standard output and error are the caller's.

    At the deadline, a time of the monotonic clock, all that was started is killed. The status is that of the script
    that failed; negative when the run was killed by that signal.
    """
    targets = list_parts(folder, environment)
    if os.path.islink(folder):
        _say(f"{folder} is a symbolic link; its scripts run all the same")
    files = phases.environment_files(os.path.join(folder, "..", "environment.d"))
    report = os.memfd_create("report")
    try:
        command = ["/bin/bash", "-c", _DRIVER, NAME, str(report), folder, str(len(files)), *files, *targets]
        sys.stdout.flush()
        process = subprocess.Popen(command, env=dict(environment), pass_fds=(report,))
        expired = False
        try:
            process.wait(None if deadline is None else max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            expired = True
            kill_tree(process.pid)
            process.wait()
        os.lseek(report, 0, os.SEEK_SET)
        with open(report, encoding="utf-8", errors="surrogateescape", closefd=False) as stream:
            lines = stream.read().splitlines()
    finally:
        os.close(report)
    if process.returncode != 0:
        return Parts(process.returncode, lines[-2] if len(lines) % 3 else "", expired)
    _tell_profile(folder, lines)
    return Parts(0)


def _tell_profile(folder: str, lines: Sequence[str]) -> None:
    durations = {name: float(end) - float(start) for name, start, end in zip(lines[::3], lines[1::3], lines[2::3])}
    _say("----------------------- PROFILING -----------------------")
    _say("")
    _say(f"Target: {os.path.basename(folder.rstrip('/'))}")
    _say("")
    _say(f"{'Script':<40} {'Seconds':>9}")
    _say(f"{'-' * 39:<40} {'-' * 10:>9}")
    _say("")
    for name in sorted(durations, key=os.fsencode):
        _say(f"{name:<40} {durations[name]:10.3f}")
    _say("")
    _say("--------------------- END PROFILING ---------------------")


def _say(text: str) -> None:
    sys.stderr.write(f"{NAME} {time.strftime('%a %b %e %H:%M:%S %Z %Y')} {text}\n")
    sys.stderr.flush()


def kill_tree(pid: int) -> None:
    """Kill a process and all its descendants, as far as they still hang together."""
    children: dict[int, list[int]] = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            with contextlib.suppress(OSError, ValueError, IndexError):
                with open(f"/proc/{entry}/stat", "rb") as stream:
                    parent = int(stream.read().rpartition(b")")[2].split()[1])
                children.setdefault(parent, []).append(int(entry))
    found = [pid]
    for process in found:
        found += children.get(process, [])
    for process in found:
        with contextlib.suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)


def main(arguments: list[str], environment: Mapping[str, str]) -> int:
    """The command line; the exit status."""
    listing = arguments[:1] == ["--list"]
    folder = (arguments[listing:] or [""])[0]
    if arguments and not os.path.isdir(folder):
        _say(f"Scripts directory [{folder}] must exist and be a directory")
    if not os.path.isdir(folder):
        sys.stderr.write(USAGE)
        return 1
    if listing:
        for name in list_parts(folder, environment):
            sys.stdout.write(f"{folder}/{name}\n")
        return 0
    status = run_parts(folder, environment).status
    return status if status >= 0 else 128 - status
