# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What Keystone shall hold, and what it holds. Pure values."""

from __future__ import annotations

import dataclasses
import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from .errors import CloudError

INTERFACES = ("public", "internal", "admin")
DOMAIN = "default"


def host_in_url(address: str) -> str:
    """An address as a URL takes it: IPv6 literals in brackets."""
    try:
        return f"[{address}]" if ipaddress.ip_address(address).version == 6 else address
    except ValueError:
        return address


@dataclass(frozen=True)
class Service:
    """A service of the catalogue.

    type: OpenStack's word for what it does. port: TCP. path: behind host and port; admin_path: where it differs.
    user: whether it has a user of its own name in the service project, with password.
    """

    name: str
    type: str
    port: int
    path: str = ""
    admin_path: str = ""
    description: str = ""
    user: bool = True
    password: str = field(default="", repr=False)

    def with_fields(self, fields: Mapping[str, Any]) -> Service:
        """The same with other values; CloudError names what is malformed."""
        unknown = set(fields) - {"type", "port", "path", "admin_path", "description", "user", "password"}
        if unknown:
            raise CloudError(
                f"service {self.name} has unknown fields {', '.join(sorted(unknown))}", operation="read the services"
            )
        changed: Service = dataclasses.replace(self, **fields)
        if not changed.type or isinstance(changed.port, bool) or not 0 < int(changed.port) < 65536:
            raise CloudError(f"service {self.name} needs a type and a port", operation="read the services")
        if changed.user and not changed.password:
            raise CloudError(
                f"service {self.name} has no password for its user",
                operation="read the services",
                next_step="Give it one in the template's output Services, or set user to false.",
            )
        return dataclasses.replace(changed, port=int(changed.port))

    def url(self, interface: str, scheme: str, host: str) -> str:
        """URL of one endpoint."""
        path = self.admin_path if interface == "admin" and self.admin_path else self.path
        return f"{scheme}://{host_in_url(host)}:{self.port}{path}"


@dataclass(frozen=True)
class User:
    """A user of the default domain, its project and the role that it has there. domain_role: in the domain too."""

    name: str
    password: str = field(repr=False)
    project: str
    role: str
    domain_role: bool = False


@dataclass(frozen=True)
class Endpoint:
    """Where a service of a type is found in a region."""

    service_type: str
    interface: str
    region: str
    url: str


@dataclass(frozen=True)
class Wanted:
    """All that Keystone shall hold; what else it holds is not touched."""

    projects: tuple[str, ...]
    roles: tuple[str, ...]
    users: tuple[User, ...]
    services: tuple[Service, ...]
    endpoints: tuple[Endpoint, ...]


@dataclass(frozen=True)
class Actual:
    """What Keystone answered: lists as the API has them, and grants as (user, role, "project" or "domain", target)."""

    projects: tuple[Mapping[str, Any], ...]
    roles: tuple[Mapping[str, Any], ...]
    users: tuple[Mapping[str, Any], ...]
    services: tuple[Mapping[str, Any], ...]
    endpoints: tuple[Mapping[str, Any], ...]
    grants: frozenset[tuple[str, str, str, str]]


def by_name(entries: tuple[Mapping[str, Any], ...], name: str) -> Mapping[str, Any] | None:
    """The entry of that name; Keystone's names are unique whatever their case."""
    for entry in entries:
        if str(entry["name"]).lower() == name.lower():
            return entry
    return None


def service_of_type(services: tuple[Mapping[str, Any], ...], kind: str) -> Mapping[str, Any] | None:
    """The one service of a type; two are a CloudError, because clients take either."""
    found = [service for service in services if service["type"] == kind]
    if len(found) > 1:
        names = ", ".join(f"{service.get('name') or '-'} ({service['id']})" for service in found)
        raise CloudError(
            f"the catalogue has {len(found)} services of type {kind}: {names}",
            operation="read the catalogue",
            next_step="Delete the wrong one with: openstack service delete ID.",
        )
    return found[0] if found else None
