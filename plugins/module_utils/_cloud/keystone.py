# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Keystone's identity API, with as few round trips as there can be: one list of each kind, one call a change."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from .model import Actual
from .plan import Step, ids
from .session import Cloud


def read(cloud: Cloud, url: str) -> Actual:
    """What Keystone holds in the default domain. url: its public one, with /v3."""

    def listed(path: str, key: str) -> tuple[dict[str, Any], ...]:
        return tuple(cloud.call("GET", f"{url}{path}").json()[key])

    grants = set()
    for entry in listed("/role_assignments", "role_assignments"):
        scope = entry.get("scope", {})
        for kind in ("project", "domain"):
            if kind in scope and "user" in entry and "OS-INHERIT:inherited_to" not in scope:
                grants.add((entry["user"]["id"], entry["role"]["id"], kind, scope[kind]["id"]))
    return Actual(
        projects=listed("/projects?domain_id=default", "projects"),
        roles=listed("/roles", "roles"),
        users=listed("/users?domain_id=default", "users"),
        services=listed("/services", "services"),
        endpoints=listed("/endpoints", "endpoints"),
        grants=frozenset(grants),
    )


def apply(cloud: Cloud, url: str, steps: Iterable[Step], actual: Actual) -> dict[tuple[str, ...], str]:
    """Do the steps in their order; return the id of every object by the key that steps use."""
    known = ids(actual)
    for step in steps:
        target = {name: known[key] for name, key in step.refers}
        if step.kind == "grant":
            scope = "project" if "project" in target else "domain"
            cloud.call("PUT", f"{url}/{scope}s/{target[scope]}/users/{target['user']}/roles/{target['role']}")
        elif step.kind == "create":
            answer = cloud.call("POST", f"{url}/{step.what}s", {step.what: {**step.body, **target}}).json()
            known[step.key] = str(answer[step.what]["id"])
        elif step.kind == "update":
            cloud.call("PATCH", f"{url}/{step.what}s/{step.id}", {step.what: step.body})
        else:
            cloud.call("DELETE", f"{url}/{step.what}s/{step.id}", allow=(404,))
    return known


def set_password(cloud: Cloud, url: str, user_id: str, password: str) -> None:
    """Set the password of an existing user, by the power of an administrator."""
    cloud.call("PATCH", f"{url}/users/{user_id}", {"user": {"password": password}})
