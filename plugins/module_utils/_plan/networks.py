# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Networks of the inventory and the addresses that servers get from them."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Iterator, Mapping, Set
from dataclasses import dataclass
from typing import Any

from .errors import PlanError

_KEYS = frozenset({"cidr", "gateway_ip", "dns_nameservers", "allocation_pools"})


@dataclass(frozen=True)
class Network:
    """A network. pools: first and last address of each range that servers and ports get theirs from."""

    name: str
    cidr: str
    gateway_ip: str | None
    dns_nameservers: tuple[str, ...]
    pools: tuple[tuple[int, int], ...]

    def as_plan(self) -> dict[str, Any]:
        """Its entry in a plan."""
        return {"cidr": self.cidr, "gateway_ip": self.gateway_ip, "dns_nameservers": list(self.dns_nameservers)}

    def candidates(self) -> Iterator[str]:
        """Addresses of the pools, in order, without those that no host can have."""
        whole = ipaddress.ip_network(self.cidr)
        make = ipaddress.IPv4Address if whole.version == 4 else ipaddress.IPv6Address
        every = (str(make(number)) for first, last in self.pools for number in range(first, last + 1))
        edges = set() if whole.num_addresses <= 2 else {str(whole.network_address), str(whole.broadcast_address)}
        return (ip for ip in every if ip not in edges and ip != self.gateway_ip)

    def holds(self, ip: str) -> bool:
        """A text is an address of this network."""
        try:
            return ipaddress.ip_address(ip) in ipaddress.ip_network(self.cidr)
        except ValueError:
            return False


def parse_networks(data: Any) -> dict[str, Network]:
    """Read the networks of the inventory; a PlanError lists every fault."""
    if not isinstance(data, Mapping) or not data:
        raise PlanError("networks must be a mapping by name, with at least one", operation="read the networks")
    faults: list[str] = []
    networks = {}
    for name, entry in data.items():
        try:
            networks[str(name)] = _network(str(name), entry)
        except (ValueError, TypeError, KeyError) as error:
            faults.append(f"network {name}: {error}")
    if faults:
        raise PlanError("; ".join(faults), operation="read the networks")
    return networks


def _network(name: str, entry: Any) -> Network:
    if not isinstance(entry, Mapping):
        raise ValueError("is no mapping")
    unknown = sorted(set(entry) - _KEYS)
    if unknown:
        raise ValueError(f"unknown key {', '.join(unknown)}")
    if "cidr" not in entry:
        raise ValueError("has no cidr")
    whole = ipaddress.ip_network(str(entry["cidr"]))
    gateway = ipaddress.ip_address(str(entry["gateway_ip"])) if entry.get("gateway_ip") else None
    if gateway and gateway not in whole:
        raise ValueError(f"gateway_ip {gateway} is not in {whole}")
    pools = []
    for pool in entry.get("allocation_pools") or []:
        first, last = (ipaddress.ip_address(str(pool[key])) for key in ("start", "end"))
        if first not in whole or last not in whole or int(first) > int(last):
            raise ValueError(f"pool {first} to {last} is no range of {whole}")
        pools.append((int(first), int(last)))
    if not pools:
        raise ValueError("has no allocation_pools")
    servers = tuple(str(ipaddress.ip_address(str(address))) for address in entry.get("dns_nameservers") or [])
    return Network(name, str(whole), str(gateway) if gateway else None, servers, tuple(pools))


class Allocator:
    """Hands out addresses: what a path held before stays its own, else the first free one."""

    def __init__(
        self, networks: Mapping[str, Network], held: Mapping[tuple[str, str], str], foreign: Set[tuple[str, str]]
    ) -> None:
        self._networks = networks
        self._held = held
        self._given: dict[tuple[str, str], str] = {}
        self._used = set(foreign) | {(network, ip) for (network, _path), ip in held.items()}
        self._next = {name: network.candidates() for name, network in networks.items()}

    def address(self, network: str, path: str, wanted: str | None = None) -> str:
        """The address of a path in a network; PlanError when the network is unknown or its pools are used up."""
        key = (network, path)
        if key in self._given:
            return self._given[key]
        known = self._networks.get(network)
        if known is None:
            raise PlanError(
                f"{path} wants network {network}; there is {', '.join(sorted(self._networks))}",
                operation="allocate addresses",
            )
        if wanted and not known.holds(wanted):
            raise PlanError(
                f"{path} wants {wanted}, which is no address of {known.cidr}", operation="allocate addresses"
            )
        held = self._held.get(key)
        # What was held before the network got another range is of no use any more.
        found = wanted or (held if held and known.holds(held) else None)
        if wanted and self._held.get(key) != wanted and (network, wanted) in self._used:
            raise PlanError(f"{path} wants {wanted} in {network}, which is in use", operation="allocate addresses")
        if found is None:
            found = next((ip for ip in self._next[network] if (network, ip) not in self._used), None)
        if found is None:
            raise PlanError(
                f"network {network} has no free address left for {path}",
                operation="allocate addresses",
                next_step="Widen its allocation_pools.",
            )
        self._used.add((network, found))
        self._given[key] = found
        return found

    def allocated(self, paths: Iterable[str] | None = None) -> list[tuple[str, str, str]]:
        """Network, address and path of all that was handed out."""
        wanted = None if paths is None else set(paths)
        return [(n, ip, path) for (n, path), ip in self._given.items() if wanted is None or path in wanted]
