# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Values that boot documents are made of; each is checked when it is made, nothing unchecked is ever rendered."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass, field
from typing import Any, Union

from .errors import BootError
from .paths import node_place

MAC = re.compile(r"(?:[0-9a-f]{2}:){5}[0-9a-f]{2}")
HASH = re.compile(r"[0-9a-f]{64}")
BUILD_ID = re.compile(r"[0-9a-f]{32}")
# A host name label; servers and nodes are named so.
NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9.-]{0,251}[A-Za-z0-9])?")
PUBLIC_KEY = re.compile(r"ssh-ed25519 [A-Za-z0-9+/=]{60,120}(?: [\x21-\x7e]{1,100})?")
HINTS = ("serial", "wwn", "model", "name", "size")

Address = Union[ipaddress.IPv4Address, ipaddress.IPv6Address]


def check(pattern: re.Pattern[str], value: Any, what: str, node: str = "") -> str:
    """Return value when pattern matches all of it, else raise a BootError that names what."""
    if not isinstance(value, str) or not pattern.fullmatch(value):
        raise BootError(f"{what} {value!r} is not allowed", node=node, operation="boot documents")
    return value


def check_address(value: Any, what: str, node: str = "") -> Address:
    """The IP address that value spells; a BootError names what when it is none."""
    try:
        if not isinstance(value, str):
            raise ValueError("no text")
        return ipaddress.ip_address(value)
    except ValueError as error:
        raise BootError(f"{what} {value!r} is not an IP address", node=node, operation="boot documents") from error


@dataclass(frozen=True)
class BootServer:
    """Where the boot services listen.

    address: IP address on the provisioning network. port: TCP port of HTTP.
    """

    address: str
    port: int

    def __post_init__(self) -> None:
        check_address(self.address, "the boot server's address")
        if not 0 < self.port < 65536:
            raise BootError(f"port {self.port} of the boot server is not a TCP port", operation="boot documents")

    @property
    def authority(self) -> str:
        """``address:port``, an IPv6 address in brackets."""
        address = f"[{self.address}]" if ":" in self.address else self.address
        return f"{address}:{self.port}"

    def url(self, path: str, name: str = "") -> str:
        """URL of a file below the path of a node; without a name the folder's, ending in a slash."""
        return f"http://{self.authority}/{path}/{name}"


@dataclass(frozen=True)
class NodeNetwork:
    """One static address of a node. cidr: the network's; gateway and dns may be empty."""

    name: str
    address: str
    cidr: str
    gateway: str = ""
    dns: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        address = check_address(self.address, f"the address on network {self.name}")
        try:
            network = ipaddress.ip_network(self.cidr)
        except ValueError as error:
            raise BootError(f"network {self.name} has no valid CIDR: {error}", operation="boot documents") from error
        if address not in network:
            raise BootError(f"{self.address} is not in network {self.name} ({self.cidr})", operation="boot documents")
        for other in (*([self.gateway] if self.gateway else []), *self.dns):
            check_address(other, f"an address of network {self.name}")

    @property
    def interface(self) -> Union[ipaddress.IPv4Interface, ipaddress.IPv6Interface]:
        """Address and prefix together."""
        return ipaddress.ip_interface(f"{self.address}/{ipaddress.ip_network(self.cidr).prefixlen}")


@dataclass(frozen=True)
class ServerBoot:
    """All that is put into the boot documents of one server; nothing else of a node ever reaches them.

    server: its name, which is the node's host name too. manifest_sha256, build_id: of its image.
    networks: the first one is the provisioning network. hints: how the disk is found (empty: the only disk).
    """

    stack: str
    plan: str
    server: str
    node: str
    mac: str
    path: str
    token: str = field(repr=False)
    build_id: str
    manifest_sha256: str
    public_key: str
    networks: tuple[NodeNetwork, ...]
    hints: tuple[tuple[str, Any], ...] = ()
    root_partition: int = 0

    def __post_init__(self) -> None:
        for pattern, value, what in (
            (NAME, self.stack, "the stack's name"),
            (HASH, self.plan, "the plan's hash"),
            (NAME, self.server, "the server's name"),
            (NAME, self.node, "the node's name"),
            (MAC, self.mac, "the MAC address"),
            (HASH, self.path, "the path"),
            (HASH, self.token, "the token"),
            (BUILD_ID, self.build_id, "the build id"),
            (HASH, self.manifest_sha256, "the manifest's digest"),
            (PUBLIC_KEY, self.public_key, "the SSH public key"),
        ):
            check(pattern, value, what, self.node)
        if not self.networks:
            raise BootError("the server has no address", node=self.node, operation="boot documents")
        for hint, _value in self.hints:
            if hint not in HINTS:
                raise BootError(
                    f"disk hint {hint!r} is none of {', '.join(HINTS)}", node=self.node, operation="boot documents"
                )

    @property
    def provisioning(self) -> NodeNetwork:
        """The network that the node boots from."""
        return self.networks[0]

    @property
    def place(self) -> str:
        """Its folder in the trees ``serve`` and ``reports``."""
        return node_place(str(self.provisioning.interface.ip), self.path)
