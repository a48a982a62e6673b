# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Consoles on the rack: kept by serial-over-LAN while a run boots machines, shown when a server fails."""

from __future__ import annotations

import json
import re
import subprocess
import time
from pathlib import Path

import pytest
from whole_run import WholeRun

pytestmark = [pytest.mark.rack, pytest.mark.slow]
PATH = re.compile(r"[0-9a-f]{64}")


def recorders(state: Path) -> list[str]:
    """Recorders at work for a state directory."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_text().split("\0")
        except OSError:
            continue
        if str(state) in words and any(word.endswith("_provision.recorder") for word in words):
            found.append(" ".join(words))
    return found


def test_a_panic_of_the_deploy_ramdisk_is_shown_by_deploy(pair: WholeRun) -> None:
    broken = {
        "tripleo_boot_kernel_arguments": ["rdinit=/nonexistent"],
        "tripleo_parameters": {"Count": 1},
        "provision_stage_timeout": 45,
    }
    (node,) = (node for node in pair.nodes() if node["name"] == "n1")
    done = pair.play("deploy", "-e", json.dumps(broken))
    print(done.output[-6000:])
    assert done.rc != 0
    assert "pair-0: | " in done.output
    assert "Kernel panic - not syncing: VFS: Unable to mount root fs" in done.output
    assert re.search(r"its deploy ramdisk has not reported.*; its console ends with: .*end Kernel panic", done.output)
    kept = pair.state / "run" / "console" / "n1.log"
    assert f"console, the end of {kept}:" in done.output
    assert not PATH.search(done.output.replace(plan_hash(pair), ""))
    # What it was made of: all that the kernel printed, without its command line.
    shown = kept.read_text(errors="replace")
    assert "Call Trace" in shown
    assert "---[ end Kernel panic" in shown
    assert "Command line" not in shown
    assert "tripleo.url" not in shown
    assert kept.stat().st_size <= 65536
    assert recorders(pair.state) == []
    assert "is on" in pair.ipmitool(node, "power", "status")


def plan_hash(pair: WholeRun) -> str:
    (plan,) = (pair.state / "plans").glob("pair-*.json")
    return str(json.loads(plan.read_text())["hash"])


def test_a_good_run_keeps_consoles_and_leaves_nothing(pair: WholeRun) -> None:
    running = pair.start("deploy")
    seen: set[str] = set()
    passwords = [node["bmc"]["password"] for node in pair.nodes()]
    while running.process.poll() is None:
        seen.update(recorders(pair.state))
        time.sleep(0.2)
    done = running.done()
    assert done.rc == 0, done.output[-6000:]
    assert len(seen) == 1
    assert not any(password in word for password in passwords for word in seen)
    assert recorders(pair.state) == []
    for node in pair.nodes():
        shown = (pair.state / "run" / "console" / f"{node['name']}.log").read_text(errors="replace")
        machine = pair.rack.console_log(node["name"]).read_text(errors="replace")
        # From the firmware to the operating system, and no byte more than the machine has printed.
        assert "iPXE" in shown
        assert shown in machine
        with pytest.raises(subprocess.CalledProcessError) as refused:
            pair.ipmitool(node, "sol", "deactivate")
        assert "already de-activated" in refused.value.stderr
    assert (pair.state / "run" / "pair.recorder.log").read_text() == ""
