# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The driver table: the one place where resource types mean something on bare metal."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from .._heat.errors import Fault
from .._heat.model import Resource
from . import secrets
from .errors import PlanError
from .networks import Allocator

SERVER = "OS::Nova::Server"
PORT = "OS::Neutron::Port"
RANDOM = "OS::Heat::RandomString"
_CONSTRAINED = {"glance.image": "image", "nova.flavor": "flavor", "neutron.network": "network"}

_SERVER_PROPERTIES = frozenset(
    {"name", "image", "flavor", "networks", "user_data_format", "image_update_policy", "metadata", "key_name"}
    | {"config_drive", "software_config_transport", "scheduler_hints"}
)
_PORT_PROPERTIES = frozenset({"name", "network", "network_id", "fixed_ips"})
_RANDOM_PROPERTIES = frozenset({"length", "sequence", "salt"})


class BareMetal:
    """Answers the language's questions for a bare-metal stack.

    key: the state directory's key, None before there is one. generate: hidden parameters without a value are made here.
    known: names that there are, by custom constraint; None where they are known later.
    """

    def __init__(
        self, allocator: Allocator, key: bytes | None, generate: bool, known: Mapping[str, Collection[str] | None]
    ) -> None:
        self._allocator = allocator
        self._key = key
        self._generate = generate
        self._known = known
        self.given: dict[str, str] = {}
        self.to_make: dict[str, tuple[int, str]] = {}

    def supports(self, type_name: str) -> bool:
        """The type means something here."""
        return type_name in (SERVER, PORT, RANDOM)

    def constraint(self, name: str, value: Any) -> None:
        """Fault when there is no image, flavor or network of that name; of any in a list."""
        if name not in self._known:
            raise Fault(f"custom constraint {name!r} is not supported; there is {', '.join(sorted(self._known))}")
        for one in value if isinstance(value, list) else [value]:
            must_exist(_CONSTRAINED[name], one, self._known[name])

    def hidden(self, name: str, value: str | None) -> str:
        """The stand-in of a hidden parameter."""
        if value is None:
            if not self._generate:
                raise Fault("is hidden and has no value; give one, or let generate_hidden make it")
            stand_in = secrets.generated(name)
            self.to_make[stand_in] = (32, "lettersdigits")
            return stand_in
        if secrets.STAND_IN.search(value):
            return value
        stand_in = secrets.given(name, value, self._key)
        self.given[stand_in] = value
        return stand_in

    def attribute(self, resource: Resource, name: str) -> Any:
        """Values that are allocated before anything is built."""
        check(resource)
        if resource.type == RANDOM and name == "value":
            return self.random(resource)
        if resource.type == PORT and name in ("fixed_ips", "name", "network_id"):
            if name == "fixed_ips":
                return [{"ip_address": self.port_address(resource)}]
            return resource.properties.get("name") if name == "name" else port_network(resource)
        if resource.type == SERVER:
            if name == "networks":
                return self.server_networks(resource)
            if name == "first_address":
                return next(iter(self.server_networks(resource).values()))[0]
            if name == "name":
                return server_name(resource)
        raise Fault(f"{resource.type} has no attribute {name!r}")

    def random(self, resource: Resource) -> str:
        """Stand-in of a RandomString; the value is made when the plan is stored."""
        length = int(resource.properties.get("length", 32))
        kind = str(resource.properties.get("sequence") or "lettersdigits")
        stand_in = secrets.generated(resource.path)
        self.to_make[stand_in] = (length, kind)
        return stand_in

    def port_address(self, resource: Resource) -> str:
        """Address of a port."""
        wanted = next((str(ip["ip_address"]) for ip in resource.properties.get("fixed_ips") or []), None)
        return self._allocated(port_network(resource), resource.path, wanted)

    def server_networks(self, resource: Resource) -> dict[str, list[str]]:
        """Addresses of a server by network."""
        found: dict[str, list[str]] = {}
        for entry in resource.properties.get("networks") or []:
            network = str(entry.get("network") or "")
            found[network] = [self._allocated(network, resource.path, str(entry.get("fixed_ip") or "") or None)]
        return found

    def _allocated(self, network: str, path: str, wanted: str | None) -> str:
        try:
            return self._allocator.address(network, path, wanted)
        except PlanError as error:
            raise Fault(error.message) from None


def must_exist(what: str, name: Any, known: Collection[str] | None) -> None:
    """Fault when what a name stands for is not there. known: None when that is known later."""
    if known is not None and name not in known:
        place = " in the image store" if what == "image" else ""
        raise Fault(f"there is no {what} {name!r}{place}; there is {', '.join(sorted(known)) or 'none'}")


def check(resource: Resource) -> None:
    """Fault when a resource asks for what its driver cannot do."""
    properties = resource.properties
    known = {SERVER: _SERVER_PROPERTIES, PORT: _PORT_PROPERTIES, RANDOM: _RANDOM_PROPERTIES}[resource.type]
    for name in properties:
        if name not in known:
            raise Fault(f"property {name!r} of {resource.type} is not supported")
    _CHECKS[resource.type](properties)


def _check_server(properties: Mapping[str, Any]) -> None:
    for name in ("image", "flavor"):
        if not isinstance(properties.get(name), str) or not properties[name]:
            raise Fault(f"{SERVER} needs {name!r}")
    networks = properties.get("networks")
    if not isinstance(networks, list) or not networks:
        raise Fault(f"{SERVER} needs at least one network")
    if any(not isinstance(one, Mapping) or not one.get("network") for one in networks):
        raise Fault("each of a server's networks needs 'network'; 'port' is not supported yet")
    for one in networks:
        for key in sorted(set(map(str, one)) - {"network", "fixed_ip"}):
            raise Fault(f"{key!r} of a server's network is not supported yet")
    if len({str(one["network"]) for one in networks}) < len(networks):
        raise Fault("a server cannot be in a network twice yet")
    if not isinstance(properties.get("metadata") or {}, Mapping):
        raise Fault("metadata must be a map")
    if properties.get("scheduler_hints"):
        raise Fault("scheduler_hints is not supported yet")


def _check_port(properties: Mapping[str, Any]) -> None:
    if not (properties.get("network") or properties.get("network_id")):
        raise Fault(f"{PORT} needs 'network'")
    addresses = properties.get("fixed_ips") or []
    if not isinstance(addresses, list) or len(addresses) > 1:
        raise Fault("fixed_ips must be a list with one entry")
    if any(not isinstance(one, Mapping) or set(one) != {"ip_address"} for one in addresses):
        raise Fault("an entry of fixed_ips needs 'ip_address' and nothing else")


def _check_random(properties: Mapping[str, Any]) -> None:
    length = properties.get("length", 32)
    if not isinstance(length, int) or isinstance(length, bool) or not 1 <= length <= 512:
        raise Fault("length must be a number between 1 and 512")
    sequence = properties.get("sequence") or "lettersdigits"
    if not isinstance(sequence, str) or sequence not in secrets.CLASSES:
        raise Fault(f"sequence {sequence!r} is not known")


_CHECKS = {SERVER: _check_server, PORT: _check_port, RANDOM: _check_random}


def port_network(resource: Resource) -> str:
    """Name of a port's network."""
    return str(resource.properties.get("network") or resource.properties.get("network_id") or "")


def server_name(resource: Resource) -> str:
    """Host name of a server: its name, else its path in small letters with dashes."""
    return str(resource.properties.get("name") or resource.path.lower().replace(".", "-"))
