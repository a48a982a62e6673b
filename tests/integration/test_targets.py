# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs every integration target, a role in ansible-test's form, against localhost."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

TARGETS = Path(__file__).parent / "targets"
BIN = Path(sys.executable).parent


@pytest.mark.parametrize("target", sorted(path.name for path in TARGETS.iterdir()) if TARGETS.is_dir() else [])
def test_target(target: str, tmp_path: Path) -> None:
    play = {
        "name": f"Integration target {target}",
        "hosts": "localhost",
        "gather_facts": False,
        # Another checkout may run the same target at the same time.
        "vars": {"output_dir": os.fspath(tmp_path / "output"), "bmc_network": f"127.78.{os.getpid() % 256}"},
        "tasks": [{"name": "Run the target", "ansible.builtin.include_role": {"name": os.fspath(TARGETS / target)}}],
    }
    (tmp_path / "output").mkdir()
    playbook = tmp_path / "play.yml"
    playbook.write_text(json.dumps([play]))
    inventory = tmp_path / "hosts.yml"
    host = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable}
    inventory.write_text(json.dumps({"all": {"hosts": {"localhost": host}}}))
    done = subprocess.run(
        [BIN / "ansible-playbook", "-i", inventory, playbook],
        cwd=TARGETS.parents[2],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
