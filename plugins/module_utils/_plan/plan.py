# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From a resolved stack, the hardware and the state to a plan."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from .._heat.errors import Fault, HeatError
from .._heat.evaluate import evaluate
from .._heat.model import Resource, Stack
from . import drivers
from .errors import PlanError
from .flavors import Flavor
from .networks import Allocator, Network
from .reserve import Request, reserve
from .secrets import UNKNOWN, is_known

SCHEMA = 1
_LABEL = "[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?"
HOST_NAME = re.compile(rf"(?=.{{1,63}}\Z){_LABEL}(?:\.{_LABEL})*")


@dataclass(frozen=True)
class ImageRef:
    """What a plan says of an image. build_id and digests identify the very build."""

    name: str
    sha256: str = UNKNOWN
    manifest_sha256: str = UNKNOWN
    build_id: str = UNKNOWN


@dataclass(frozen=True)
class Before:
    """What the state holds of the stack and the pool.

    plan: stored plan, None for a new stack. booted: names of the servers that are booted under it.
    held: node by resource path. addresses: address by network and path. foreign_addresses: of other stacks.
    unavailable: reason by node name. aside: the same of nodes that were set aside. A stored plan is carried on with
    them; a new one leaves them out, unless its server has booted there.
    """

    plan: Mapping[str, Any] | None = None
    booted: frozenset[str] = frozenset()
    held: Mapping[str, str] = field(default_factory=dict)
    addresses: Mapping[tuple[str, str], str] = field(default_factory=dict)
    foreign_addresses: frozenset[tuple[str, str]] = frozenset()
    unavailable: Mapping[str, str] = field(default_factory=dict)
    aside: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Wanted:
    """What the user wrote.

    template: key of the top template in files. environments: keys, later ones win. hardware: registered nodes.
    facts: what ramdisks reported, by node. images: by name, None before any was built. key: of the state directory,
    None before there is one.
    """

    stack: str
    template: str
    files: Mapping[str, str]
    environments: Sequence[str]
    parameters: Mapping[str, Any]
    generate_hidden: bool
    flavors: Mapping[str, Flavor]
    networks: Mapping[str, Network]
    hardware: Mapping[str, Mapping[str, Any]]
    facts: Mapping[str, Mapping[str, Any]]
    images: Mapping[str, ImageRef] | None
    key: bytes | None


@dataclass(frozen=True)
class Planned:
    """A plan and what belongs to it.

    is_new: it must be stored. to_do: names of servers that are not booted under it. documents: by digest.
    given: values of given secrets by stand-in. to_make: length and character class of generated ones.
    addresses: (network, address, path). The plan's hash is `UNKNOWN` while anything in the plan is.
    """

    plan: Mapping[str, Any]
    is_new: bool
    to_do: tuple[str, ...]
    documents: Mapping[str, Any]
    given: Mapping[str, str]
    to_make: Mapping[str, tuple[int, str]]
    addresses: tuple[tuple[str, str, str], ...]


def canonical(value: Any) -> str:
    """JSON in the one form that digests are made of."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True)


def digest(value: Any) -> str:
    """sha256 of a value's canonical form, in hex."""
    return hashlib.sha256(canonical(value).encode()).hexdigest()


def plan_hash(plan: Mapping[str, Any]) -> str:
    """The hash that consent, resume and leases are bound to: of the plan without `hash` and what disks hold."""
    servers = {
        path: {**server, "disk": {key: part for key, part in server["disk"].items() if key != "holds"}}
        for path, server in plan["servers"].items()
    }
    return digest({**{key: part for key, part in plan.items() if key != "hash"}, "servers": servers})


def make_plan(wanted: Wanted, before: Before) -> Planned:
    """Evaluate, reserve, allocate and compare with the stored plan. Pure; PlanError and HeatError say what is wrong."""
    allocator = Allocator(wanted.networks, before.addresses, before.foreign_addresses)
    names = {"glance.image": wanted.images, "nova.flavor": wanted.flavors, "neutron.network": wanted.networks}
    driver = drivers.BareMetal(allocator, wanted.key, wanted.generate_hidden, names)
    stack = evaluate(
        wanted.template, wanted.files, wanted.environments, wanted.parameters, driver, wanted.stack, wanted.stack
    )
    servers = _servers(stack, wanted, driver)
    requests = [
        Request(one.path, drivers.server_name(one), wanted.flavors[one.properties["flavor"]], one.group)
        for one in servers
    ]
    for one in stack.resources.values():
        if one.type == drivers.RANDOM:
            driver.random(one)
    stored, deployed = before.plan, _deployed(before)

    def with_nodes(held: Mapping[str, str]) -> tuple[dict[str, Any], _Documents]:
        nodes = reserve(requests, wanted.hardware, held, before.unavailable, before.aside)
        return _body(servers, nodes, stack, wanted, deployed, driver)

    body, documents = with_nodes(before.held)
    is_new = stored is None or _state_of(stored) != _state_of(body)
    working = {path: node for path, node in before.held.items() if node not in before.aside or path in deployed}
    if is_new and working != before.held:
        body, documents = with_nodes(working)
    entries: dict[str, dict[str, Any]] = body["servers"]
    plan: dict[str, Any]
    if stored is not None and not is_new:
        plan = {**stored, "servers": {path: _with_holds(stored["servers"][path], entries[path]) for path in entries}}
    else:
        plan = {**body, "serial": (int(stored["serial"]) if stored else 0) + 1}
        known = _has_names(plan) and (wanted.key is not None or is_known(stack.outputs))
        plan["hash"] = plan_hash(plan) if known else UNKNOWN
    to_do = tuple(sorted(entry["name"] for entry in entries.values() if entry["name"] not in before.booted))
    addresses = tuple(allocator.allocated())
    return Planned(plan, is_new, to_do, documents.by_name, driver.given, driver.to_make, addresses)


