# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A node of the tests: the agent's zipapp, run by the system's Python, with all its paths in one folder."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

SYSTEM_PYTHON = os.environ.get("TEST_AGENT_PYTHON") or "/usr/bin/python3"


class Node:
    """A node in a temporary folder."""

    def __init__(self, folder: Path, zipapp: Path) -> None:
        self.folder = folder
        self.zipapp = zipapp
        self.environment = {
            "PATH": "/usr/bin:/bin",
            "NODE_AGENT_PATH": f"{folder}/bin:/usr/bin:/bin",
            "NODE_AGENT_ROOT": f"{folder}/root",
            "NODE_AGENT_CACHE": f"{folder}/cache",
            "NODE_AGENT_STATE": f"{folder}/state",
            "NODE_AGENT_LOG": f"{folder}/log",
            "NODE_AGENT_APPLY_LOG": f"{folder}/apply-log",
            "NODE_AGENT_LOCK": f"{folder}/lock",
            "OS_CONFIG_APPLIER_TEMPLATES": f"{folder}/templates",
            "OS_REFRESH_CONFIG_BASE_DIR": f"{folder}/phases",
        }
        self.write("templates/etc/app.conf", "password = {{mysql.root-password}}\n")
        self.write("bin/os-apply-config", f'#!/bin/sh\nexec {SYSTEM_PYTHON} -IS {zipapp} os-apply-config "$@"\n', 0o755)

    def write(self, path: str, text: str, mode: int = 0o644) -> Path:
        file = self.folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        file.chmod(mode)
        return file

    def run(self, *arguments: str, given: str = "") -> subprocess.CompletedProcess[str]:
        command = [SYSTEM_PYTHON, "-IS", str(self.zipapp), *arguments]
        return subprocess.run(
            command, env=self.environment, input=given, capture_output=True, text=True, check=False, cwd="/"
        )

    def push(self, document: Any, digest: str = "d1", **limits: float) -> tuple[int, list[dict[str, Any]]]:
        payload = {"documents": [["metadata", {"a": "b"}], ["all", document]], "digest": digest, "limits": limits}
        done = self.run("push", given=json.dumps(payload))
        return done.returncode, [json.loads(line) for line in done.stdout.splitlines()]

    def start(self, command: str) -> subprocess.Popen[str]:
        """A process of the agent that goes on."""
        return subprocess.Popen(
            [SYSTEM_PYTHON, "-IS", str(self.zipapp), command],
            env=self.environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd="/",
        )  # fmt: skip

    def status(self) -> dict[str, Any]:
        loaded: dict[str, Any] = json.loads(self.run("status").stdout)
        return loaded
