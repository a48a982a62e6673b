#!/usr/bin/python
# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: deploy_wait
short_description: Follow all servers of a plan to a stage, with progress
version_added: 0.1.0
description:
  - Follows the servers of the stored plan until each has reached O(stage) or has failed, and shows where they are once
    a second, each server up to 16, above that stage changes and a summary.
  - Renews the lease of O(run_id) with each look, and ends when C(ansible-playbook) itself has ended.
  - The waiting is done by the action plugin of the same name. The module is one look at the state.
options:
  stage:
    description: Stage to reach.
    type: str
    choices: [powered, pxe, ramdisk, writing, written, booted]
    default: booted
  timeout:
    description: Seconds until every server must be there.
    type: int
    default: 7200
  stage_timeout:
    description:
      - Seconds without any news from a server until it counts as failed, where it is not known how long its machine, or
        one like it, takes.
      - Where it is known, the limit of a stage is three times the longest of the last runs, at least 60 seconds and at
        most this. A machine that was given up gets three times that limit when it is tried again.
    type: int
    default: 900
  listen:
    description:
      - With a number of seconds, only listen that long and return which servers were silent in RV(silent).
      - No server counts as failed then. V(0) only looks at the state.
    type: int
  evidence_for:
    description:
      - Names of servers whose lines of the boot services' logs and whose consoles are returned in RV(evidence).
      - The action plugin asks for servers that failed.
    type: list
    elements: str
    default: []
  overdue:
    description:
      - Cause, stage and seconds of silence, by the names of servers of which nothing was heard for too long. They count
        as failed, and their nodes are set aside.
      - The action plugin tells it at the end of a run.
    type: dict
    default: {}
extends_documentation_fragment:
  - tripleo.cloud.attributes
  - tripleo.cloud.batch
attributes:
  check_mode:
    support: full
  diff_mode:
    support: none
    details: There is nothing to show.
  idempotent:
    support: full
seealso:
  - module: tripleo.cloud.boot_services
author:
  - The tripleo.cloud authors (@tripleo)
"""

EXAMPLES = r"""
- name: Wait until every server runs its operating system
  tripleo.cloud.deploy_wait:
    stack: workload-cloud
    plan: "{{ plan_hash }}"
    run_id: "{{ boot.run_id }}"
"""

RETURN = r"""
servers:
  description: Each server by its name.
  returned: always
  type: dict
  contains:
    node:
      description: Name of its node.
      type: str
      returned: always
    stage:
      description: Stage that it is in.
      type: str
      returned: always
    cause:
      description: Why it failed, else empty.
      type: str
      returned: always
    seconds:
      description: Seconds that each stage took while it was followed.
      type: dict
      returned: by the action plugin
silent:
  description: Servers that are not at the stage and of which nothing was heard, or that failed.
  returned: with O(listen)
  type: list
  elements: str
changed_nodes:
  description: Servers that reached the stage during this call.
  returned: always
  type: list
  elements: str
failed_nodes:
  description: Servers that failed, with operation, cause and next step.
  returned: always
  type: list
  elements: dict
evidence:
  description:
    - What the logs of C(dnsmasq) and C(nginx) know of servers that failed, and the last lines of their consoles without
      control sequences, by the servers' names.
  returned: always
  type: dict
  sample: {workload-cloud-compute-0: [no DHCP request of it was seen]}
total:
  description: Number of servers.
  returned: always
  type: int
look:
  description: What the action plugin needs to go on.
  returned: always
  type: dict
"""

import sys
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.tripleo.cloud.plugins.module_utils._module import BATCH_SPEC, load_private, run
from ansible_collections.tripleo.cloud.plugins.module_utils._run import events, launch, lease
from ansible_collections.tripleo.cloud.plugins.module_utils._run.failed import record_overdue
from ansible_collections.tripleo.cloud.plugins.module_utils._run.table import (
    bmcs_of,
    evidence_of,
    limits_of,
    servers_of,
)
from ansible_collections.tripleo.cloud.plugins.module_utils._state.store import State


def look(given: dict[str, Any]) -> dict[str, Any]:
    """Stage and cause of every server, and where the event file ends."""
    state_dir = given["state_dir"]
    if given["run_id"] and not given["evidence_for"]:
        # On a slow host time goes by since the task before; the polls begin only after this.
        lease.renew(state_dir, given["stack"], given["run_id"])
    if given["overdue"]:
        held = lease.held(state_dir, given["stack"], given["run_id"])
        with held, State.open(state_dir) as state:
            record_overdue(state, given["stack"], given["plan"] or "", given["run_id"] or "", given["overdue"])
    offset = events.size(state_dir)
    times = events.times(state_dir, given["stack"], given["plan"] or "")
    servers = servers_of(state_dir, given["stack"], given["plan"] or "", given["only"])
    return {
        "changed": False,
        "servers": servers,
        "total": len(servers),
        "changed_nodes": [],
        "failed_nodes": [],
        "evidence": evidence_of(state_dir, given["stack"], given["evidence_for"]),
        "look": {
            "offset": offset,
            "times": {name: moments for name, moments in times.items() if name in servers},
            "python": sys.executable,
            "library": launch.install(state_dir),
            "bmcs": bmcs_of(state_dir, servers),
            "limits": limits_of(state_dir, servers, given["stage_timeout"]),
        },
    }


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            **BATCH_SPEC,
            "stage": {
                "type": "str",
                "choices": ["powered", "pxe", "ramdisk", "writing", "written", "booted"],
                "default": "booted",
            },
            "timeout": {"type": "int", "default": 7200},
            "stage_timeout": {"type": "int", "default": 900},
            "listen": {"type": "int"},
            "evidence_for": {"type": "list", "elements": "str", "default": []},
            "overdue": {"type": "dict", "default": {}},
        },
        supports_check_mode=True,
    )
    load_private(module)
    if module.check_mode:
        module.exit_json(changed=False, servers={}, total=0, changed_nodes=[], failed_nodes=[], look={})
    run(module, lambda: look(module.params))


if __name__ == "__main__":
    main()
