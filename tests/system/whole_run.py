# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One deployment on a virtual rack of its own, beside the demo's: inventory, state and rack lie in .cache/whole-run."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tripleo_cloud.rack import Rack

ROOT = Path(__file__).resolve().parents[2]
BIN = Path(sys.executable).parent
STACK = "workload-cloud"


@dataclass(frozen=True)
class Done:
    """How a playbook ended: exit status, its output, and the numbers of its recap."""

    rc: int
    output: str

    @property
    def changed(self) -> int:
        """Sum of the recap's changed tasks."""
        return sum(int(number) for number in re.findall(r"changed=(\d+)", self.output))


@dataclass(frozen=True)
class Running:
    """A playbook at work. log: the file that takes its output."""

    process: subprocess.Popen[bytes]
    log: Path

    def output(self) -> str:
        """What it has written so far."""
        return self.log.read_text(errors="replace")

    def done(self) -> Done:
        """Wait for its end."""
        return Done(self.process.wait(), self.output())


class WholeRun:
    """Plays on the rack's inventory, copied to a folder of its own, so that the checkout's demo is left alone."""

    def __init__(self, folder: Path, variables: dict[str, Any] | None = None) -> None:
        """variables: of the inventory's group all; they win over what the rack's inventory says."""
        self.folder = folder
        self.inventory = folder / "inventories" / "rack" / "hosts.yml"
        self.state = folder / ".work" / "state"
        self.log = folder / "log"
        tracked = subprocess.run(
            ["git", "ls-files", "inventories/rack"], cwd=ROOT, capture_output=True, text=True, check=True
        )
        for name in tracked.stdout.splitlines():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)
        self._overrides = dict(variables or {})
        self.override()
        self.log.mkdir(parents=True, exist_ok=True)

    def override(self, **variables: Any) -> None:
        """Set further variables of the inventory's group all."""
        self._overrides.update(variables)
        path = self.inventory.parent / "group_vars" / "all" / "zz-test.yml"
        path.write_text(yaml.safe_dump(self._overrides))

    def play(self, playbook: str, *arguments: str) -> Done:
        """Run the playbook tripleo.cloud.<playbook>; its output is kept in the folder log."""
        return self.start(playbook, *arguments).done()

    def start(self, playbook: str, *arguments: str) -> Running:
        """The same in the background."""
        words = [playbook, *(word.strip("-") for word in arguments if word.startswith("--"))]
        log = self.log / f"{'-'.join(words)}-{len(list(self.log.iterdir()))}.txt"
        with log.open("wb") as stream:
            process = subprocess.Popen(
                self.command(playbook, *arguments),
                cwd=ROOT,
                env=self.environment(),
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        return Running(process, log)

    def command(self, playbook: str, *arguments: str) -> list[str]:
        """The command line that runs a playbook."""
        return [f"{BIN}/ansible-playbook", "-i", os.fspath(self.inventory), f"tripleo.cloud.{playbook}", *arguments]

    def environment(self) -> dict[str, str]:
        """What the command line finds in its environment."""
        found = {"PATH": f"{BIN}:{os.environ['PATH']}", "ANSIBLE_CONFIG": os.fspath(ROOT / "ansible.cfg")}
        return {**os.environ, **found}

    @property
    def rack(self) -> Rack:
        """The virtual rack of this deployment."""
        return Rack(self.inventory.parent / "rack.yml", self.folder / ".work" / "rack")

    def must_play(self, playbook: str, *arguments: str) -> Done:
        """The same; a failure shows the end of the output."""
        done = self.play(playbook, *arguments)
        assert done.rc == 0, f"{playbook} ended with {done.rc}:\n{done.output[-8000:]}"
        return done

    def nodes(self) -> list[dict[str, Any]]:
        """What the rack wrote into nodes.yaml."""
        nodes: list[dict[str, Any]] = yaml.safe_load((self.inventory.parent / "nodes.yaml").read_text())["nodes"]
        return nodes

    def plan(self) -> dict[str, Any]:
        """The newest stored plan."""
        newest = max((self.state / "plans").glob(f"{STACK}-*.json"), key=lambda path: int(path.stem.rpartition("-")[2]))
        plan: dict[str, Any] = json.loads(newest.read_text())
        return plan

    def ipmitool(self, node: dict[str, Any], *words: str) -> str:
        """Drive a node's BMC with an independent client."""
        bmc = node["bmc"]
        argv = ["ipmitool", "-I", "lanplus", "-C", "17", "-H", bmc["address"], "-U", bmc["username"], "-E", *words]
        done = subprocess.run(
            argv, env={**os.environ, "IPMI_PASSWORD": bmc["password"]}, capture_output=True, text=True, check=True
        )
        return done.stdout

    def ssh(self, server: str, command: str) -> str:
        """Run a command on a server with the stack's key."""
        secrets = self.state / "secrets" / STACK
        address = next(s["networks"]["ctlplane"][0] for s in self.plan()["servers"].values() if s["name"] == server)
        options = [f"UserKnownHostsFile={secrets / 'known_hosts'}", "StrictHostKeyChecking=yes", "BatchMode=yes"]
        argv = ["ssh", "-i", os.fspath(secrets / "ssh_key"), *(w for option in options for w in ("-o", option))]
        done = subprocess.run([*argv, f"root@{address}", command], capture_output=True, text=True, check=True)
        return done.stdout


def files_of(folder: Path) -> dict[str, tuple[int, int, bytes]]:
    """Mode, time of change in ns and content (or link) of every file below a folder, by path."""
    found = {}
    for path in sorted(folder.rglob("*")):
        status = path.lstat()
        content = os.fsencode(os.readlink(path)) if path.is_symlink() else path.read_bytes() if path.is_file() else b""
        found[str(path)] = (status.st_mode, 0 if path.is_dir() else status.st_mtime_ns, content)
    return found
