#!/usr/bin/python
# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: pxe_boot
short_description: Make machines boot from the network
version_added: 0.1.0
description:
  - With O(stack) and O(plan), lays out the boot files of all servers of the plan whose operating system has not booted,
    and makes their machines boot from the network once. The images are proven by their digests before anything is laid
    out. A server that has its image already goes on to its disk and is not written again.
  - With O(nodes) or O(address), only sets the machines' boot device.
  - Each boot device is read back. All machines are driven at once in one process, one that fails stops no other.
  - It does not turn machines on, and it does not start the boot services.
author: The tripleo.cloud authors (@tripleo)
extends_documentation_fragment:
  - tripleo.cloud.attributes
  - tripleo.cloud.batch
  - tripleo.cloud.bmc
options:
  ramdisk:
    description: Name of the deploy ramdisk in the image store.
    type: str
    default: deploy-ramdisk
  kernel_arguments:
    description:
      - More arguments for the kernel of the deploy ramdisk, each C(name) or C(name=value) of letters, digits and
        any of C(_.,:/@+[]-).
      - A C(console=) here replaces the default C(console=ttyS0,115200).
      - A C(loglevel=) or C(quiet) here replaces the default C(loglevel=5), which keeps the machine's path off the
        console.
    type: list
    elements: str
    default: []
  http_address:
    description:
      - IP address that the boot services listen on, together with O(http_port). The default for both is what
        C(etc/nginx.conf) in O(state_dir) says.
    type: str
  http_port:
    description: TCP port that the boot services listen on, together with O(http_address).
    type: int
  device:
    description:
      - What nodes given by O(nodes) or O(address) boot from. V(none) leaves it to the firmware's own order.
      - The servers of a plan boot from the network.
    type: str
    choices: [network, disk, cdrom, setup, none]
    default: network
  persistent:
    description: Keep the O(device) for all boots, not only for the next one. For O(nodes) and O(address) only.
    type: bool
    default: false
  uefi:
    description:
      - Ask the firmware for a UEFI boot. For O(nodes) and O(address) only, nodes of a plan have the capability
        C(boot_mode=uefi) for it.
    type: bool
    default: false
seealso:
  - module: tripleo.cloud.ipmi_power
"""

EXAMPLES = r"""
- name: Make the servers of a plan boot the deploy ramdisk
  tripleo.cloud.pxe_boot:
    state_dir: /var/lib/tripleo-cloud
    stack: workload-cloud
    plan: "{{ stack_result.plan.hash }}"
    kernel_arguments:
      - console=ttyS1,115200

- name: Boot one machine from its disk from now on
  tripleo.cloud.pxe_boot:
    address: 192.0.2.11
    username: admin
    password: "{{ bmc_password }}"
    device: disk
    persistent: true
"""

RETURN = r"""
total:
  description: Number of machines that the task was for.
  returned: always
  type: int
  sample: 2
changed_nodes:
  description: Nodes whose boot files or boot device were, or in check mode would be, changed.
  returned: always
  type: list
  elements: str
  sample: [n1]
failed_nodes:
  description: Nodes that failed, each with C(node), C(operation), C(cause) and C(next_step).
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
servers:
  description:
    - What was done with the boot files of each server that has not booted, V(laid out), V(laid out anew), V(unchanged),
      or V(in use) where the node is reading them now.
  returned: always
  type: dict
  sample: {workload-cloud-controller-0: laid out}
boot:
  description: Boot device of each node before and after.
  returned: always
  type: dict
  sample: {n1: {before: none, after: network next}}