def _body(
    servers: Sequence[Resource],
    nodes: Mapping[str, str],
    stack: Stack,
    wanted: Wanted,
    deployed: Mapping[str, Mapping[str, Any]],
    driver: drivers.BareMetal,
) -> tuple[dict[str, Any], _Documents]:
    """A plan with these nodes, by path of the server, without serial and hash; and its documents."""
    _check_deployed(
        deployed,
        {one.path: (drivers.server_name(one), one.properties["image"], driver.server_networks(one)) for one in servers},
        nodes,
    )
    documents = _Documents(wanted.key is not None)
    entries = {
        one.path: _entry(one, nodes[one.path], stack, wanted, deployed.get(one.path), driver, documents)
        for one in servers
    }
    ports = {
        one.path: {"network": drivers.port_network(one), "address": driver.port_address(one)}
        for one in stack.resources.values()
        if one.type == drivers.PORT
    }
    body = {
        "schema": SCHEMA,
        "stack": wanted.stack,
        # Environments hold passwords, which a digest without a key would give away. What they set shows elsewhere.
        "template_sha256": digest({key: wanted.files[key] for key in wanted.files if key not in wanted.environments}),
        "servers": entries,
        "ports": ports,
        "networks": {name: network.as_plan() for name, network in wanted.networks.items()},
        "waves": [sorted(entries)],
        "outputs": stack.outputs,
        "hidden": list(stack.hidden),
    }
    return body, documents


class _Documents:
    """Documents by the name that their content gives them."""

    def __init__(self, has_key: bool) -> None:
        self._has_key = has_key
        self.by_name: dict[str, Any] = {}
        self._named: dict[int, tuple[Any, str]] = {}

    def keep(self, document: Any) -> str:
        """The name of a document. One that many servers share is digested once."""
        known = self._named.get(id(document))
        if known is None:
            known_now = self._has_key or is_known(document)
            name = "sha256:" + digest(document) if known_now else f"{UNKNOWN} ({len(self._named) + 1})"
            # The document is kept beside its name: an id belongs to it only as long as it lives.
            known = self._named[id(document)] = (document, name)
            self.by_name[name] = document
        return known[1]


def _has_names(plan: Mapping[str, Any]) -> bool:
    """The builds and documents of every server are known."""
    fields = ("image_sha256", "manifest_sha256", "build_id", "metadata")
    names = [server[key] for server in plan["servers"].values() for key in fields]
    names += [name for server in plan["servers"].values() for _title, name in server["documents"]]
    return not any(name.startswith(UNKNOWN) for name in names)


def _servers(stack: Stack, wanted: Wanted, driver: drivers.BareMetal) -> list[Resource]:
    """The servers, once every resource was checked and has its addresses; HeatError lists every fault."""
    faults = []
    servers = []
    names: dict[str, str] = {}
    for one in stack.resources.values():
        if one.type not in (drivers.SERVER, drivers.PORT, drivers.RANDOM):
            continue
        try:
            drivers.check(one)
            if one.type == drivers.SERVER:
                servers.append(one)
                _check_server(one, wanted, names)
                driver.server_networks(one)
            elif one.type == drivers.PORT:
                driver.port_address(one)
        except Fault as fault:
            faults.append(f"{one.where}: {one.path}: {fault}")
    if faults:
        raise HeatError(faults)
    return servers


def _check_server(one: Resource, wanted: Wanted, names: dict[str, str]) -> None:
    name = drivers.server_name(one)
    if not HOST_NAME.fullmatch(name):
        raise Fault(f"server name {name!r} is no host name: letters, digits and dashes, at most 63, perhaps with dots")
    if name in names:
        raise Fault(f"server name {name!r} is also that of {names[name]}")
    names[name] = one.path
    drivers.must_exist("flavor", one.properties["flavor"], wanted.flavors)
    drivers.must_exist("image", one.properties["image"], wanted.images)


