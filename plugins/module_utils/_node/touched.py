# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which services a run has touched: those that systemd started anew since, or that failed since."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping

Services = dict[str, tuple[str, str]]


def services(environment: Mapping[str, str]) -> Services:
    """Each loaded service's ActiveState and InvocationID; nothing where systemd does not run."""
    if not os.path.isdir("/run/systemd/system"):
        return {}
    command = ["systemctl", "show", "--type=service", "--property=Id,ActiveState,InvocationID", "*"]
    try:
        done = subprocess.run(
            command, env=dict(environment), stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
        )
    except OSError:
        return {}
    found = {}
    for block in done.stdout.split("\n\n"):
        values = dict(line.split("=", 1) for line in block.splitlines() if "=" in line)
        if values.get("Id", "").endswith(".service"):
            found[values["Id"]] = (values.get("ActiveState", ""), values.get("InvocationID", ""))
    return found


def failed_since(before: Services, now: Services) -> list[str]:
    """Services that are failed and were not, or were another invocation, before."""
    return sorted(name for name, state in now.items() if state[0] == "failed" and before.get(name) != state)
