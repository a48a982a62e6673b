#!/usr/bin/python
# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: cloud_proof
short_description: Prove that a Workload cloud works, as its users would
version_added: 0.1.0
description:
  - Logs in with the operator's C(clouds.yaml), uploads an image of random bytes to Glance, downloads it, compares, and
    deletes it again.
  - Keeps in the state what was proven. An unchanged cloud, which is the same plan at the same address, is not proven
    again unless O(again) is set.
author: The tripleo.cloud authors (@tripleo)
extends_documentation_fragment:
  - tripleo.cloud.attributes
  - tripleo.cloud.batch
  - tripleo.cloud.batch.planned
attributes:
  diff_mode:
    support: partial
    details: Nothing of the cloud is different afterwards. Check mode says in words what a real run does.
  idempotent:
    support: full
options:
  stack:
    required: true
  clouds_file:
    description: The C(clouds.yaml) on the Deployment cloud. The default is the one among the stack's secrets.
    type: path
  again:
    description: Prove it although it was proven before.
    type: bool
    default: false
  timeout:
    description: Seconds for Glance to be ready.
    type: int
    default: 600
seealso:
  - module: tripleo.cloud.cloud_identity
"""

EXAMPLES = r"""
- name: Upload and download an image
  tripleo.cloud.cloud_proof:
    stack: workload-cloud
"""

RETURN = r"""
proven:
  description: What was proven, now or before, with the time of it.
  returned: outside check mode
  type: dict
  sample: {auth_url: "http://192.0.2.20:5000/v3", image_sha256: 9c1f, time: "2026-11-25T06:00:00Z"}
"""

import hashlib
import json
import os
import time
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.tripleo.cloud.plugins.module_utils._cloud.clouds import read_clouds, write_secret
from ansible_collections.tripleo.cloud.plugins.module_utils._cloud.errors import CloudError
from ansible_collections.tripleo.cloud.plugins.module_utils._cloud.proof import prove_images
from ansible_collections.tripleo.cloud.plugins.module_utils._cloud.session import CloudSession
from ansible_collections.tripleo.cloud.plugins.module_utils._module import BATCH_SPEC, PLANNED_SPEC, load_private, run
from ansible_collections.tripleo.cloud.plugins.module_utils._run import lease
from ansible_collections.tripleo.cloud.plugins.module_utils._state.store import State

TO_COME = {"changed": True, "diff": {"prepared": "an image is uploaded, downloaded, compared and deleted\n"}}


def prove(given: dict[str, Any], check: bool) -> dict[str, Any]:
    """The module's work; its result."""
    state_dir, stack = given["state_dir"], given["stack"]
    clouds = given["clouds_file"] or os.path.join(state_dir, "secrets", stack, "clouds.yaml")
    if check and (given["planned"] or not os.path.exists(clouds)):
        return TO_COME
    with State.open(state_dir, read_only=True) as state:
        plan = state.plan(stack)
    cloud = read_clouds(clouds, stack)
    login = cloud["auth"]
    # The digest is of the whole login, password included, with the plan: any other cloud or account is proven anew.
    identity = hashlib.sha256(json.dumps([plan["hash"], cloud], sort_keys=True).encode()).hexdigest()
    marker = os.path.join(state_dir, "run", f"{stack}.proof.json")
    before = read_marker(marker)
    if before.get("of") == identity and not given["again"]:
        return {"changed": False, "proven": before}
    if check:
        return TO_COME
    with lease.hold(state_dir, stack, plan["hash"], given["run_id"]) as alive:
        session = CloudSession(
            login["auth_url"], login["username"], login["password"], login["project_name"],
            cloud.get("cacert") or True, alive,
        )  # fmt: skip
        if not session.login():
            raise CloudError(f"Keystone refuses the account of {clouds}", operation="prove the cloud")
        proof = prove_images(session, session.endpoint("image", cloud["region_name"]), given["timeout"])
    proven = {
        "of": identity,
        "auth_url": login["auth_url"],
        "image_sha256": proof["sha256"],
        "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }
    write_secret(marker, json.dumps(proven, sort_keys=True), check=False)
    return {"changed": before.get("of") != identity, "proven": proven}


def read_marker(path: str) -> dict[str, Any]:
    """What was proven before; empty when nothing was."""
    try:
        with open(path, encoding="utf-8") as stream:
            loaded: dict[str, Any] = json.load(stream)
            return loaded
    except (FileNotFoundError, ValueError):
        return {}


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            **BATCH_SPEC,
            **PLANNED_SPEC,
            "stack": {"type": "str", "required": True},
            "clouds_file": {"type": "path"},
            "again": {"type": "bool", "default": False},
            "timeout": {"type": "int", "default": 600},
        },
        supports_check_mode=True,
    )
    load_private(module)
    os.umask(0o077)
    run(module, lambda: prove(module.params, module.check_mode))


if __name__ == "__main__":
    main()
