# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""OpenStack's ``network_data.json`` as systemd-networkd files. Pure, and light to import: it runs at first boot."""

from __future__ import annotations

from typing import Any

from . import networkd
from .bonding import networkd_options
from .errors import NodeError
from .links import Link, Route, checked, is_interface_name

SOURCE = "network_data.json"
PREFIX = "50-tripleo"
LINK_TYPES = ("phy", "ovs", "vif", "tap", "bridge", "hw_veb", "hyperv", "hostdev_physical", "vhostuser", "macvtap")
# What OpenStack writes for a bond besides the mode, and the bonding driver's names.
_BOND_KEYS = {
    "bond_miimon": "miimon",
    "bond_hash_policy": "xmit_hash_policy",
    "bond_xmit_hash_policy": "xmit_hash_policy",
    "bond_lacp_rate": "lacp_rate",
}


def networkd_files(network_data: dict[str, Any]) -> dict[str, str]:
    """File name to content, one ``.network`` file a link, a ``.netdev`` file a bond and VLAN.

    Raises NodeError that names what is wrong or not supported.
    """
    return networkd.files(checked(_links(network_data), SOURCE), PREFIX)


def name_servers(network_data: dict[str, Any]) -> list[str]:
    """Addresses of the DNS servers, in order."""
    networks = network_data.get("networks") or []
    services = [*(network_data.get("services") or [])]
    for network in networks:
        services += network.get("services") or []
    found = [str(service["address"]) for service in services if service.get("type") == "dns"]
    return list(dict.fromkeys(_plain(address, "address of a DNS server") for address in found))


def _links(network_data: dict[str, Any]) -> list[Link]:
    servers = tuple(name_servers(network_data))
    links: dict[str, Link] = {}
    bonds = 0
    for entry in network_data.get("links") or []:
        key = str(entry.get("id"))
        kind = entry.get("type", "phy")
        mtu = int(entry.get("mtu") or 0)
        if kind == "bond":
            name = key if is_interface_name(key) else f"bond{bonds}"
            bonds += 1
            links[key] = Link(key, name, "bond", _mac(entry), mtu, dns=servers, **_bond(entry))
        elif kind == "vlan":
            number = _number(entry.get("vlan_id"), f"vlan_id of link {key}")
            mac = _mac(entry, "vlan_mac_address") if entry.get("vlan_mac_address") else ""
            parent = str(entry.get("vlan_link"))
            links[key] = Link(key, f"vlan{number}", "vlan", mac, mtu, dns=servers, vlan_id=number, parent=parent)
        elif kind in LINK_TYPES:
            links[key] = Link(key, "", "phy", _mac(entry), mtu, dns=servers)
        else:
            raise NodeError(f"{SOURCE}: link type '{kind}' is not supported")
    for network in network_data.get("networks") or []:
        link = links.get(str(network.get("link")))
        if link is None:
            raise NodeError(f"{SOURCE}: network {network.get('id')} is on the unknown link {network.get('link')}")
        links[link.key] = _with_network(link, network)
    return list(links.values())


def _bond(entry: dict[str, Any]) -> dict[str, Any]:
    given = [("mode", str(entry.get("bond_mode") or "active-backup"))]
    given += [(known, str(entry[key])) for key, known in _BOND_KEYS.items() if entry.get(key) not in (None, "")]
    try:
        options, _primary = networkd_options(dict(given))
    except NodeError as error:
        raise NodeError(f"{SOURCE}: link {entry.get('id')}: {error}") from error
    return {"members": tuple(str(name) for name in entry.get("bond_links") or []), "options": options}


def _with_network(link: Link, network: dict[str, Any]) -> Link:
    kind = str(network.get("type"))
    if kind in ("ipv4_dhcp", "ipv6_dhcp", "ipv6_dhcpv6-stateful", "ipv6_dhcpv6-stateless", "ipv6_slaac"):
        return link._replace(dhcp=tuple(sorted({*link.dhcp, kind[:4]})))
    if kind not in ("ipv4", "ipv6"):
        raise NodeError(f"{SOURCE}: network type '{kind}' is not supported")
    address = _plain(network.get("ip_address"), "ip_address")
    if "/" not in address:
        address = f"{address}/{prefix_length(network)}"
    routes = []
    for entry in network.get("routes") or []:
        destination = _plain(entry.get("network"), "network of a route")
        if "/" not in destination:
            destination = f"{destination}/{prefix_length(entry)}"
        routes.append(Route(destination, _plain(entry.get("gateway"), "gateway of a route")))
    return link._replace(addresses=(*link.addresses, address), routes=(*link.routes, *routes))


def prefix_length(network: dict[str, Any]) -> int:
    """The length of a network's prefix, from its netmask (dotted, IPv6's long form, or a number)."""
    netmask = str(network.get("netmask", ""))
    if netmask.isdigit():
        return int(netmask)
    try:
        # Dotted: 4 octets; IPv6: 8 words of hexadecimal digits, of which `::` leaves the last ones out.
        if ":" in netmask:
            words = [int(word or "0", 16) for word in netmask.partition("::")[0].split(":")]
            bits = "".join(f"{word:016b}" for word in words).ljust(128, "0")
        else:
            bits = "".join(f"{int(octet):08b}" for octet in netmask.split("."))
    except ValueError:
        bits = ""
    if len(bits) not in (32, 128) or "01" in bits:
        raise NodeError(f"{SOURCE}: netmask '{netmask}' of network {network.get('id')} is none")
    return bits.count("1")


def _number(value: Any, what: str) -> int:
    if not str(value).isdigit():
        raise NodeError(f"{SOURCE}: {what} is no number")
    return int(value)


def _mac(link: dict[str, Any], key: str = "ethernet_mac_address") -> str:
    mac = str(link.get(key, "")).lower()
    octets = mac.split(":")
    if len(octets) != 6 or any(len(octet) != 2 or set(octet) - set("0123456789abcdef") for octet in octets):
        raise NodeError(f"{SOURCE}: link {link.get('id')} has no MAC address")
    return mac


def _plain(value: Any, what: str) -> str:
    text = str(value or "")
    if not text or set(text) - set("0123456789abcdefABCDEF.:/"):
        raise NodeError(f"{SOURCE}: '{text}' is no {what}")
    return text
