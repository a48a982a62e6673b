# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A deployment whose Deployment cloud is another machine, reached by SSH, and whose control host keeps nothing."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import yaml
from machine import Machine
from whole_run import BIN, ROOT, Done, WholeRun

STATE_DIR = "/var/lib/tripleo-cloud"
# What a deployment leaves in the state folder besides images, which may stay for the next one.
_DEPLOYED = ("deployment.sqlite*", "documents", "events.jsonl", "plans", "reports", "run", "secrets", "serve", "key")


class RemoteRun(WholeRun):
    """The control host has a HOME of its own, which is new, and may not write to the checkout.

    machine: the Deployment cloud. home: the control host's HOME.
    """

    def __init__(self, folder: Path, variables: dict[str, Any] | None = None) -> None:
        self.machine = Machine(folder / "machine", ROOT / ".cache" / "machine" / "base")
        super().__init__(folder, {"tripleo_state_dir": STATE_DIR, "tripleo_become": True, **(variables or {})})
        self.state = self.machine.root / STATE_DIR.lstrip("/")
        self.home = Path(tempfile.mkdtemp(prefix="tripleo-home-"))

    def start_machine(self) -> None:
        """Boot the Deployment cloud, without what an earlier deployment left there, and name it in the inventory."""
        for pattern in ("venv", *_DEPLOYED):
            for path in self.state.glob(pattern):
                shutil.rmtree(path) if path.is_dir() else path.unlink()
        self.machine.start()
        # The rack belongs to the control host, as the laboratory that it is.
        laboratory = {"localhost": {"ansible_connection": "local"}}
        cloud = {"deployment_cloud": {"hosts": {"cloud": self.machine.inventory()}}}
        self.inventory.write_text(yaml.safe_dump({"all": {"hosts": laboratory, "children": cloud}}))

    def close(self) -> None:
        """Stop the Deployment cloud and forget the control host."""
        self.machine.stop()
        shutil.rmtree(self.home, ignore_errors=True)

    def must_play_as_awx(self, playbook: str, *arguments: str) -> Done:
        """The same as AWX does it: the project in a private folder that is new, no HOME, no ansible.cfg but its own."""
        private = Path(tempfile.mkdtemp(prefix="awx-", dir=self.home))
        tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True)
        for name in tracked.stdout.splitlines():
            (private / "project" / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, private / "project" / name, follow_symlinks=False)
        shutil.copytree(self.inventory.parent, private / "inventory")
        argv = [f"{BIN}/ansible-runner", "run", os.fspath(private), "--playbook", f"playbooks/{playbook}.yml"]
        argv += ["--inventory", os.fspath(private / "inventory" / "hosts.yml")]
        argv += [f"--cmdline={shlex.join(arguments)}"] if arguments else []
        environment = {"PATH": f"{BIN}:{os.environ['PATH']}", "HOME": os.fspath(private / "home"), "LANG": "C.UTF-8"}
        (private / "home").mkdir()
        done = subprocess.run(
            argv, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
        )
        assert done.returncode == 0, f"{playbook} ended with {done.returncode}:\n{done.stdout[-8000:]}"
        return Done(done.returncode, done.stdout)

    def module(self, name: str, arguments: dict[str, Any]) -> dict[str, Any]:
        """Run one module of the collection on the Deployment cloud; its result."""
        argv = [f"{BIN}/ansible", "-i", os.fspath(self.inventory), "cloud", "--become", "-m", f"tripleo.cloud.{name}"]
        argv += ["-a", json.dumps(arguments), "-e", f"ansible_python_interpreter={STATE_DIR}/venv/bin/python"]
        done = subprocess.run(argv, cwd=ROOT, env=self.environment(), capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        result: dict[str, Any] = json.loads(done.stdout.partition("=>")[2])
        return result

    def command(self, playbook: str, *arguments: str) -> list[str]:
        command = super().command(playbook, *arguments)
        if playbook.startswith("rack_"):
            return command
        read_only = 'mount --bind "$0" "$0" && mount -o remount,bind,ro "$0" && exec "$@"'
        return ["unshare", "--mount", "--propagation=private", "sh", "-c", read_only, os.fspath(ROOT), *command]

    def environment(self) -> dict[str, str]:
        return {**super().environment(), "HOME": os.fspath(self.home)}
