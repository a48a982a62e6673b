#!/usr/bin/python
# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: cloud_identity
short_description: Give a Workload cloud its projects, roles, users, services and endpoints
version_added: 0.1.0
description:
  - Brings Keystone to hold what is given, creates what is missing, corrects what differs, and leaves everything else
    alone.
  - A user's password is set when the user is made. Afterwards each user is proven by a token, and only a user whose
    password Keystone refuses gets it set again.
  - Writes the operator's C(clouds.yaml) into the stack's secrets on the Deployment cloud.
  - One token and one list of each kind of object are all that an unchanged cloud costs, where a module for each object
    would ask Keystone for a token every time.
  - The stack's outputs say what the cloud is. V(ControlVip) is the address of its services, V(AdminPassword) the
    administrator's password, V(Services) maps the name of each deployed service to a dictionary with the C(password) of
    its user. V(AdminUser), V(AdminProject) and V(Region) may be there too.
  - Passwords are read from the stack's secrets on the Deployment cloud. They are in no option and in no result.
author: The tripleo.cloud authors (@tripleo)
extends_documentation_fragment:
  - tripleo.cloud.attributes
  - tripleo.cloud.batch
  - tripleo.cloud.batch.planned
options:
  stack:
    required: true
  address:
    description: Address that the services are reached at. The default is the stack's output V(ControlVip).
    type: str
  scheme:
    description: How the services are spoken to.
    type: str
    choices: [http, https]
    default: http
  ca_file:
    description: File on the Deployment cloud with the authorities that certificates are checked against.
    type: path
  region:
    description: Region of the endpoints. The default is the stack's output V(Region), else V(RegionOne).
    type: str
  admin_user:
    description: Name of the administrator. The default is the stack's output V(AdminUser), else V(admin).
    type: str
  admin_project:
    description: Name of the administrator's project. The default is the stack's output V(AdminProject), else V(admin).
    type: str
  service_project:
    description: Name of the project of the services' users.
    type: str
    default: service
  admin_role:
    description: Name of the role of administrators and of the services' users.
    type: str
    default: admin
  member_role:
    description: Name of the role of ordinary members of a project.
    type: str
    default: member
  services:
    description:
      - More about services, by their names. It is laid over the stack's output V(Services) field by field.
      - Fields are C(type), C(port), C(path), C(admin_path), C(description), and C(user=false) for a service without a
        user of its own. The services of OpenStack have their default ports.
      - Keystone itself is always there and need not be given.
      - A service's C(password) may be given too; the values travel in a private file, and are shown nowhere.
    type: dict
    default: {}
  timeout:
    description: Seconds to wait for Keystone to answer.
    type: int
    default: 600
"""

EXAMPLES = r"""
- name: Register what the stack runs
  tripleo.cloud.cloud_identity:
    stack: workload-cloud
    services:
      glance:
        port: 9393
"""

RETURN = r"""
auth_url:
  description: Public URL of Keystone.
  returned: always, but before the cloud is there in check mode
  type: str
  sample: http://192.0.2.20:5000/v3
clouds_file:
  description: The C(clouds.yaml) on the Deployment cloud. Its one cloud is called like the stack.
  returned: always, but before the cloud is there in check mode
  type: str
  sample: /var/lib/tripleo-cloud/secrets/workload-cloud/clouds.yaml
steps:
  description: What was, or in check mode would be, done.
  returned: always
  type: list
  elements: str
  sample: ["create: service glance (image)"]
