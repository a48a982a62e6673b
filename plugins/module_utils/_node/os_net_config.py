# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A document of os-net-config as links. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Optional

from . import bonding
from .errors import NodeError
from .links import Link, Route, checked
from .nics import Nic

SOURCE = "os_net_config"
LARGEST_DOCUMENT = 4096
PROOF_SECONDS = 60
_COMMON = {
    "addresses", "defroute", "dhclient_args", "dns_servers", "domain", "mtu", "nic_mapping", "nm_controlled", "onboot",
    "persist_mapping", "primary", "routes", "rules", "type", "use_dhcp", "use_dhcpv6",
}  # fmt: skip
_KEYS = {
    "interface": _COMMON | {"ethtool_opts", "hotplug", "linkdelay", "name"},
    "vlan": _COMMON | {"device", "vlan_id"},
    "linux_bond": _COMMON | {"bonding_options", "members", "name"},
    "linux_bridge": _COMMON | {"members", "name"},
}
_MEMBERS = {"linux_bond": ("interface", "vlan"), "linux_bridge": ("interface", "vlan", "linux_bond")}
_INSTEAD = {"ovs_bridge": "linux_bridge", "ovs_bond": "linux_bond", "team": "linux_bond", "linux_team": "linux_bond"}
# Keys of os-net-config that networkd has nothing for, or not yet here; a value that asks for nothing is taken.
_NOT_DONE = ("dhclient_args", "ethtool_opts", "linkdelay", "rules")
_ROUTE = {"default", "destination", "ip_netmask", "metric", "next_hop", "nexthop", "route_options", "table"}
_TRUE, _FALSE = ("t", "true", "on", "y", "yes", "1"), ("f", "false", "off", "n", "no", "0")


def proof_seconds(document: Mapping[str, Any]) -> int:
    """How long the Deployment cloud and the gateways may take to answer. Raises NodeError."""
    seconds = document.get("proof_seconds", PROOF_SECONDS)
    if not isinstance(seconds, int) or isinstance(seconds, bool) or not 1 <= seconds <= 600:
        raise NodeError(f"{SOURCE}: proof_seconds must be a number from 1 to 600")
    return seconds


def links(document: Any, nics: Sequence[Nic], kept: Optional[Mapping[str, str]] = None) -> list[Link]:
    """The links that the document describes, checked. NodeError names the object and the key."""
    try:
        whole = _mapping(document, {"network_config", "interface_mapping", "proof_seconds"}, "the document")
        proof_seconds(whole)
        entries = _list(whole, "network_config")
        if not entries or len(entries) > LARGEST_DOCUMENT:
            raise NodeError("network_config must name at least one object, and not thousands")
        reader = _Reader(nics, aliases(document, nics, kept or {}))
        for entry in entries:
            reader.read(entry, None)
    except NodeError as error:
        text = str(error)
        raise NodeError(text if text.startswith(SOURCE) else f"{SOURCE}: {text}") from error
    return checked([reader.links[key] for key in reader.links], SOURCE)


def aliases(document: Any, nics: Sequence[Nic], kept: Mapping[str, str]) -> dict[str, str]:
    """What names of the document stand for which cards: the mapping given, then nic1, nic2 ... in order.

    kept: MAC addresses of what earlier runs made of ``nic<N>``; a card that comes or goes moves no other.
    """
    given: dict[str, Any] = dict(_mapping(document.get("interface_mapping") or {}, None, "interface_mapping"))
    for entry in _objects(document):
        given.update(_mapping(entry.get("nic_mapping") or {}, None, "nic_mapping"))
    found: dict[str, str] = {}
    for alias, target in given.items():
        nic = next((nic for nic in nics if str(target).lower() in (nic.name, nic.mac)), None)
        if nic is None:
            raise NodeError(f"{alias} is mapped to '{target}', which is no network card here; {_present(nics)}")
        if any(nic.name == alias and nic.active for nic in nics):
            raise NodeError(f"{alias} is mapped to '{target}', but is itself an active network card")
        if nic.name in found.values():
            raise NodeError(f"{nic.name} is mapped twice")
        found[str(alias)] = nic.name
    for alias, mac in kept.items():
        name = next((nic.name for nic in nics if nic.mac == mac), "")
        if name and alias not in found and name not in found.values():
            found[alias] = name
    for number, nic in enumerate((nic for nic in nics if nic.active), 1):
        if nic.name not in found.values() and f"nic{number}" not in found:
            found[f"nic{number}"] = nic.name
    return found


