# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Starts the recorder of a run's consoles as a process that outlives the module."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import uuid
from collections.abc import Iterable, Mapping, Sequence
from typing import IO, Any, cast

from .._run import launch, lease
from .._run.console import forget, recorder_log
from . import recorder
from .targets import Target

ROOMS = (*launch.ROOMS, "_bmc", "_provision")


def begin(
    state_dir: str,
    plan: Mapping[str, Any],
    run_id: str | None,
    everyone: Iterable[Target],
    starting: Iterable[Target],
    private: Mapping[str, Any],
) -> str:
    """Record the consoles of the servers that are about to be started, and of those of the plan that are at work.

    everyone: all servers of the plan. private: has the BMCs. run_id: of a run that boots nodes; without one nothing is
    recorded. Nothing waits for the recorder. Returns a warning, "" when there is none.
    """
    stack = str(plan["stack"])
    fresh = {target.node for target in starting}
    forget(state_dir, fresh)
    held = lease.read(state_dir, stack)
    if not run_id or held is None or not held.boot:
        return ""
    bmcs = private.get("bmc", {})
    nodes = {
        target.server: {**bmcs[target.node], "node": target.node}
        for target in everyone
        if target.node in bmcs and (target.node in fresh or (target.started and not target.booted))
    }
    fault = _start(state_dir, stack, [state_dir, stack, str(plan["hash"]), run_id], nodes)
    return f"the machines' consoles are not recorded: {fault}" if fault else ""


def _start(state_dir: str, stack: str, arguments: Sequence[str], nodes: Mapping[str, Any]) -> str:
    try:
        library = launch.install(state_dir, ROOMS)
        with open(recorder_log(state_dir, stack), "ab") as log:
            log.truncate(0)
            process = subprocess.Popen(
                command(library, arguments),
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                cwd=library,
                env={"PATH": os.environ.get("PATH", os.defpath), "PYTHONPATH": library, "LANG": "C.UTF-8"},
                start_new_session=True,
            )
        with cast(IO[bytes], process.stdin) as stream:
            stream.write(json.dumps(nodes).encode())
    except OSError as error:
        return str(error)
    # It outlives this process on purpose; nobody waits for it here.
    process.returncode = 0
    return ""


def command(library: str, arguments: Sequence[str]) -> list[str]:
    """What starts the recorder: where systemd is PID 1 as a transient service, which no end of a log-in touches."""
    python = [sys.executable, "-m", recorder.__name__, *arguments]
    if not os.path.isdir(launch.SYSTEMD):
        return python
    return [
        "systemd-run", "--quiet", "--collect", "--pipe", f"--unit=tripleo-cloud-console-{uuid.uuid4().hex[:12]}",
        "--property=KillMode=control-group", f"--working-directory={library}", f"--setenv=PYTHONPATH={library}",
        f"--setenv=PATH={os.environ.get('PATH', os.defpath)}", *python,
    ]  # fmt: skip
