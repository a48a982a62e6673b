# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a rack tells Ansible, in the form that real hardware uses: nodes.yaml, and variables of its network."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import yaml

from tripleo_cloud.rack.addresses import RackNetwork
from tripleo_cloud.rack.errors import RackError
from tripleo_cloud.rack.spec import RackSpec

NODES = "nodes.yaml"
VARIABLES = "group_vars/all/rack.yml"
_HEAD = "# Written by rack_up for this rack; rack_down removes it.\n"


def nodes(spec: RackSpec, bmcs: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """The content of nodes.yaml."""
    return {
        "nodes": [
            {
                "name": machine.name,
                "bmc": {
                    **{key: bmcs[machine.name][key] for key in ("address", "port", "username", "password")},
                    "driver": "ipmi",
                },
                "macs": list(machine.macs),
                "cpus": machine.cpus,
                "memory": machine.memory,
                "disk": machine.disks[0].size,
                "arch": "amd64",
                "capabilities": dict(machine.capabilities),
                "root_device": {"serial": machine.disks[0].serial},
            }
            for machine in spec.machines
        ]
    }


def variables(network: RackNetwork) -> dict[str, Any]:
    """The content of the variables file."""
    first, last = network.pool
    return {
        "tripleo_networks": {
            "ctlplane": {
                "cidr": network.cidr,
                "gateway_ip": None,
                "dns_nameservers": [],
                "allocation_pools": [{"start": first, "end": last}],
            }
        },
        "tripleo_provisioning_interface": network.interface,
        "tripleo_provisioning_address": network.host_address,
        "tripleo_router_advertisement_prefix": network.prefix,
    }


def outdated(folder: Path, wanted: dict[str, dict[str, Any]]) -> list[str]:
    """Which of the files (name to content) are missing or differ. Raises RackError when one is somebody else's."""
    for name in wanted:
        text = _read(folder / name)
        if text is not None and not text.startswith(_HEAD):
            raise RackError(f"{folder / name} was not written by a rack. Next: move it away")
    return [name for name, content in wanted.items() if _read(folder / name) != _text(content)]


def write(folder: Path, name: str, content: dict[str, Any]) -> None:
    """Write a file whole or not at all; nodes.yaml holds passwords, so only its owner may read these files."""
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.new")
    temporary.unlink(missing_ok=True)
    handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600 if name == NODES else 0o644)
    with os.fdopen(handle, "w") as file:
        file.write(_text(content))
    temporary.replace(path)


def remove(folder: Path) -> list[str]:
    """Remove what was written; the names of what was there. A file that somebody else wrote stays."""
    removed = []
    for name in (NODES, VARIABLES):
        text = _read(folder / name)
        if text is not None and text.startswith(_HEAD):
            (folder / name).unlink()
            removed.append(name)
    return removed


def _text(content: dict[str, Any]) -> str:
    return f"{_HEAD}---\n{yaml.safe_dump(content, sort_keys=False)}"


def _read(path: Path) -> str | None:
    try:
        return path.read_text()
    except OSError:
        return None
