# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs the module boot_services with the name of whoever runs ansible-playbook."""

from __future__ import annotations

import getpass
import os
import socket
from typing import Any

from ansible_collections.tripleo.cloud.plugins.plugin_utils._batch import PlainAction


class ActionModule(PlainAction):
    """boot_services: fills in who, which only the control host knows."""

    def arguments(self) -> dict[str, Any]:
        return {"who": _who(), **super().arguments()}


def _who() -> str:
    """User, host and process of the control host."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        user = str(os.getuid())
    return f"{user}@{socket.gethostname()} (process {os.getppid()})"
