#!/usr/bin/python
# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: boot_services
short_description: Begin, renew and end a run that holds a stack
version_added: 0.1.0
description:
  - A run that changes anything holds the lease of its stack. A second run is refused with the holder's name.
  - With O(boot=true) the keeper is started, which runs C(dnsmasq) and C(nginx) in the foreground until the last lease
    has ended, and takes in what the nodes report.
  - A run with the same O(plan) takes a lease over that was not renewed for a sixth of its time to live, because its
    holder was killed.
  - Before a run with O(boot=true) begins, other DHCP servers are looked for on the provisioning interface. One that
    answers an unknown machine, or a machine of the plan that has not booted, stops the run, and the message names it.
  - DHCP for IPv6 and router advertisements are not looked for, machines are booted over IPv4.
  - Services of the host that were there before are never started, stopped or changed.
options:
  state:
    description:
      - V(started) takes the lease, and with O(boot=true) returns when DHCP and HTTP answer.
      - V(renewed) prolongs the lease of O(run_id).
      - V(stopped) gives the lease of O(run_id) back, and returns when the keeper has ended or works for another run.
    type: str
    choices: [started, renewed, stopped]
    default: started
  stack:
    description: Name of the stack.
    type: str
    required: true
  plan:
    description: Hash of the plan that the run carries out.
    type: str
    default: ""
  run_id:
    description: Name of the run. One is made when O(state=started) has none.
    type: str
  boot:
    description:
      - Whether the run boots nodes. Its lease then ends 60 seconds after the last renewal.
      - Otherwise it ends after 15 minutes, but after 60 seconds while a module of this collection works.
    type: bool
    default: true
  dhcp_probe_seconds:
    description:
      - Seconds to wait for the answers of other DHCP servers after the last question. The whole look takes two seconds
        more. There are servers that answer after three seconds.
      - V(0) does not look.
    type: int
    default: 3
  who:
    description: Who runs this, told to a second run that is refused.
    type: str
  state_dir:
    description: Folder of the Deployment cloud's state.
    type: path
    default: /var/lib/tripleo-cloud
extends_documentation_fragment:
  - tripleo.cloud.attributes
attributes:
  check_mode:
    support: full
  diff_mode:
    support: none
    details: There is nothing to show.
  idempotent:
    support: full
seealso:
  - module: tripleo.cloud.deploy_wait
author:
  - The tripleo.cloud authors (@tripleo)
"""

EXAMPLES = r"""
- name: Serve the nodes of the plan
  tripleo.cloud.boot_services:
    stack: workload-cloud
    plan: "{{ plan_hash }}"
  register: boot

- name: End the run
  tripleo.cloud.boot_services:
    stack: workload-cloud
    run_id: "{{ boot.run_id }}"
    state: stopped
"""

RETURN = r"""
run_id:
  description: Name of the run. Hand it to the other modules of the run.
  returned: always
  type: str
  sample: 5b0c4f1de0a84d6f8f0d6d9a7a5f3c11
address:
  description: Address and port where nodes fetch their files.
  returned: when O(state=started) and O(boot=true), outside check mode
  type: str
  sample: 10.1.2.1:8088
dhcp_servers:
  description:
    - Other DHCP servers on the provisioning network, each with its server identifier C(server), C(source) and
      C(ethernet) address of its packets, the address C(offered), and the C(node) that it answers.
    - Empty are C(ethernet) of one on the Deployment cloud's own host, C(offered) of one that gives boot information
      only, and C(node) of one that answers unknown machines.
  returned: when they were looked for
  type: list
  elements: dict
  sample: []
"""

import os
import socket
import uuid
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.tripleo.cloud.plugins.module_utils._module import STATE_SPEC, run
from ansible_collections.tripleo.cloud.plugins.module_utils._provision.targets import targets
from ansible_collections.tripleo.cloud.plugins.module_utils._run import config, console, launch, lease, probe
from ansible_collections.tripleo.cloud.plugins.module_utils._state.store import State

# A recorder of consoles looks at the lease once a second, and then gives back what it has.
CONSOLE_SECONDS = 10.0


def started(given: dict[str, Any]) -> dict[str, Any]:
    """Take the lease and start what it needs; nothing of a failed start stays."""
    state_dir, stack, boot = given["state_dir"], given["stack"], given["boot"]
    run_id = given["run_id"] or uuid.uuid4().hex
    who = given["who"] or f"{os.environ.get('SUDO_USER') or os.environ.get('USER') or 'root'}@{socket.gethostname()}"
    before = lease.read(state_dir, stack)
    fresh = before is None or before.run_id != run_id
    lease.acquire(state_dir, stack, given["plan"], who, run_id, boot)
    result: dict[str, Any] = {"changed": fresh, "run_id": run_id}
    if boot:
        try:
            if fresh and given["dhcp_probe_seconds"]:
                with lease.held(state_dir, stack, run_id):
                    look_around(given)
                result["dhcp_servers"] = []
            launch.start(state_dir)
        except BaseException:
            if fresh:
                lease.release(state_dir, stack, run_id)
            raise
        lease.renew(state_dir, stack, run_id)
        result["address"] = config.boot_server(state_dir).authority
    return result


def look_around(given: dict[str, Any]) -> None:
    """Raise OtherDhcpServers when somebody else answers the machines that are to boot, or any."""
    state_dir, stack = given["state_dir"], given["stack"]
    with State.open(state_dir, read_only=True) as state:
        plan = state.current_plan(stack)
        due = [target for target in targets(state, plan, []) if not target.booted] if plan else []
    nodes = {str(target.entry["mac"]).lower(): target.node for target in due if "mac" in target.entry}
    probe.alone(
        config.interface(state_dir),
        config.boot_server(state_dir).address,
        nodes,
        given["dhcp_probe_seconds"],
        config.dnsmasq_conf(state_dir),
    )


def stopped(given: dict[str, Any]) -> dict[str, Any]:
    """Give the lease back and see the keeper end."""
    held = lease.release(given["state_dir"], given["stack"], given["run_id"])
    if held:
        launch.wait_end(given["state_dir"])
        console.wait_end(given["state_dir"], given["stack"], CONSOLE_SECONDS)
    return {"changed": held, "run_id": given["run_id"]}


def renewed(given: dict[str, Any]) -> dict[str, Any]:
    """Prolong the lease. A renewal changes nothing that anybody would want to see."""
    lease.renew(given["state_dir"], given["stack"], given["run_id"])
    return {"changed": False, "run_id": given["run_id"]}


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            **STATE_SPEC,
            "state": {"type": "str", "choices": ["started", "renewed", "stopped"], "default": "started"},
            "stack": {"type": "str", "required": True},
            "plan": {"type": "str", "default": ""},
            "run_id": {"type": "str"},
            "boot": {"type": "bool", "default": True},
            "dhcp_probe_seconds": {"type": "int", "default": 3},
            "who": {"type": "str"},
        },
        required_if=[("state", "renewed", ("run_id",)), ("state", "stopped", ("run_id",))],
        supports_check_mode=True,
    )
    given = module.params
    if module.check_mode:
        module.exit_json(changed=given["state"] != "renewed", run_id=given["run_id"] or "")

    def work() -> dict[str, Any]:
        try:
            return {"started": started, "renewed": renewed, "stopped": stopped}[given["state"]](given)
        except probe.OtherDhcpServers as error:
            module.fail_json(msg=str(error), dhcp_servers=error.servers)

    run(module, work)


if __name__ == "__main__":
    main()
