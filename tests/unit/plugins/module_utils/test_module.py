# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A module ends when nobody reads its result any more, in good order where it can."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

MODULE = """
import asyncio, sys, time
from ansible_collections.tripleo.cloud.plugins.module_utils._module import end_with_listener
from ansible_collections.tripleo.cloud.plugins.module_utils._run import lease

def deaf():
    while True:
        try:
            time.sleep(60)
        except BaseException:
            pass

async def slow():
    try:
        await asyncio.sleep(60)
    finally:
        print("the loop was ended", file=sys.stderr, flush=True)

bodies = {"sleep": lambda: time.sleep(60), "asyncio": lambda: asyncio.run(slow()), "deaf": deaf}
end_with_listener(float(sys.argv[3]))
with lease.held(sys.argv[1], "cloud", sys.argv[2]):
    sys.stderr.write("at work\\n")
    sys.stderr.flush()
    bodies[sys.argv[4]]()
"""
PLAN = "a" * 64


@pytest.mark.parametrize(
    ("body", "grace", "boot", "stays"),
    [
        ("sleep", 10.0, False, False),
        ("asyncio", 10.0, False, False),
        # Nodes that boot are served on until the lease ends.
        ("sleep", 10.0, True, True),
        ("deaf", 0.5, False, True),
        ("sleep", 0.0, False, True),
    ],
)
def test_without_a_listener(tmp_path: Path, body: str, grace: float, boot: bool, stays: bool) -> None:
    from ansible_collections.tripleo.cloud.plugins.module_utils._run import lease

    state = os.fspath(tmp_path)
    lease.acquire(state, "cloud", PLAN, "someone", "run", boot)
    command = [sys.executable, "-c", MODULE, state, "run", str(grace), body]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as module:
        assert module.stdout and module.stderr
        assert module.stderr.readline() == "at work\n"
        time.sleep(0.5)
        assert module.poll() is None
        module.stdout.close()
        assert module.wait(5) == 1
        assert ("the loop was ended" in module.stderr.read()) == (body == "asyncio")
    left = lease.read(state, "cloud")
    assert bool(left) == stays
    # Whoever comes next is not kept waiting for a quarter of an hour.
    assert left is None or left.ttl == lease.WORK_TTL


def test_whoever_never_had_a_listener_is_left_alone(tmp_path: Path) -> None:
    source = "from ansible_collections.tripleo.cloud.plugins.module_utils._module import end_with_listener as end\n"
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [sys.executable, "-c", f"{source}end(0.1)\nimport time; time.sleep(1)"], stdout=writer, check=False
    )
    os.close(writer)
    assert done.returncode == 0