def is_card_missing(document: Any, nics: Sequence[Nic], kept: Mapping[str, str]) -> bool:
    """Whether the document names a ``nic<N>`` that no active card is; such a card may only be switched off."""
    found = aliases(document, nics, kept)
    names = [str(entry.get(key)).partition(".")[0] for entry in _objects(document) for key in ("name", "device")]
    return any(name.startswith("nic") and name[3:].isdigit() and name not in found for name in names)


def _objects(document: Any) -> list[Mapping[str, Any]]:
    """The objects at all depths, as far as they are some."""
    waiting = list(_list(_mapping(document, None, SOURCE), "network_config"))
    found: list[Mapping[str, Any]] = []
    while waiting and len(found) <= LARGEST_DOCUMENT:
        entry = waiting.pop(0)
        if isinstance(entry, dict):
            found.append(entry)
            waiting += _list(entry, "members")
    return found


class _Reader:
    """Flattens the objects; a member knows what it is in."""

    def __init__(self, nics: Sequence[Nic], names: Mapping[str, str]) -> None:
        self.links: dict[str, Link] = {}
        self._nics = nics
        self._names = names

    def read(self, entry: Any, above: Optional[str]) -> Link:
        kind = entry.get("type") if isinstance(entry, dict) else None
        allowed = _MEMBERS[above] if above else tuple(_KEYS)
        if kind not in allowed:
            hint = f"; use {_INSTEAD[kind]}" if kind in _INSTEAD else ""
            where = f"a member of a {above}" if above else "an object"
            name = f" of {entry['name']}" if isinstance(entry, dict) and entry.get("name") else ""
            raise NodeError(f"type '{kind}'{name} is not supported for {where} (only {', '.join(allowed)}){hint}")
        what = str(entry.get("name") or f"vlan{entry.get('vlan_id')}")
        try:
            _mapping(entry, _KEYS[kind], kind)
            _refuse(entry)
            link = self._link(kind, entry, above)
        except NodeError as error:
            text = str(error)
            raise NodeError(text if text.startswith(f"{what}: ") else f"{what}: {text}") from error
        if link.key in self.links:
            raise NodeError(f"{link.key} is there twice")
        self.links[link.key] = link
        return link

    def _link(self, kind: str, entry: Mapping[str, Any], above: Optional[str]) -> Link:
        if kind == "interface":
            return self._interface(entry)
        if kind == "vlan":
            number = entry.get("vlan_id")
            if not isinstance(number, int) or isinstance(number, bool):
                raise NodeError("vlan_id must be a number")
            if not entry.get("device") and above != "linux_bond":
                raise NodeError("device is missing")
            parent = self._real(_text(entry, "device")) if entry.get("device") else ""
            return Link(f"vlan{number}", f"vlan{number}", "vlan", vlan_id=number, parent=parent, **_settings(entry))
        name = _text(entry, "name")
        own = [self.read(member, kind) for member in _list(entry, "members")]
        if kind == "linux_bond":
            # A VLAN in a bond lies on the bond.
            for link in own:
                if link.kind == "vlan" and not link.parent:
                    self.links[link.key] = link._replace(parent=name)
            own = [link for link in own if link.kind != "vlan"]
        options: tuple[tuple[str, str], ...] = ()
        primary = self._primary(entry, own)
        if kind == "linux_bond":
            options, named = bonding.networkd_options(bonding.parse(_optional(entry, "bonding_options")))
            primary = primary or (self._real(named) if named else "")
        first = next((link for link in own if link.key == primary), own[0] if own else None)
        return Link(
            name, name, "bond" if kind == "linux_bond" else "bridge",
            members=tuple(link.key for link in own), primary=primary if kind == "linux_bond" else "",
            options=options, mac=self._mac(first), **_settings(entry),
        )  # fmt: skip

    def _interface(self, entry: Mapping[str, Any]) -> Link:
        name = self._real(_text(entry, "name"))
        base, _dot, number = name.partition(".")
        if number.isdigit():
            return Link(name, name, "vlan", vlan_id=int(number), parent=base, **_settings(entry))
        if name not in [nic.name for nic in self._nics]:
            raise NodeError(f"there is no network card of this name; {_present(self._nics)}")
        return Link(name, name, **_settings(entry))

    def _real(self, name: str) -> str:
        base, dot, number = name.partition(".")
        return f"{self._names.get(base, base)}{dot}{number}" if number.isdigit() else self._names.get(name, name)

    def _primary(self, entry: Mapping[str, Any], own: Sequence[Link]) -> str:
        marked = [m for m in entry.get("members") or [] if isinstance(m, dict) and _boolean(m, "primary", False)]
        if len(marked) > 1:
            raise NodeError("two members are primary")
        names = [self._real(str(member.get("name"))) for member in marked]
        return next((link.key for link in own if link.key in names), "")

    def _mac(self, link: Optional[Link]) -> str:
        if link is None or link.kind == "vlan":
            return ""
        return link.mac or next((nic.mac for nic in self._nics if nic.name == link.name), "")


