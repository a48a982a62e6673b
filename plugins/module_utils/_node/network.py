# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""OpenStack's ``network_data.json`` as systemd-networkd files. Pure, and light to import: it runs at first boot."""

from __future__ import annotations

from typing import Any

from .errors import NodeError

LINK_TYPES = ("phy", "ovs", "vif", "tap", "bridge", "hw_veb", "hyperv", "hostdev_physical", "vhostuser", "macvtap")


def networkd_files(network_data: dict[str, Any]) -> dict[str, str]:
    """File name to content, one ``.network`` file a link. Raises NodeError that names what is not supported."""
    links = {link.get("id"): link for link in network_data.get("links") or []}
    sections: dict[Any, list[str]] = {name: [] for name in links}
    dhcp: dict[Any, set[str]] = {name: set() for name in links}
    for network in network_data.get("networks") or []:
        name = network.get("link")
        if name not in links:
            raise NodeError(f"network_data.json: network {network.get('id')} is on the unknown link {name}")
        _add_network(network, sections[name], dhcp[name])
    servers = name_servers(network_data)
    files = {}
    for name, link in links.items():
        mac = _mac(link)
        lines = ["[Match]", f"MACAddress={mac}", "Type=ether", "", "[Network]", f"DHCP={_dhcp(dhcp[name])}"]
        lines += [f"DNS={server}" for server in servers]
        mtu = ["", "[Link]", f"MTUBytes={int(link['mtu'])}"] if link.get("mtu") else []
        text = "\n".join([*lines, *mtu, *sections[name]])
        files[f"50-tripleo-{mac.replace(':', '')}.network"] = f"{text}\n"
    return files


def name_servers(network_data: dict[str, Any]) -> list[str]:
    """Addresses of the DNS servers, in order."""
    networks = network_data.get("networks") or []
    services = [*(network_data.get("services") or [])]
    for network in networks:
        services += network.get("services") or []
    found = [str(service["address"]) for service in services if service.get("type") == "dns"]
    return list(dict.fromkeys(_plain(address, "address of a DNS server") for address in found))


def prefix_length(network: dict[str, Any]) -> int:
    """The length of a network's prefix, from its netmask (dotted or a number)."""
    netmask = str(network.get("netmask", ""))
    if netmask.isdigit():
        return int(netmask)
    try:
        octets = [int(part) for part in netmask.split(".")]
    except ValueError:
        octets = []
    bits = "".join(f"{octet:08b}" for octet in octets)
    if len(octets) != 4 or len(bits) != 32 or "01" in bits:
        raise NodeError(f"network_data.json: netmask '{netmask}' of network {network.get('id')} is none")
    return bits.count("1")


def _add_network(network: dict[str, Any], lines: list[str], dhcp: set[str]) -> None:
    kind = network.get("type")
    if kind in ("ipv4_dhcp", "ipv6_dhcp"):
        dhcp.add(str(kind)[:4])
        return
    if kind not in ("ipv4", "ipv6"):
        raise NodeError(f"network_data.json: network type '{kind}' is not supported")
    address = _plain(network.get("ip_address"), "ip_address")
    if "/" not in address:
        address = f"{address}/{prefix_length(network)}"
    lines += ["", "[Address]", f"Address={address}"]
    for route in network.get("routes") or []:
        destination = _plain(route.get("network"), "network of a route")
        if "/" not in destination:
            destination = f"{destination}/{prefix_length(route)}"
        gateway = _plain(route.get("gateway"), "gateway of a route")
        lines += ["", "[Route]", f"Destination={destination}", f"Gateway={gateway}"]


def _dhcp(families: set[str]) -> str:
    return "yes" if len(families) > 1 else "".join(families) or "no"


def _mac(link: dict[str, Any]) -> str:
    if link.get("type", "phy") not in LINK_TYPES:
        raise NodeError(f"network_data.json: link type '{link.get('type')}' is not supported")
    mac = str(link.get("ethernet_mac_address", "")).lower()
    octets = mac.split(":")
    if len(octets) != 6 or any(len(octet) != 2 or set(octet) - set("0123456789abcdef") for octet in octets):
        raise NodeError(f"network_data.json: link {link.get('id')} has no MAC address")
    return mac


def _plain(value: Any, what: str) -> str:
    text = str(value or "")
    if not text or set(text) - set("0123456789abcdefABCDEF.:/"):
        raise NodeError(f"network_data.json: '{text}' is no {what}")
    return text