"""

import os
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.tripleo.cloud.plugins.module_utils._cloud.clouds import clouds_yaml, write_secret
from ansible_collections.tripleo.cloud.plugins.module_utils._cloud.errors import CloudError
from ansible_collections.tripleo.cloud.plugins.module_utils._cloud.model import User
from ansible_collections.tripleo.cloud.plugins.module_utils._cloud.plan import Step
from ansible_collections.tripleo.cloud.plugins.module_utils._cloud.services import services
from ansible_collections.tripleo.cloud.plugins.module_utils._cloud.session import CloudSession
from ansible_collections.tripleo.cloud.plugins.module_utils._cloud.setup import Request, set_up, whole
from ansible_collections.tripleo.cloud.plugins.module_utils._module import BATCH_SPEC, PLANNED_SPEC, load_private, run
from ansible_collections.tripleo.cloud.plugins.module_utils._provision.cloud import need_configured, output, outputs
from ansible_collections.tripleo.cloud.plugins.module_utils._provision.errors import ProvisionError
from ansible_collections.tripleo.cloud.plugins.module_utils._run import lease
from ansible_collections.tripleo.cloud.plugins.module_utils._state.errors import StateError
from ansible_collections.tripleo.cloud.plugins.module_utils._state.store import State

CHECK_TIMEOUT = 5.0


def identity(given: dict[str, Any], check: bool) -> dict[str, Any]:
    """The module's work; its result."""
    state_dir, stack = given["state_dir"], given["stack"]
    planned = given["planned"].get("plan") if check else None
    with State.open(state_dir, read_only=True) as state:
        plan = planned or state.plan(stack)
        unready = ""
        try:
            need_configured(state, stack)
        except ProvisionError as error:
            if not check:
                raise
            unready = error.message
    said = outputs(plan, state_dir, stack, lenient=bool(planned))
    request = Request(
        scheme=given["scheme"],
        host=given["address"] or str(output(said, "ControlVip")),
        region=given["region"] or str(said.get("Region") or "RegionOne"),
        admin=User(
            name=given["admin_user"] or str(said.get("AdminUser") or "admin"),
            password=str(output(said, "AdminPassword")),
            project=given["admin_project"] or str(said.get("AdminProject") or "admin"),
            role=given["admin_role"],
            domain_role=True,
        ),
        service_project=given["service_project"],
        roles=(given["admin_role"], given["member_role"]),
        services=services(said.get("Services") or {}, given["services"]),
        timeout=CHECK_TIMEOUT if check else given["timeout"],
        check=check,
    )

    text = clouds_yaml(stack, request.auth_url, request.admin, request.region, given["ca_file"] or "")
    path = os.path.join(state_dir, "secrets", stack, "clouds.yaml")
    with lease.hold(state_dir, stack, plan["hash"], given["run_id"], check=check) as alive:

        def open_session(user: str, secret: str, project: str) -> CloudSession:
            return CloudSession(request.auth_url, user, secret, project, given["ca_file"] or True, alive)

        try:
            if unready:
                raise CloudError(unready)
            steps = set_up(request, open_session)
        except CloudError as error:
            if not check:
                raise
            steps = [later(f"what of this Keystone lacks ({error})"), *whole(request)]
        written = write_secret(path, text, check=check)
    return {"auth_url": request.auth_url, "clouds_file": path, **result(steps, path if written else "")}


def preview(given: dict[str, Any]) -> dict[str, Any]:
    """The result of check mode; before there is a plan nothing more is known than that the cloud will be made."""
    try:
        return identity(given, True)
    except (StateError, ProvisionError) as error:
        return result([later(f"all of it ({error})")], "")


def later(what: str) -> Step:
    """Stands for steps that a preview cannot know."""
    return Step("create", "cloud", (), "", f"known after tripleo.cloud.setup: {what}")


def result(steps: list[Step], written: str) -> dict[str, Any]:
    """Changed, steps and diff."""
    lines = [f"{step.kind}: {step.after or step.before}" for step in steps] + ([f"write: {written}"] if written else [])
    return {
        "changed": bool(lines),
        "steps": lines,
        "diff": {
            "before": "".join(f"{step.before}\n" for step in steps if step.before),
            "after": "".join(f"{step.after}\n" for step in steps if step.after)
            + (f"{written}: with the cloud's address and the administrator's password\n" if written else ""),
        },
    }


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            **BATCH_SPEC,
            **PLANNED_SPEC,
            "stack": {"type": "str", "required": True},
            "address": {"type": "str"},
            "scheme": {"type": "str", "choices": ["http", "https"], "default": "http"},
            "ca_file": {"type": "path"},
            "region": {"type": "str"},
            "admin_user": {"type": "str"},
            "admin_project": {"type": "str"},
            "service_project": {"type": "str", "default": "service"},
            "admin_role": {"type": "str", "default": "admin"},
            "member_role": {"type": "str", "default": "member"},
            "services": {"type": "dict", "default": {}},
            "timeout": {"type": "int", "default": 600},
        },
        supports_check_mode=True,
    )
    private = load_private(module)
    given = {**module.params, "services": private.get("services") or module.params["services"]}
    os.umask(0o077)
    if module.check_mode:
        run(module, lambda: preview(given))
    else:
        run(module, lambda: identity(given, False))


if __name__ == "__main__":
    main()
