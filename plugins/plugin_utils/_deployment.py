# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the modules of an action run: on the Deployment cloud or, when that has nothing yet to run them, here."""

from __future__ import annotations

import os
import sys
from typing import Any

from ansible.plugins.action import ActionBase
from ansible.plugins.loader import connection_loader

# Templates and parameters may hold secrets, which get no file on the control host's disk.
MEMORY = "/dev/shm"


class DeploymentAction(ActionBase):
    """In check mode, modules for a Deployment cloud without Python environment run on the control host.

    They find no state there, as they would on the Deployment cloud. playbooks/tasks/environment.yml looks for the
    environment; a play without it runs its modules where Ansible says.
    """

    TRANSFERS_FILES = False
    _supports_check_mode = True
    is_here = False

    def run(self, tmp: Any = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        if self._task.check_mode and task_vars and is_bare(task_vars):
            self._stay_here(task_vars)
        return result

    def _stay_here(self, task_vars: dict[str, Any]) -> None:
        self.is_here = True
        self._connection = connection_loader.get("local", self._play_context)
        task_vars["ansible_python_interpreter"] = sys.executable
        if os.path.isdir(MEMORY):
            self._connection._shell.set_option("remote_tmp", MEMORY)
        base: Any = self  # its methods have no types
        base._make_tmp_path()
        self._state_dir = str(self._task.args.get("state_dir") or "/var/lib/tripleo-cloud")
        self._task.args["state_dir"] = os.path.join(str(self._connection._shell.tmpdir), "none")

    def _execute_module(self, *arguments: Any, **options: Any) -> dict[str, Any]:
        result: dict[str, Any] = super()._execute_module(*arguments, **options)
        return renamed(result, self._task.args["state_dir"], self._state_dir) if self.is_here else result


def renamed(value: Any, path: str, name: str) -> Any:
    """A result that says name where the module said path."""
    if isinstance(value, str):
        return value.replace(path, name)
    if isinstance(value, dict):
        return {key: renamed(part, path, name) for key, part in value.items()}
    return [renamed(part, path, name) for part in value] if isinstance(value, list) else value


def is_bare(task_vars: dict[str, Any]) -> bool:
    """What environment.yml found: neither environment nor state."""
    return "later" in task_vars.get("tripleo_python_environment", {}).get("stdout_lines", ())