def _settings(entry: Mapping[str, Any]) -> dict[str, Any]:
    addresses = []
    for address in _list(entry, "addresses"):
        addresses.append(_text(_mapping(address, {"ip_netmask"}, "addresses"), "ip_netmask"))
        if "/" not in addresses[-1]:
            raise NodeError(f"ip_netmask '{addresses[-1]}' has no prefix length")
    mtu = entry.get("mtu") or 0
    if not isinstance(mtu, int) or isinstance(mtu, bool):
        raise NodeError("mtu must be a number")
    domain = entry.get("domain") or []
    wanted = [("ipv4", "use_dhcp"), ("ipv6", "use_dhcpv6")]
    return {
        "mtu": mtu,
        "addresses": tuple(addresses),
        "routes": tuple(_route(route) for route in _list(entry, "routes")),
        "dhcp": tuple(family for family, key in wanted if _boolean(entry, key, False)),
        "default_route": _boolean(entry, "defroute", True),
        "accept_ra": _boolean(entry, "use_dhcpv6", False),
        "dns": tuple(str(server) for server in _list(entry, "dns_servers")),
        "domains": (domain,) if isinstance(domain, str) else tuple(str(name) for name in domain),
    }


def _route(entry: Any) -> Route:
    _mapping(entry, _ROUTE, "routes")
    if entry.get("route_options"):
        raise NodeError("route_options is not supported; metric and table are")
    for one, other in (("next_hop", "nexthop"), ("ip_netmask", "destination")):
        if entry.get(one) and entry.get(other):
            raise NodeError(f"a route has both {one} and {other}")
    gateway = entry.get("next_hop") or entry.get("nexthop")
    if not gateway:
        raise NodeError("a route has no next_hop")
    destination = str(entry.get("ip_netmask") or entry.get("destination") or "")
    if _boolean(entry, "default", False) or not destination:
        if destination not in ("", "0.0.0.0/0", "::/0"):
            raise NodeError(f"a route is the default one and goes to {destination}")
        if not destination and not _boolean(entry, "default", False):
            raise NodeError(f"the route by {gateway} has no destination")
        destination = "::/0" if ":" in str(gateway) else "0.0.0.0/0"
    numbers = {}
    for key in ("metric", "table"):
        numbers[key] = "" if entry.get(key) in (None, "") else str(entry[key])
        if numbers[key] and (not numbers[key].isdigit() or int(numbers[key]) > 0xFFFFFFFF):
            raise NodeError(f"{key} '{numbers[key]}' of a route is no number")
    return Route(destination, str(gateway), numbers["metric"], numbers["table"])


def _refuse(entry: Mapping[str, Any]) -> None:
    for key in _NOT_DONE:
        if entry.get(key):
            raise NodeError(f"{key} is not supported")
    if _boolean(entry, "persist_mapping", False) or _boolean(entry, "nm_controlled", False):
        raise NodeError("persist_mapping and nm_controlled are not supported")
    if not _boolean(entry, "onboot", True):
        raise NodeError("onboot: false is not supported; leave the object out")


def _mapping(value: Any, known: Optional[set[str]], what: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise NodeError(f"{what} must be a mapping")
    unknown = sorted(str(key) for key in value if known is not None and key not in known)
    if unknown:
        raise NodeError(f"{what} has the unknown key {', '.join(unknown)}")
    return value


def _list(entry: Mapping[str, Any], key: str) -> list[Any]:
    value = entry.get(key)
    if value is None:
        return []
    if not isinstance(value, list):
        raise NodeError(f"{key} must be a list")
    return value


def _text(entry: Mapping[str, Any], key: str) -> str:
    value = entry.get(key)
    if not isinstance(value, str) or not value:
        raise NodeError(f"{key} must be a text")
    return value


def _optional(entry: Mapping[str, Any], key: str) -> str:
    return _text(entry, key) if entry.get(key) else ""


def _boolean(entry: Mapping[str, Any], key: str, default: bool) -> bool:
    value = entry.get(key)
    text = str(value).lower()
    if value is not None and text not in (*_TRUE, *_FALSE):
        raise NodeError(f"{key} must be true or false")
    return default if value is None else text in _TRUE


def _present(nics: Sequence[Nic]) -> str:
    return f"there are {', '.join(f'{nic.name} ({nic.mac})' for nic in nics)}"
