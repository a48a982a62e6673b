# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The first boot: one process settles the machine, lets systemd go on with the network, and reports."""

from __future__ import annotations

import os
import sys

from _node import first_boot, network_change, systemd
from _node.errors import NodeError
from _node.paths import from_environment

MOUNT_POINT = "/run/node-agent/config-2"


def main(command: str) -> int:
    """``boot``, ``config-drive`` or ``report``; the exit status."""
    root = os.environ.get("NODE_AGENT_ROOT") or "/"
    try:
        if command == "boot":
            _take_back_network()
        drive = _read()
        if drive is None:
            print("node-agent: there is no config drive", file=sys.stderr)
            return 0
        if command != "report" and first_boot.settle(drive, root):
            print(f"node-agent: settled as {drive.meta_data.get('hostname')}", flush=True)
        first_boot.keep_meta(drive, root)
    finally:
        # Also after an error: a machine without the settings it should have still boots, and its console says why.
        if command == "boot":
            systemd.ready()
    if command == "config-drive":
        return 0
    if first_boot.report_booted(drive, root):
        print("node-agent: reported booted")
    return 0


def _take_back_network() -> None:
    places = from_environment(os.environ)
    try:
        if network_change.take_back_at_boot(places.root, places.state):
            print("node-agent: network settings that were not proven were taken back", flush=True)
    except (NodeError, OSError) as error:
        print(f"node-agent: unproven network settings could not be taken back: {error}", file=sys.stderr)


def _read() -> first_boot.ConfigDrive | None:
    given = os.environ.get("NODE_AGENT_CONFIG_DRIVE")
    if given:
        return first_boot.read_config_drive(given)
    device = first_boot.find_config_drive()
    if device is None:
        return None
    first_boot.mount(device, MOUNT_POINT)
    try:
        return first_boot.read_config_drive(MOUNT_POINT)
    finally:
        first_boot.unmount(MOUNT_POINT)