"""

import os
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.tripleo.cloud.plugins.module_utils._bmc.model import BootOverride, Device
from ansible_collections.tripleo.cloud.plugins.module_utils._boot.arguments import check_extra
from ansible_collections.tripleo.cloud.plugins.module_utils._boot.model import BootServer
from ansible_collections.tripleo.cloud.plugins.module_utils._module import BATCH_SPEC, load_private, run
from ansible_collections.tripleo.cloud.plugins.module_utils._provision.network_boot import (
    Request,
    boot_servers,
    node_summary,
    set_boot_device,
)
from ansible_collections.tripleo.cloud.plugins.module_utils._provision.spec import BMC_RULES, BMC_SPEC
from ansible_collections.tripleo.cloud.plugins.module_utils._provision.ssh_key import ensure_ssh_key
from ansible_collections.tripleo.cloud.plugins.module_utils._provision.targets import (
    bmc_of,
    failures,
    inline_nodes,
    locks,
    targets,
    uefi_nodes,
)
from ansible_collections.tripleo.cloud.plugins.module_utils._run import config, lease
from ansible_collections.tripleo.cloud.plugins.module_utils._run.failed import record_failures
from ansible_collections.tripleo.cloud.plugins.module_utils._state.key import secret_key
from ansible_collections.tripleo.cloud.plugins.module_utils._state.store import State


def boot_nodes(parameters: dict[str, Any], check: bool) -> dict[str, Any]:
    """Set the boot device of nodes given inline; the module's result."""
    accesses = inline_nodes(parameters)
    wanted = BootOverride(Device(parameters["device"]), parameters["persistent"], parameters["uefi"])
    outcomes = set_boot_device(
        f"boot device {wanted}",
        accesses,
        {access.node: wanted for access in accesses},
        timeout=parameters["timeout"],
        check=check,
        locks=locks(parameters["state_dir"]),
    )
    return node_summary(outcomes)


def boot_plan(parameters: dict[str, Any], private: dict[str, Any], check: bool) -> dict[str, Any]:
    """Boot the servers of a plan from the network; the module's result."""
    state_dir, stack = parameters["state_dir"], parameters["stack"]
    arguments = check_extra(parameters["kernel_arguments"])
    holding = lease.hold(state_dir, stack, parameters["plan"], parameters["run_id"], check=check)
    with holding as alive, State.open(state_dir, read_only=check) as state:
        plan = state.plan(stack, parameters["plan"])
        everyone = targets(state, plan, [])
        chosen = targets(state, plan, parameters["only"])
        if all(target.booted for target in chosen):
            return node_summary({}) | {"total": len(chosen)}
        address, port = parameters["http_address"], parameters["http_port"]
        request = Request(
            state_dir=state_dir,
            boot=BootServer(address, port) if address else config.boot_server(state_dir),
            ramdisk=parameters["ramdisk"],
            arguments=arguments,
            timeout=parameters["timeout"],
            check=check,
            locks=locks(state_dir),
            uefi=uefi_nodes(state, chosen),
            alive=alive,
        )
        accesses = [bmc_of(target, private) for target in chosen if not target.written]
        public_key = ensure_ssh_key(state_dir, stack, check=check)
        result = boot_servers(request, plan, everyone, chosen, accesses, secret_key(state_dir), public_key)
        if not check:
            failed, run_id = failures(chosen, result), parameters["run_id"] or ""
            result["failed_servers"] = record_failures(state, stack, plan["hash"], run_id, failed)
        return result


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            **BATCH_SPEC,
            **BMC_SPEC,
            "ramdisk": {"type": "str", "default": "deploy-ramdisk"},
            "kernel_arguments": {"type": "list", "elements": "str", "default": []},
            "http_address": {"type": "str"},
            "http_port": {"type": "int"},
            "device": {
                "type": "str",
                "choices": ["network", "disk", "cdrom", "setup", "none"],
                "default": "network",
            },
            "persistent": {"type": "bool", "default": False},
            "uefi": {"type": "bool", "default": False},
        },
        mutually_exclusive=BMC_RULES["mutually_exclusive"],
        required_one_of=BMC_RULES["required_one_of"],
        required_together=[("http_address", "http_port"), *BMC_RULES["required_together"]],
        supports_check_mode=True,
    )
    private = load_private(module)
    os.umask(0o077)
    if module.params["stack"]:
        run(module, lambda: boot_plan(module.params, private, module.check_mode))
    else:
        run(module, lambda: boot_nodes(module.params, module.check_mode))


if __name__ == "__main__":
    main()
