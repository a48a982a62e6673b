# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Brings Keystone to hold what a Workload cloud needs: projects, roles, users, services, endpoints."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Callable, Protocol

from . import keystone
from .errors import CloudError
from .model import INTERFACES, Actual, Endpoint, Service, User, Wanted, host_in_url
from .plan import Step, plan
from .session import Cloud

IDENTITY = Service("keystone", "identity", 5000, path="/v3", user=False, description="OpenStack Identity")


class Login(Cloud, Protocol):
    """A session that may not be logged in yet."""

    def wait(self, timeout: float) -> None: ...

    def login(self) -> bool: ...


# user, password, project -> a session that is not logged in yet.
Open = Callable[[str, str, str], Login]


@dataclass(frozen=True)
class Request:
    """What the cloud shall have.

    host: address of the services. roles: names of roles, the administrator's first.
    timeout: seconds for Keystone to answer.
    """

    scheme: str
    host: str
    region: str
    admin: User
    service_project: str
    roles: tuple[str, ...]
    services: tuple[Service, ...]
    timeout: float
    check: bool

    @property
    def auth_url(self) -> str:
        """Keystone's URL, with /v3."""
        return f"{self.scheme}://{host_in_url(self.host)}:{IDENTITY.port}{IDENTITY.path}"


def wanted(request: Request) -> Wanted:
    """What Keystone shall hold."""
    services = (IDENTITY, *(service for service in request.services if service.type != IDENTITY.type))
    users = [User(service.name, service.password, request.service_project, request.roles[0])
             for service in services if service.user]  # fmt: skip
    return Wanted(
        projects=(request.admin.project, request.service_project),
        roles=request.roles,
        users=(request.admin, *users),
        services=services,
        endpoints=tuple(
            Endpoint(service.type, interface, request.region, service.url(interface, request.scheme, request.host))
            for service in services
            for interface in INTERFACES
        ),
    )


def whole(request: Request) -> list[Step]:
    """All the steps that a cloud without anything needs."""
    return plan(wanted(request), Actual((), (), (), (), (), frozenset()))


def set_up(request: Request, open_session: Open) -> list[Step]:
    """Do what is missing or differs and prove each user by a token; return what was, or would be, done."""
    aim = wanted(request)
    admin = open_session(request.admin.name, request.admin.password, request.admin.project)
    admin.wait(request.timeout)
    if not admin.login():
        raise CloudError(
            f"Keystone refuses the password of {request.admin.name}",
            operation="log in",
            next_step="Run the playbook tripleo.cloud.setup: it brings the password to the controller.",
        )
    actual = keystone.read(admin, request.auth_url)
    steps = plan(aim, actual)
    known = {} if request.check else keystone.apply(admin, request.auth_url, steps, actual)
    # In check mode a user that lacks anything could not log in yet.
    to_come = {step.key for step in steps if request.check and step.what in ("user", "project", "role")}
    for user in aim.users[1:]:
        key = ("user", user.name.lower())
        if key in to_come or ("project", user.project.lower()) in to_come:
            continue
        if open_session(user.name, user.password, user.project).login():
            continue
        steps.append(
            Step("update", "user", key, f"user {user.name}: another password", f"user {user.name}: its password")
        )
        if request.check:
            continue
        keystone.set_password(admin, request.auth_url, known[key], user.password)
        if not open_session(user.name, user.password, user.project).login():
            raise CloudError(
                f"Keystone refuses the password of {user.name} right after it was set", operation="prove the users"
            )
    return steps
