# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Lines of dnsmasq's dhcp-hostsfile and dhcp-optsfile, and the run file that they are made from.

The iPXE user class must carry the tag ``ipxe`` (``dhcp-userclass=set:ipxe,iPXE``); other ROMs get their TFTP boot
program from dnsmasq.conf.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from .errors import BootError
from .model import BUILD_ID, HASH, MAC, NAME, BootServer, ServerBoot, check, check_address
from .paths import node_place, token_digest

SCRIPT = "boot.ipxe"


@dataclass(frozen=True)
class BootEntry:
    """One server of run/<stack>.boot.json. switched: it has its image and goes on to its disk."""

    server: str
    node: str
    mac: str
    address: str
    path: str
    token_sha256: str
    build_id: str
    switched: bool = False

    def __post_init__(self) -> None:
        for pattern, value, what in (
            (NAME, self.node, "the node's name"),
            (MAC, self.mac, "the MAC address"),
            (HASH, self.path, "the path"),
            (HASH, self.token_sha256, "the token's digest"),
            (BUILD_ID, self.build_id, "the build id"),
        ):
            check(pattern, value, what, self.node)
        check_address(self.address, "the address", self.node)

    @property
    def place(self) -> str:
        """Its folder in the trees ``serve`` and ``reports``."""
        return node_place(self.address, self.path)

    def as_dict(self) -> dict[str, Any]:
        """The entry as the run file has it."""
        return {
            "node": self.node,
            "mac": self.mac,
            "address": self.address,
            "path": self.path,
            "token_sha256": self.token_sha256,
            "build_id": self.build_id,
            "switched": self.switched,
        }


def entry(server: ServerBoot) -> BootEntry:
    """The run file's entry of a server."""
    return BootEntry(
        server=server.server,
        node=server.node,
        mac=server.mac,
        address=str(server.provisioning.interface.ip),
        path=server.path,
        token_sha256=token_digest(server.token),
        build_id=server.build_id,
    )


def run_file(plan: str, entries: Iterable[BootEntry]) -> dict[str, Any]:
    """Content of run/<stack>.boot.json."""
    check(HASH, plan, "the plan's hash")
    return {"plan": plan, "servers": {item.server: item.as_dict() for item in entries}}


def parse_run_file(document: Any) -> tuple[str, tuple[BootEntry, ...]]:
    """Plan hash and entries of a run file; a BootError when it is not one."""
    try:
        plan = check(HASH, document["plan"], "the plan's hash")
        entries = tuple(BootEntry(server=name, **fields) for name, fields in document["servers"].items())
    except (KeyError, TypeError, AttributeError) as error:
        raise BootError(f"the run file is damaged: {error}", operation="read the run file") from error
    return plan, entries


def tag(node: str) -> str:
    """dnsmasq's tag of a node; letters and digits only, whatever the node is called."""
    return "n" + hashlib.sha256(node.encode()).hexdigest()[:16]


def hosts_line(item: BootEntry) -> str:
    """A line of dhcp-hostsfile: this MAC address gets this address and its own tag."""
    address = f"[{item.address}]" if ":" in item.address else item.address
    return f"{item.mac},set:{tag(item.node)},{address}"


def options_line(item: BootEntry, boot: BootServer) -> str:
    """A line of dhcp-optsfile: an iPXE client with the node's tag gets the URL of the node's own script."""
    return f"tag:{tag(item.node)},tag:ipxe,option:bootfile-name,{boot.url(item.path, SCRIPT)}"


def hosts_file(entries: Iterable[BootEntry]) -> str:
    """Content of run/dnsmasq.hosts, sorted by MAC address."""
    return "".join(f"{hosts_line(item)}\n" for item in sorted(entries, key=lambda item: item.mac))


def options_file(entries: Iterable[BootEntry], boot: BootServer) -> str:
    """Content of run/dnsmasq.opts, sorted by MAC address."""
    return "".join(f"{options_line(item, boot)}\n" for item in sorted(entries, key=lambda item: item.mac))
