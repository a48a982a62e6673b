# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the network of a host shall be: links, whatever document they came from, and what is wrong with them. Pure."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple, Union

from .errors import NodeError

Interface = Union[ipaddress.IPv4Interface, ipaddress.IPv6Interface]
LONGEST_NAME = 15
SMALLEST_MTU, SMALLEST_MTU6, LARGEST_MTU = 68, 1280, 65535


class Route(NamedTuple):
    """A route; ``metric`` and ``table`` are texts, empty when the system chooses."""

    destination: str
    gateway: str
    metric: str = ""
    table: str = ""


class Link(NamedTuple):
    """A network interface. ``key`` is its name in the document, ``name`` the interface's.

    kind: phy, vlan, bond or bridge. name may be empty for a phy, which ``mac`` finds then; addresses have a prefix
    length; dhcp holds ``ipv4`` and ``ipv6``; parent (of a VLAN), members and primary (of a bond) are keys; options are
    networkd's for a bond; accept_ra is networkd's default when None.
    """

    key: str
    name: str
    kind: str = "phy"
    mac: str = ""
    mtu: int = 0
    addresses: tuple[str, ...] = ()
    routes: tuple[Route, ...] = ()
    dhcp: tuple[str, ...] = ()
    default_route: bool = True
    accept_ra: Any = None
    dns: tuple[str, ...] = ()
    domains: tuple[str, ...] = ()
    vlan_id: int = 0
    parent: str = ""
    members: tuple[str, ...] = ()
    primary: str = ""
    options: tuple[tuple[str, str], ...] = ()


def checked(links: Sequence[Link], source: str) -> list[Link]:
    """The links with the sizes of packets that those above and below them need. NodeError lists every fault."""
    faults = [*_names(links), *_stacking(links), *_addresses(links)]
    for link in links:
        faults += [f"{link.key}: {fault}" for fault in _own_faults(link)]
    if faults:
        raise NodeError(f"{source}: {'; '.join(dict.fromkeys(faults))}")
    return [link._replace(mtu=link.mtu or _needed(link, links)) for link in links]


def is_interface_name(name: str) -> bool:
    """Whether the kernel and networkd take it as a name."""
    if not 0 < len(name) <= LONGEST_NAME or name in (".", "..", "all", "default", "lo"):
        return False
    return all(letter.isascii() and (letter.isalnum() or letter in "._-") for letter in name) and not name.isdigit()


def _names(links: Sequence[Link]) -> Iterator[str]:
    for what, found in (
        ("key", [link.key for link in links]),
        ("interface", [link.name for link in links if link.name]),
        ("MAC address", [link.mac for link in links if link.kind == "phy" and link.mac]),
    ):
        for value in _doubled(found):
            yield f"{what} {value} is there twice"
    for link in links:
        if link.name and not is_interface_name(link.name):
            yield f"{link.key}: '{link.name}' is no name for an interface (at most {LONGEST_NAME} characters)"


def _stacking(links: Sequence[Link]) -> Iterator[str]:
    by_key = {link.key: link for link in links}
    for link in links:
        for member in (*link.members, *((link.parent,) if link.kind == "vlan" else ())):
            if member not in by_key or member == link.key:
                yield f"{link.key}: '{member}' is no other link of the document"
        if link.kind == "bond" and not link.members:
            yield f"{link.key}: a bond needs a member"
        if link.kind == "bond" and any(by_key[name].kind != "phy" for name in link.members if name in by_key):
            yield f"{link.key}: only network cards can be members of a bond"
        if link.kind == "vlan" and by_key.get(link.parent, link).kind == "vlan":
            yield f"{link.key}: a VLAN on the VLAN '{link.parent}' is not supported"
        if link.primary and link.primary not in link.members:
            yield f"{link.key}: its primary '{link.primary}' is no member"
        parent = by_key.get(link.parent)
        if link.mtu and parent and parent.mtu and link.mtu > parent.mtu:
            yield f"{link.key}: its mtu {link.mtu} is larger than the {parent.mtu} of {parent.key}"
        for name in link.members:
            member_mtu = by_key[name].mtu if name in by_key else 0
            if member_mtu and link.mtu and member_mtu != link.mtu:
                yield f"{name}: its mtu {member_mtu} is not the {link.mtu} of {link.key}"
    for name in _doubled([member for link in links for member in link.members]):
        yield f"{name}: is a member twice"
    for one in _doubled([f"{link.vlan_id} on {link.parent}" for link in links if link.kind == "vlan"]):
        yield f"VLAN {one} is there twice"
    under = {member: link for link in links for member in link.members}
    for link in links:
        if link.key in under and (link.addresses or link.routes or link.dhcp):
            yield f"{link.key}: a member of {under[link.key].key} can have no addresses, routes or DHCP of its own"
        seen, above = {link.key}, under.get(link.key)
        while above and above.key not in seen:
            seen.add(above.key)
            above = under.get(above.key)
        if above:
            yield f"{link.key}: is a member of itself"


