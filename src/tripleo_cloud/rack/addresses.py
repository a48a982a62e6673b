# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Chooses a rack's subnet and names, so that two checkouts on one host do not meet."""

from __future__ import annotations

import hashlib
import ipaddress
import json
import os
import subprocess
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tripleo_cloud.rack.errors import RackError

Network = ipaddress.IPv4Network
# Where other tools of a laptop put theirs: QEMU's user network, podman.
_TAKEN_BY_OTHERS = (Network("10.0.0.0/14"), Network("10.88.0.0/16"))
_ATTEMPTS = 4096
_FIRST_BMC = 201


@dataclass(frozen=True)
class RackNetwork:
    """A rack's addresses (text) and the names of its namespace and of the host's end of the veth pair."""

    cidr: str
    host_address: str
    prefix: str
    namespace: str
    interface: str

    def to_dict(self) -> dict[str, str]:
        """The same as plain data, for JSON."""
        return asdict(self)

    @property
    def subnet(self) -> Network:
        """The nodes' network."""
        return Network(self.cidr)

    @property
    def host_address6(self) -> str:
        """The host's own IPv6 address in the rack; from its prefix dnsmasq makes router advertisements."""
        return str(ipaddress.IPv6Network(self.prefix)[1])

    @property
    def pool(self) -> tuple[str, str]:
        """First and last address for nodes."""
        return str(self.subnet[10]), str(self.subnet[99])

    def bmc_address(self, index: int) -> str:
        """The address of the BMC of the machine with this index, from 0 on."""
        return str(self.subnet[_FIRST_BMC + index])


def seed(state_dir: Path) -> bytes:
    """32 bytes that are always the same for a rack's state directory."""
    return hashlib.sha256(os.fsencode(os.path.realpath(state_dir))).digest()


def namespace(state_dir: Path) -> str:
    """Name of a rack's network namespace."""
    return f"tripleo-{seed(state_dir).hex()[:8]}"


def choose(state_dir: Path, taken: Iterable[Network]) -> RackNetwork:
    """The first free /24 of 10.0.0.0/8 in an order that the state directory's path decides. Raises RackError."""
    origin = seed(state_dir)
    avoid = [*taken, *_TAKEN_BY_OTHERS]
    for attempt in range(_ATTEMPTS):
        digest = hashlib.sha256(origin + attempt.to_bytes(4, "big")).digest()
        subnet = Network(f"10.{digest[0]}.{digest[1]}.0/24")
        if not any(subnet.overlaps(other) for other in avoid):
            return RackNetwork(
                cidr=str(subnet),
                host_address=str(subnet[1]),
                prefix=f"fd{digest[2]:02x}:{digest[3:5].hex()}:{digest[5:7].hex()}:{digest[7:9].hex()}::/64",
                namespace=namespace(state_dir),
                interface=f"trp{origin.hex()[:8]}",
            )
    raise RackError("no free /24 in 10.0.0.0/8: the host's routes cover all that was tried")


def taken_by_host() -> list[Network]:
    """What the host's routes (all tables but for the default route) and addresses cover. Raises RackError."""
    taken = [_network(route["dst"]) for route in _ip("route", "show", "table", "all")]
    for link in _ip("address", "show"):
        for address in link.get("addr_info", []):
            taken.append(_network(f"{address['local']}/{address['prefixlen']}"))
            if "address" in address:
                taken.append(_network(address["address"]))
    return [network for network in taken if network is not None and network.prefixlen]


def _network(text: str) -> Network | None:
    try:
        return Network(text, strict=False)
    except ValueError:  # "default" and words of other route types
        return None


def _ip(*words: str) -> list[dict[str, Any]]:
    done = subprocess.run(["ip", "-4", "-json", *words], capture_output=True, text=True, check=False)
    if done.returncode:
        raise RackError(f"ip {' '.join(words)}: {done.stderr.strip()}")
    found: list[dict[str, Any]] = json.loads(done.stdout or "[]")
    return found
