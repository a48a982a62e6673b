# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Software configuration: which documents each server gets, with get_input put in."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from .errors import HeatError
from .model import Resource

CONFIGS = frozenset({"OS::Heat::StructuredConfig", "OS::Heat::SoftwareConfig"})
SINGLE = frozenset({"OS::Heat::StructuredDeployment", "OS::Heat::SoftwareDeployment"})
GROUPS = frozenset({"OS::Heat::StructuredDeploymentGroup", "OS::Heat::SoftwareDeploymentGroup"})
TYPES = CONFIGS | SINGLE | GROUPS
SERVERS = frozenset({"OS::Nova::Server", "OS::TripleO::Server", "OS::Heat::DeployedServer"})
_FOR_DOCUMENTS = ("", "Heat::Ungrouped", "os-apply-config")


def gather(resources: Iterable[Resource]) -> dict[str, tuple[tuple[str, Any], ...]]:
    """Documents of each server by its path, sorted by name; HeatError lists deployments that cannot be."""
    known = {resource.path: resource for resource in resources}
    found: dict[str, list[tuple[str, Any]]] = {path: [] for path, one in known.items() if one.type in SERVERS}
    faults = []
    for resource in known.values():
        if resource.type not in SINGLE | GROUPS:
            continue
        config = known.get(str(resource.properties.get("config")))
        if config is None or config.type not in CONFIGS:
            faults.append(f"{resource.where}: {resource.path}: config is no StructuredConfig or SoftwareConfig")
            continue
        problem = _shape(resource, config)
        if problem:
            faults.append(f"{resource.where}: {resource.path}: {problem}")
            continue
        if str(config.properties.get("group") or "") not in _FOR_DOCUMENTS:
            faults.append(f"{config.where}: {config.path}: group {config.properties['group']!r} is not supported yet")
            continue
        name = str(resource.properties.get("name") or config.name)
        shared: Any = None
        for server in _servers(resource):
            if server not in found:
                faults.append(f"{resource.where}: {resource.path}: {server!r} is no server of this stack")
                continue
            document = shared
            if document is None:
                document, names_the_server = _document(resource, config, server, faults)
                # One object for all servers: the list of all hosts on thousands of them is one list.
                shared = None if names_the_server else document
            found[server].append((name, document))
    if faults:
        raise HeatError(faults)
    return {path: tuple(sorted(documents, key=lambda pair: pair[0])) for path, documents in found.items()}


def _shape(resource: Resource, config: Resource) -> str:
    """What is wrong with the form of a deployment's properties, empty when nothing is."""
    inputs = config.properties.get("inputs") or []
    if not isinstance(inputs, list) or any(not isinstance(one, Mapping) or "name" not in one for one in inputs):
        return "the config's inputs must be a list of maps with a name"
    if not isinstance(resource.properties.get("input_values") or {}, Mapping):
        return "input_values must be a map"
    servers = resource.properties.get("servers") or {}
    if resource.type in GROUPS and not isinstance(servers, (Mapping, list)):
        return "servers must be a map or a list"
    return ""


def _servers(resource: Resource) -> list[str]:
    if resource.type in SINGLE:
        return [str(resource.properties.get("server"))]
    servers = resource.properties.get("servers") or {}
    return [str(server) for server in (servers.values() if isinstance(servers, Mapping) else servers)]


def _document(resource: Resource, config: Resource, server: str, faults: list[str]) -> tuple[Any, bool]:
    """The document for a server, and whether it would be another one for another server."""
    inputs = {str(one["name"]): one.get("default") for one in config.properties.get("inputs") or []}
    inputs.update(resource.properties.get("input_values") or {})
    is_given = "deploy_server_id" in inputs
    inputs.setdefault("deploy_server_id", server)
    inputs.setdefault("deploy_action", "CREATE")
    inputs.setdefault("deploy_resource_name", resource.name)
    key = str(resource.properties.get("input_key") or "get_input")
    used: set[str] = set()
    document = _put_in(config.properties.get("config") or {}, key, inputs, used)
    missing = used - set(inputs)
    if missing and resource.properties.get("input_values_validate") == "STRICT":
        faults.append(f"{resource.where}: {resource.path}: input {', '.join(sorted(missing))} has no value")
    return document, not is_given and "deploy_server_id" in used


def _put_in(value: Any, key: str, inputs: Mapping[str, Any], used: set[str]) -> Any:
    if isinstance(value, Mapping):
        if len(value) == 1 and isinstance(value.get(key), str):
            used.add(value[key])
            return inputs.get(value[key])
        return {name: _put_in(part, key, inputs, used) for name, part in value.items()}
    if isinstance(value, list):
        return [_put_in(part, key, inputs, used) for part in value]
    return value
