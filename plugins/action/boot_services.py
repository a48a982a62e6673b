# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs the module boot_services with the name of whoever runs ansible-playbook."""

from __future__ import annotations

import getpass
import os
import socket
from typing import Any

from ansible.plugins.action import ActionBase


class ActionModule(ActionBase):
    """boot_services: fills in who, which only the control host knows."""

    TRANSFERS_FILES = False
    _supports_check_mode = True

    def run(self, tmp: Any = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        del tmp
        arguments = {name: value for name, value in self._task.args.items() if name != "nodes_file"}
        arguments.setdefault("who", _who())
        result.update(self._execute_module(module_args=arguments, task_vars=task_vars))
        return result


def _who() -> str:
    """User, host and process of the control host."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        user = str(os.getuid())
    return f"{user}@{socket.gethostname()} (process {os.getppid()})"
