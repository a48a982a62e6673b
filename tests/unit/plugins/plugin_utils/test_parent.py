# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A worker, as ansible-core forks them, ends when its ansible-playbook is killed, and takes along what it started."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

WORKER = """
import os, subprocess, sys, time
from ansible_collections.tripleo.cloud.plugins.plugin_utils._parent import with_parent

if os.fork():
    time.sleep(600)
os.setsid()

@with_parent()
def task():
    module = subprocess.Popen(["sleep", sys.argv[1]], stdout=subprocess.PIPE)
    print(os.getpid(), module.pid, flush=True)
    module.communicate()

task()
"""


def until(condition: Callable[[], bool], seconds: float = 10.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come true"
        time.sleep(0.05)


def gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


def test_a_killed_parent_takes_all_along() -> None:
    with subprocess.Popen([sys.executable, "-c", WORKER, "600"], stdout=subprocess.PIPE, text=True) as playbook:
        assert playbook.stdout
        worker, module = map(int, playbook.stdout.readline().split())
        time.sleep(1.5)
        assert not gone(worker) and not gone(module)
        os.kill(playbook.pid, signal.SIGKILL)
    until(lambda: gone(worker) and gone(module))


def test_a_task_that_ends_leaves_its_process_alone() -> None:
    with subprocess.Popen([sys.executable, "-c", WORKER + "time.sleep(600)", "0"], stdout=subprocess.PIPE) as playbook:
        assert playbook.stdout
        worker = int(playbook.stdout.readline().split()[0])
        time.sleep(1.0)
        os.kill(playbook.pid, signal.SIGKILL)
        time.sleep(1.5)
        assert not gone(worker)
        os.kill(worker, signal.SIGKILL)