def _deployed(before: Before) -> dict[str, Mapping[str, Any]]:
    """The servers of the stored plan that are booted under it, by path."""
    servers: Mapping[str, Mapping[str, Any]] = before.plan["servers"] if before.plan else {}
    return {path: server for path, server in servers.items() if server["name"] in before.booted}


def _check_deployed(
    deployed: Mapping[str, Mapping[str, Any]],
    asked: Mapping[str, tuple[str, str, Mapping[str, list[str]]]],
    nodes: Mapping[str, str],
) -> None:
    """PlanError when a deployed server would be given up, written again or lost. asked: name, image, addresses."""
    for path, server in sorted(deployed.items()):
        if path not in asked:
            problem = f"is deployed on node {server['node']}; the template now has no server {path}"
        elif (*asked[path][:2], nodes[path]) != (server["name"], server["image"], server["node"]):
            name, image = asked[path][:2]
            problem = (
                f"is deployed with image {server['image']} on node {server['node']}; the template now asks for"
                f" {name} with image {image} on {nodes[path]}"
            )
        elif asked[path][2] != server["networks"]:
            problem = (
                f"is deployed with {_addresses(server['networks'])}; the template and networks now ask for"
                f" {_addresses(asked[path][2])}"
            )
        else:
            continue
        raise PlanError(
            problem,
            node=server["name"],
            operation="plan",
            next_step="Changing or removing a deployed server is not supported yet; take the change back.",
        )


def _addresses(networks: Mapping[str, Sequence[str]]) -> str:
    return ", ".join(f"{', '.join(addresses)} in {network}" for network, addresses in sorted(networks.items()))


def _entry(
    one: Resource,
    node: str,
    stack: Stack,
    wanted: Wanted,
    earlier: Mapping[str, Any] | None,
    driver: drivers.BareMetal,
    documents: _Documents,
) -> dict[str, Any]:
    hardware = wanted.hardware[node]
    image = ImageRef(one.properties["image"])
    if earlier is not None:
        # A deployed server keeps the build that is on its disk, whatever the store's newest is.
        image = ImageRef(image.name, earlier["image_sha256"], earlier["manifest_sha256"], earlier["build_id"])
    elif wanted.images is not None:
        image = wanted.images[image.name]
    metadata = {**(one.properties.get("metadata") or {}), **one.metadata}
    listed = []
    for title, document in stack.documents.get(one.path, ()):
        listed.append([title, documents.keep(document)])
    return {
        "name": drivers.server_name(one),
        "group": one.group,
        "image": image.name,
        "image_sha256": image.sha256,
        "manifest_sha256": image.manifest_sha256,
        "build_id": image.build_id,
        "flavor": one.properties["flavor"],
        "node": node,
        "mac": hardware["macs"][0],
        "disk": {
            "hints": dict(hardware.get("root_device") or {}),
            "holds": disk_holds(hardware.get("root_device") or {}, wanted.facts.get(node) or {}),
        },
        "action": "create" if earlier is None else "keep",
        "wave": 1,
        "networks": driver.server_networks(one),
        "metadata": documents.keep(metadata),
        "documents": listed,
    }


def disk_holds(hints: Mapping[str, Any], facts: Mapping[str, Any]) -> str | None:
    """What the disk that the hints name held when the node's ramdisk last looked; None when it never did."""
    disks = facts.get("disks")
    if not disks:
        return None
    fitting = [disk for disk in disks if all(_fits(disk, key, value) for key, value in hints.items())]
    if len(fitting) != 1:
        return f"{len(fitting)} of {len(disks)} disks match"
    return str(fitting[0].get("holds") or "nothing")


def _fits(disk: Mapping[str, Any], key: str, value: Any) -> bool:
    """A reported disk fits a hint, by the deploy ramdisk's own rules."""
    seen, wanted = str(disk.get(key) or ""), str(value).strip()
    if key == "name":
        return seen == wanted.rpartition("/")[2]
    if key == "wwn":
        return _PREFIX.sub("", seen.lower()) == _PREFIX.sub("", wanted.lower())
    return seen == wanted


_PREFIX = re.compile(r"^(?:0x|naa\.|eui\.|wwn-)+")


def _state_of(plan: Mapping[str, Any]) -> str:
    """The wanted state in a plan: what makes a stored plan the same as a new one, however the template is worded."""
    servers = {
        path: {key: part for key, part in server.items() if key not in ("action", "wave", "disk")}
        for path, server in plan["servers"].items()
    }
    disks = {path: server["disk"]["hints"] for path, server in plan["servers"].items()}
    rest = ("ports", "networks", "outputs", "hidden")
    return canonical({"servers": servers, "disks": disks, **{key: plan[key] for key in rest}})


def _with_holds(stored: Mapping[str, Any], entry: Mapping[str, Any]) -> dict[str, Any]:
    return {**stored, "disk": {**stored["disk"], "holds": entry["disk"]["holds"]}}