def _addresses(links: Sequence[Link]) -> Iterator[str]:
    texts = [str(found.ip) for link in links for found in _interfaces(link)]
    for address in _doubled(texts):
        yield f"address {address} is there twice"
    routes = [
        f"{route.destination} (metric {route.metric or 'default'}, table {route.table or 'main'})"
        for link in links
        for route in link.routes
    ]
    for route in _doubled(routes):
        yield f"the route to {route} is there twice"


def _own_faults(link: Link) -> Iterator[str]:
    if link.kind == "vlan" and not 1 <= link.vlan_id <= 4094:
        yield f"VLAN id {link.vlan_id} is not from 1 to 4094"
    has6 = "ipv6" in link.dhcp or any(":" in address for address in link.addresses)
    smallest = SMALLEST_MTU6 if has6 else SMALLEST_MTU
    if link.mtu and not smallest <= link.mtu <= LARGEST_MTU:
        yield f"mtu {link.mtu} is not from {smallest} to {LARGEST_MTU}"
    for text in link.addresses:
        try:
            found = ipaddress.ip_interface(text)
        except ValueError:
            yield f"'{text}' is no address with a prefix length"
            continue
        edge = found.version == 4 and found.network.num_addresses > 2
        edges = (found.network.network_address, found.network.broadcast_address)
        if found.is_multicast or found.is_unspecified or found.is_loopback or (edge and found.ip in edges):
            yield f"no host can have the address {text}"
    for address in link.dns:
        if not _is_address(address):
            yield f"DNS server '{address}' is no address"
    for domain in link.domains:
        if not domain or len(domain) > 253 or set(domain) & set(" \t\r\n\"'\\[]=#;%") or not domain.isprintable():
            yield f"'{domain}' is no domain"
    yield from _route_faults(link)


def _route_faults(link: Link) -> Iterator[str]:
    own = list(_interfaces(link))
    for route in link.routes:
        try:
            destination = ipaddress.ip_network(route.destination)
            gateway = ipaddress.ip_address(route.gateway)
        except ValueError as error:
            yield f"route to '{route.destination}' by '{route.gateway}': {error}"
            continue
        if destination.version != gateway.version:
            yield f"route to {route.destination}: its gateway {gateway} is of the other IP version"
        elif any(gateway == found.ip for found in own):
            yield f"its gateway {gateway} is its own address"
        elif gateway.version == 6 and gateway.is_link_local:
            continue
        elif f"ipv{gateway.version}" not in link.dhcp and not any(gateway in found.network for found in own):
            yield f"its gateway {gateway} is in none of its subnets"


def _needed(link: Link, links: Sequence[Link]) -> int:
    """The MTU of a link that gives none: what VLANs on it carry, or the MTU of what it is a member of."""
    over = [above.mtu for above in links if above.parent == link.key and above.kind == "vlan"]
    over += [above.mtu or _needed(above, links) for above in links if link.key in above.members]
    largest = max(over, default=0)
    return largest if largest > 1500 or any(link.key in above.members for above in links) else 0


def _interfaces(link: Link) -> Iterator[Interface]:
    for text in link.addresses:
        try:
            yield ipaddress.ip_interface(text)
        except ValueError:
            continue


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return "%" not in text


def _doubled(values: Iterable[str]) -> list[str]:
    seen: set[str] = set()
    return [value for value in values if value in seen or seen.add(value)]  # type: ignore[func-returns-value]
