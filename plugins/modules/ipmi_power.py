#!/usr/bin/python
# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: ipmi_power
short_description: Turn machines on and off by their BMCs
version_added: 0.1.0
description:
  - Brings machines to a power state, or does an action on them once, and waits until their BMCs confirm it.
  - All machines are driven at once in one process. One machine that fails stops no other.
  - With O(stack) and O(plan) the machines are those of the plan's servers. Then O(state=on) means started under this
    plan. A server whose operating system has booted under it is left alone, a machine that still runs what was there
    before the plan is power-cycled.
author: The tripleo.cloud authors (@tripleo)
extends_documentation_fragment:
  - tripleo.cloud.attributes
  - tripleo.cloud.batch
  - tripleo.cloud.bmc
attributes:
  idempotent:
    support: partial
    details: O(state) is idempotent, O(action) acts each time that a machine is running.
options:
  state:
    description: Power that the machines shall have. Mutually exclusive with O(action).
    type: str
    choices: ["on", "off"]
  action:
    description:
      - What is done to the machines once. Mutually exclusive with O(state).
      - V(reset) restarts running machines, a machine that is off is an error.
      - V(cycle) turns machines off and on again, a machine that is off is turned on.
      - V(soft) asks the operating systems to shut down and waits until the machines are off.
    type: str
    choices: [reset, cycle, soft]
  restart:
    description:
      - With O(state=on) of a plan's servers, power-cycle also those that were started under the plan and whose
        operating systems have not booted. It is for servers that have fallen silent. A server whose image was written
        less than 20 minutes ago is in its first boot and left to it.
    type: bool
    default: false
  console:
    description:
      - With O(state=on) of a plan's servers and the O(run_id) of a run that boots nodes, keep the end of what each
        machine prints on its serial console, by the serial-over-LAN of its BMC, until its operating system has booted.
      - It is kept in the file C(run/console/NODE.log) of the state folder, 64 KiB at most, and shown by
        M(tripleo.cloud.deploy_wait) for servers that fail. What a BMC refuses is said in C(run/STACK.recorder.log).
      - A process of its own does it. It ends with the run, and no failure of it fails the task.
    type: bool
    default: true
seealso:
  - module: tripleo.cloud.pxe_boot
  - module: tripleo.cloud.deploy_wait
"""

EXAMPLES = r"""
- name: Start all servers of a plan that have not booted yet
  tripleo.cloud.ipmi_power:
    state_dir: /var/lib/tripleo-cloud
    stack: workload-cloud
    plan: "{{ stack_result.plan.hash }}"
    state: "on"

- name: Restart two machines
  tripleo.cloud.ipmi_power:
    nodes:
      - name: n1
        address: 192.0.2.11
        username: admin
        password: "{{ bmc_password }}"
      - name: n2
        address: 192.0.2.12
        username: admin
        password: "{{ bmc_password }}"
    action: cycle

- name: Turn one machine off
  tripleo.cloud.ipmi_power:
    address: 192.0.2.11
    username: admin
    password: "{{ bmc_password }}"
    state: "off"
"""

RETURN = r"""
total:
  description: Number of machines that the task was for.
  returned: always
  type: int
  sample: 2
changed_nodes:
  description: Nodes that were, or in check mode would be, told something.
  returned: always
  type: list
  elements: str
  sample: [n1]
failed_nodes:
  description: Nodes that did not do it, each with C(node), C(operation), C(cause) and C(next_step).
  returned: always
  type: list
  elements: dict
  sample: []
failed_servers:
  description:
    - Servers whose nodes failed now. Their cause is stored and their nodes are set aside, so that others can go on and
      M(tripleo.cloud.deploy_wait) tells of all at once.
  returned: with O(stack), when the whole batch was worked on
  type: list
  elements: str
  sample: []
power:
  description: Power of each node before and after.
  returned: always
  type: dict
  sample: {n1: {before: "off", after: "on"}}
"""

import os
from dataclasses import replace
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.tripleo.cloud.plugins.module_utils._bmc.model import Action, Power
from ansible_collections.tripleo.cloud.plugins.module_utils._module import BATCH_SPEC, load_private, run
from ansible_collections.tripleo.cloud.plugins.module_utils._provision import consoles
from ansible_collections.tripleo.cloud.plugins.module_utils._provision.power import (
    Request,
    begins_anew,
    due,
    power_nodes,
    power_servers,
)
from ansible_collections.tripleo.cloud.plugins.module_utils._provision.spec import BMC_RULES, BMC_SPEC
from ansible_collections.tripleo.cloud.plugins.module_utils._provision.targets import (
    Target,
    bmc_of,
    failures,
    inline_nodes,
    locks,
    targets,
)
from ansible_collections.tripleo.cloud.plugins.module_utils._run import events, lease
from ansible_collections.tripleo.cloud.plugins.module_utils._run.failed import record_failures
from ansible_collections.tripleo.cloud.plugins.module_utils._state.store import State


def power(parameters: dict[str, Any], private: dict[str, Any], check: bool) -> dict[str, Any]:
    """The module's work; its result."""
    wanted = Power(parameters["state"]) if parameters["state"] else Action(parameters["action"])
    state_dir = parameters["state_dir"]
    request = Request(
        wanted=wanted, timeout=parameters["timeout"], check=check, locks=locks(state_dir), restart=parameters["restart"]
    )
    if not parameters["stack"]:
        return power_nodes(request, inline_nodes(parameters))

    stack, run_id = parameters["stack"], parameters["run_id"]
    holding = lease.hold(state_dir, stack, parameters["plan"], run_id, check=check)
    with holding as alive, State.open(state_dir, read_only=check) as state:
        plan = state.plan(stack, parameters["plan"])
        everyone = targets(state, plan, ())
        chosen = due(wanted, targets(state, plan, parameters["only"]))
        accesses = [bmc_of(target, private) for target in chosen]

        def tell(target: Target) -> None:
            events.append(state_dir, stack, run_id or "", plan["hash"], target.server, target.node, "powered")

        fault = ""
        if wanted is Power.ON and chosen and not check:
            starting = [target for target in chosen if begins_anew(request, target)]
            recorded_by = run_id if parameters["console"] else None
            fault = consoles.begin(state_dir, plan, recorded_by, everyone, starting, private)
        result = power_servers(replace(request, alive=alive), chosen, accesses, state, plan, tell)
        if wanted is Power.ON and not check:
            failed = failures(chosen, result)
            result["failed_servers"] = record_failures(state, stack, plan["hash"], run_id or "", failed)
        return {**result, "warnings": [fault]} if fault else result


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            **BATCH_SPEC,
            **BMC_SPEC,
            "state": {"type": "str", "choices": ["on", "off"]},
            "action": {"type": "str", "choices": ["reset", "cycle", "soft"]},
            "restart": {"type": "bool", "default": False},
            "console": {"type": "bool", "default": True},
        },
        mutually_exclusive=[("state", "action"), *BMC_RULES["mutually_exclusive"]],
        required_one_of=[("state", "action"), *BMC_RULES["required_one_of"]],
        required_together=BMC_RULES["required_together"],
        supports_check_mode=True,
    )
    private = load_private(module)
    os.umask(0o077)
    run(module, lambda: power(module.params, private, module.check_mode))


if __name__ == "__main__":
    main()
