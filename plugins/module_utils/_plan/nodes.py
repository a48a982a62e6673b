# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The nodes file: the registered hardware and how its BMCs are reached."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from .errors import PlanError

NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]{0,61}[A-Za-z0-9])?")
MAC = re.compile(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}")
ROOT_DEVICE_HINTS = frozenset({"serial", "wwn", "model", "name", "size"})
MOST_NODES = 100_000

_KEYS = frozenset(
    {"name", "bmc", "macs", "cpus", "memory", "disk", "arch", "capabilities", "root_device", "resource_class"}
    | {"traits", "labels"}
)
_BMC_KEYS = frozenset({"address", "port", "username", "password", "driver"})


@dataclass(frozen=True)
class Bmc:
    """How a node's management controller is reached. port: UDP for IPMI."""

    address: str
    username: str = field(repr=False)
    password: str = field(repr=False)
    port: int = 623
    driver: str = "ipmi"

    def as_private(self) -> dict[str, Any]:
        """Its entry in the private file of a batch module."""
        return {"address": self.address, "port": self.port, "username": self.username, "password": self.password}


@dataclass(frozen=True)
class Node:
    """One registered machine. memory: MiB. disk: GiB. root_device: hints that name the disk to overwrite."""

    name: str
    bmc: Bmc
    macs: tuple[str, ...]
    cpus: int
    memory: int
    disk: int
    arch: str = "amd64"
    capabilities: Mapping[str, str] = field(default_factory=dict)
    root_device: Mapping[str, Any] = field(default_factory=dict)
    resource_class: str = "baremetal"
    traits: tuple[str, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)

    def as_hardware(self) -> dict[str, Any]:
        """What the state keeps of it: all but the BMC's user name and password."""
        return {
            "macs": list(self.macs),
            "cpus": self.cpus,
            "memory": self.memory,
            "disk": self.disk,
            "arch": self.arch,
            "capabilities": dict(self.capabilities),
            "root_device": dict(self.root_device),
            "resource_class": self.resource_class,
            "traits": list(self.traits),
            "labels": dict(self.labels),
            "bmc": {"address": self.bmc.address, "port": self.bmc.port, "driver": self.bmc.driver},
        }


def parse_nodes(data: Any, source: str = "nodes file") -> tuple[Node, ...]:
    """Read the content of a nodes file; a PlanError lists every fault of it at once."""
    if not isinstance(data, Mapping) or set(data) != {"nodes"} or not isinstance(data["nodes"], list):
        raise PlanError(
            f"{source}: is not a mapping with the one key 'nodes', a list",
            operation="read the nodes",
            next_step="Write it as inventories/example/nodes.yaml shows.",
        )
    if len(data["nodes"]) > MOST_NODES:
        raise PlanError(f"{source}: has more than {MOST_NODES} nodes", operation="read the nodes")
    entries = data["nodes"]
    faults = [f"{_title(number, entry)}: {fault}" for number, entry in enumerate(entries) for fault in _faults(entry)]
    faults += _shared(entries)
    if faults:
        raise PlanError(f"{source}: " + "; ".join(faults), operation="read the nodes", next_step="Correct the file.")
    return tuple(_node(entry) for entry in entries)


def _title(number: int, entry: Any) -> str:
    name = entry.get("name") if isinstance(entry, Mapping) else None
    return str(name) if isinstance(name, str) and name else f"entry {number + 1}"


def _faults(entry: Any) -> Iterator[str]:
    if not isinstance(entry, Mapping):
        yield "is no mapping"
        return
    for key in sorted(set(map(str, entry)) - _KEYS):
        yield f"unknown key {key!r}"
    if not isinstance(entry.get("name"), str) or not NAME.fullmatch(entry["name"]):
        yield "name must be letters, digits, '.' or '-', at most 63"
    yield from _bmc_faults(entry.get("bmc"))
    macs = entry.get("macs")
    if not isinstance(macs, list) or not macs:
        yield "macs must list at least one address"
    else:
        yield from (f"{mac!r} is no MAC address" for mac in macs if not MAC.fullmatch(str(mac).lower()))
    for key in ("cpus", "memory", "disk"):
        value = entry.get(key)
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            yield f"{key} must be a whole number above 0"
    for key in ("capabilities", "labels", "root_device"):
        if not isinstance(entry.get(key, {}), Mapping):
            yield f"{key} must be a mapping"
    if isinstance(entry.get("root_device"), Mapping):
        yield from (
            f"root_device has no hint {hint!r}"
            for hint in sorted(set(map(str, entry["root_device"])) - ROOT_DEVICE_HINTS)
        )
        yield from (
            f"root_device {hint} must be {'a number of bytes' if hint == 'size' else 'a text'}"
            for hint, value in entry["root_device"].items()
            if isinstance(value, bool) or not isinstance(value, int if hint == "size" else (str, int)) or value == ""
        )
    if not isinstance(entry.get("traits", []), list):
        yield "traits must be a list"


def _bmc_faults(bmc: Any) -> Iterator[str]:
    if not isinstance(bmc, Mapping):
        yield "bmc must be a mapping with address, username and password"
        return
    for key in sorted(set(map(str, bmc)) - _BMC_KEYS):
        yield f"bmc has no key {key!r}"
    try:
        ipaddress.ip_address(str(bmc.get("address")))
    except ValueError:
        yield f"bmc address {bmc.get('address')!r} is no IP address"
    for key in ("username", "password"):
        if not isinstance(bmc.get(key), str) or not bmc[key]:
            yield f"bmc {key} must be a text that is not empty"
    port = bmc.get("port", 623)
    if not isinstance(port, int) or not 0 < port < 65536:
        yield "bmc port must be between 1 and 65535"
    if bmc.get("driver", "ipmi") != "ipmi":
        yield f"bmc driver {bmc['driver']!r} is unknown; there is 'ipmi'"


def _shared(entries: list[Any]) -> list[str]:
    """Names, MAC addresses and BMC addresses that stand more than once."""
    seen: dict[tuple[str, str], int] = {}
    for entry in entries:
        if isinstance(entry, Mapping):
            bmc = entry.get("bmc")
            keys = [("name", str(entry.get("name")))]
            macs = entry.get("macs")
            keys += [("MAC", str(mac).lower()) for mac in macs] if isinstance(macs, list) else []
            if isinstance(bmc, Mapping):
                keys.append(("BMC", f"{bmc.get('address')} port {bmc.get('port', 623)}"))
            for key in keys:
                seen[key] = seen.get(key, 0) + 1
    return [f"{kind} {value} stands {count} times" for (kind, value), count in sorted(seen.items()) if count > 1]


def _node(entry: Mapping[str, Any]) -> Node:
    return Node(
        name=entry["name"],
        bmc=Bmc(**{**entry["bmc"], "address": str(entry["bmc"]["address"])}),
        macs=tuple(str(mac).lower() for mac in entry["macs"]),
        cpus=entry["cpus"],
        memory=entry["memory"],
        disk=entry["disk"],
        arch=str(entry.get("arch", "amd64")),
        capabilities={str(key): str(value) for key, value in (entry.get("capabilities") or {}).items()},
        root_device=dict(entry.get("root_device") or {}),
        resource_class=str(entry.get("resource_class", "baremetal")),
        traits=tuple(map(str, entry.get("traits") or [])),
        labels={str(key): str(value) for key, value in (entry.get("labels") or {}).items()},
    )
