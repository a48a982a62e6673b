# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Links as files of systemd-networkd, and what networkd has to be told when such files change. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Optional

from .links import Link

Texts = Mapping[str, Optional[str]]
_ABOVE = ("Bond", "Bridge", "VLAN")


def files(links: Sequence[Link], prefix: str) -> dict[str, str]:
    """File name to content of checked links, ``<prefix>-<name or MAC>.network`` and ``.netdev``."""
    found = {}
    for link in links:
        stem = f"{prefix}-{link.name or link.mac.replace(':', '')}"
        if link.kind != "phy":
            found[f"{stem}.netdev"] = _netdev(link)
        found[f"{stem}.network"] = _network(link, links)
    return found


def effects(before: Texts, after: Texts) -> tuple[list[str], list[str]]:
    """What a change of files asks for: interfaces to delete, because networkd changes none, and to configure anew."""
    changed = [name for name in {**before, **after} if before.get(name) != after.get(name)]
    delete = [_value(before.get(name), "Name") for name in changed if name.endswith(".netdev") and before.get(name)]
    for text in before.values():
        # The kernel takes VLANs away with what they are on; networkd makes them anew only when it has seen that.
        if text and _value(text, "Name") in delete:
            on_it = [line[5:] for line in text.splitlines() if line.startswith("VLAN=")]
            delete = [*on_it, *(name for name in delete if name not in on_it)]
    networks = {name: (before.get(name), after.get(name)) for name in {**before, **after} if name.endswith(".network")}
    anew = []
    for name, texts in networks.items():
        lines = [line for text in texts for line in (text or "").splitlines()]
        if name in changed or any(f"{key}={gone}" in lines for key in _ABOVE for gone in delete):
            anew += [_value(text, "Name") for text in texts]
    return delete, [name for name in dict.fromkeys(anew) if name]


def without_mtu(before: Texts, after: Texts) -> list[str]:
    """The interfaces to which files gave an MTU and do not give one any more."""
    names = [name for name in before if name.endswith(".network") and _value(before[name], "MTUBytes")]
    return [_value(before[name], "Name") for name in names if not _value(after.get(name), "MTUBytes")]


def _value(text: Optional[str], key: str) -> str:
    for line in (text or "").splitlines():
        if line.startswith(f"{key}="):
            return line.partition("=")[2]
    return ""


def _netdev(link: Link) -> str:
    lines = ["[NetDev]", f"Name={link.name}", f"Kind={link.kind}"]
    if link.mac:
        lines.append(f"MACAddress={link.mac}")
    if link.kind == "vlan":
        lines += ["", "[VLAN]", f"Id={link.vlan_id}"]
    elif link.kind == "bridge":
        lines += ["", "[Bridge]", "STP=no"]
    else:
        lines += ["", "[Bond]", *(f"{name}={value}" for name, value in link.options)]
    return "\n".join(lines) + "\n"


def _network(link: Link, links: Sequence[Link]) -> str:
    above = next((other for other in links if link.key in other.members), None)
    lines = ["[Match]"]
    if link.name:
        lines.append(f"Name={link.name}")
    else:
        # The members of a bond have the MAC address of one of them, all the same.
        permanent = "Permanent" if above and above.kind == "bond" else ""
        lines += [f"{permanent}MACAddress={link.mac}", "Type=ether"]
    lines += ["", "[Network]", f"DHCP={'yes' if len(link.dhcp) > 1 else ''.join(link.dhcp) or 'no'}"]
    if link.accept_ra is not None:
        lines.append(f"IPv6AcceptRA={'yes' if link.accept_ra else 'no'}")
    if above:
        lines.append(f"{above.kind.capitalize()}={above.name}")
        if above.primary == link.key:
            lines.append("PrimarySlave=yes")
    lines += [f"VLAN={other.name}" for other in links if other.kind == "vlan" and other.parent == link.key]
    lines += [f"DNS={server}" for server in link.dns]
    if link.domains:
        lines.append(f"Domains={' '.join(link.domains)}")
    if link.mtu:
        lines += ["", "[Link]", f"MTUBytes={link.mtu}"]
    if not link.default_route:
        for family in [*(["DHCPv4"] if "ipv4" in link.dhcp else []), "IPv6AcceptRA"]:
            lines += ["", f"[{family}]", "UseGateway=no"]
    for address in link.addresses:
        lines += ["", "[Address]", f"Address={address}"]
    for route in link.routes:
        lines += ["", "[Route]", f"Destination={route.destination}", f"Gateway={route.gateway}"]
        lines += [f"{key}={value}" for key, value in (("Metric", route.metric), ("Table", route.table)) if value]
    return "\n".join(lines) + "\n"
