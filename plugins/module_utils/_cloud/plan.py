# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From what Keystone holds and shall hold to what is done. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from .model import DOMAIN, Actual, Endpoint, Service, User, Wanted, by_name, service_of_type


@dataclass(frozen=True)
class Step:
    """One change.

    kind: ``create`` or ``update`` or ``delete`` or ``grant``. what: ``project``, ``role``, ``user``, ``service``,
    ``endpoint``. key: how later steps name it. before and after: one line each for the diff. body: sent to the API,
    never shown, because a user's holds a password. refers: fields of body that take the id of an earlier object.
    """

    kind: str
    what: str
    key: tuple[str, ...]
    before: str
    after: str
    id: str = ""
    body: dict[str, Any] = field(default_factory=dict, repr=False)
    refers: tuple[tuple[str, tuple[str, ...]], ...] = ()


def ids(actual: Actual) -> dict[tuple[str, ...], str]:
    """Id of each object that is there, by the key that steps use."""
    found: dict[tuple[str, ...], str] = {("domain", DOMAIN): DOMAIN}
    for what, entries in (("project", actual.projects), ("role", actual.roles), ("user", actual.users)):
        found.update({(what, str(entry["name"]).lower()): str(entry["id"]) for entry in entries})
    found.update({("service", str(entry["type"])): str(entry["id"]) for entry in actual.services})
    return found


def plan(wanted: Wanted, actual: Actual) -> list[Step]:
    """The changes that are needed, in the order in which they can be done."""
    steps = [*_named(wanted, actual), *_users(wanted, actual)]
    for service in wanted.services:
        steps += _service(service, actual)
    for endpoint in wanted.endpoints:
        steps += _endpoint(endpoint, actual)
    return steps


def _named(wanted: Wanted, actual: Actual) -> Iterator[Step]:
    for what, names, entries in (("project", wanted.projects, actual.projects), ("role", wanted.roles, actual.roles)):
        for name in names:
            entry = by_name(entries, name)
            body: dict[str, Any] = {"name": name}
            if what == "project":
                body.update(domain_id=DOMAIN, enabled=True)
            if entry is None:
                yield Step("create", what, (what, name.lower()), "", f"{what} {name}", body=body)
            elif entry.get("enabled") is False:
                yield _enable(what, name, str(entry["id"]))


def _enable(what: str, name: str, number: str) -> Step:
    return Step(
        "update", what, (what, name.lower()), f"{what} {name}: disabled", f"{what} {name}: enabled", number,
        {"enabled": True},
    )  # fmt: skip


def _users(wanted: Wanted, actual: Actual) -> Iterator[Step]:
    known = ids(actual)
    for user in wanted.users:
        entry = by_name(actual.users, user.name)
        key = ("user", user.name.lower())
        if entry is None:
            body = {"name": user.name, "password": user.password, "domain_id": DOMAIN, "enabled": True}
            yield Step("create", "user", key, "", f"user {user.name}", body=body)
        elif entry.get("enabled") is False:
            yield _enable("user", user.name, str(entry["id"]))
        for scope, target in _scopes(user):
            role = ("role", user.role.lower())
            grant = (known.get(key, ""), known.get(role, ""), scope, known.get((scope, target.lower()), ""))
            if grant not in actual.grants:
                yield Step(
                    "grant", "role", key, "", f"role {user.role} of user {user.name} in {scope} {target}",
                    refers=(("user", key), ("role", role), (scope, (scope, target.lower()))),
                )  # fmt: skip


def _scopes(user: User) -> tuple[tuple[str, str], ...]:
    project = (("project", user.project),)
    return (*project, ("domain", DOMAIN)) if user.domain_role else project


def _service(service: Service, actual: Actual) -> Iterator[Step]:
    entry = service_of_type(actual.services, service.type)
    key = ("service", service.type)
    if entry is None:
        body = {
            "name": service.name,
            "type": service.type,
            "description": service.description or f"OpenStack {service.type}",
            "enabled": True,
        }
        yield Step("create", "service", key, "", f"service {service.name} ({service.type})", body=body)
        return
    # Keystone's own bootstrap gives no description: a name or a switch that differs is drift, a description is not.
    before = f"service {entry.get('name')} ({service.type})"
    changes: dict[str, Any] = {}
    if entry.get("name") != service.name:
        changes["name"] = service.name
    if entry.get("enabled") is False:
        before += ": disabled"
        changes["enabled"] = True
    if changes:
        yield Step(
            "update", "service", key, before, f"service {service.name} ({service.type})", str(entry["id"]), changes
        )


def _endpoint(endpoint: Endpoint, actual: Actual) -> Iterator[Step]:
    service = service_of_type(actual.services, endpoint.service_type)
    name = f"endpoint {endpoint.service_type} {endpoint.interface} in {endpoint.region}"
    found = [
        entry
        for entry in actual.endpoints
        if service is not None
        and entry["service_id"] == service["id"]
        and entry["interface"] == endpoint.interface
        and (entry.get("region_id") or entry.get("region")) == endpoint.region
    ]
    key = ("endpoint", endpoint.service_type, endpoint.interface, endpoint.region)
    if not found:
        body = {
            "interface": endpoint.interface, "region_id": endpoint.region, "url": endpoint.url, "enabled": True,
        }  # fmt: skip
        refers = (("service_id", ("service", endpoint.service_type)),)
        yield Step("create", "endpoint", key, "", f"{name}: {endpoint.url}", body=body, refers=refers)
        return
    # The right one stays; where none is right the first is corrected. Others of the same place would mislead clients.
    found.sort(key=lambda entry: (entry["url"] != endpoint.url, str(entry["id"])))
    kept = found[0]
    if kept["url"] != endpoint.url or kept.get("enabled") is False:
        state = ": disabled" if kept.get("enabled") is False else ""
        yield Step(
            "update", "endpoint", key, f"{name}: {kept['url']}{state}", f"{name}: {endpoint.url}", str(kept["id"]),
            {"url": endpoint.url, "enabled": True},
        )  # fmt: skip
    for other in found[1:]:
        yield Step("delete", "endpoint", key, f"{name}: {other['url']} (second)", "", str(other["id"]))
