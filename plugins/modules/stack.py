#!/usr/bin/python
# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: stack
short_description: Turn a Heat template into a plan and reserve its nodes
version_added: 0.1.0
author: The tripleo.cloud authors (@tripleo)
description:
  - Evaluates a HOT template with its environments, chooses a registered node for every server, allocates addresses,
    derives the documents of each server, and stores the plan. All nodes are reserved or none.
  - A stored plan that still says what the template asks for is carried on, with the same hash. A new plan is written
    only when something differs.
  - Nothing is powered, booted or written. That is what M(tripleo.cloud.pxe_boot), M(tripleo.cloud.ipmi_power) and
    M(tripleo.cloud.deploy_wait) do with the plan.
  - In check mode the whole plan is made and nothing is stored. With diff, the preview names the node of each server,
    the disk that is overwritten and what it holds.
extends_documentation_fragment:
  - tripleo.cloud.attributes
options:
  name:
    description: Name of the stack. Letters, digits, dots and dashes, starting with a letter, as in a host name.
    type: str
    required: true
  template:
    description:
      - Path of the template on the control host. Files that it names are read relative to it.
      - A relative path is looked for beside the playbook, in the current folder, then in this collection, which has
        C(templates/workload-heat-template.yml).
    type: path
    required: true
  environment:
    description:
      - Paths of environment files on the control host, looked for like O(template). Later ones win. Vaulted files are
        decrypted.
    type: list
    elements: path
    default: []
    aliases: [environments]
  parameters:
    description: Parameters that win over those of the environments. Put secrets into a vaulted environment instead.
    type: dict
    default: {}
  generate_hidden:
    description: Make a value for each hidden parameter that has none. It is made once and kept.
    type: bool
    default: true
  flavors:
    description: What servers can ask of nodes, by name. Keys are V(vcpus), V(ram) in MiB, V(disk) in GiB and
      V(extra_specs).
    type: dict
    default: {}
  networks:
    description: Networks by name. Keys are V(cidr), V(gateway_ip), V(dns_nameservers) and V(allocation_pools).
    type: dict
    default: {}
  only:
    description:
      - Names of the only servers that are to be booted. The plan is that of all servers all the same.
      - RV(to_do) and the preview heed it.
      - A name that the stack does not have is refused before anything is stored.
    type: list
    elements: str
    default: []
  pending_images:
    description:
      - Names of images that C(tripleo.cloud.prepare) would build first. The preview says of them what it cannot know.
      - Means something in check mode only.
    type: list
    elements: str
    default: []
  registered:
    description:
      - What M(tripleo.cloud.node) said in check mode. The preview then takes the nodes as if that had been done.
      - Without it the nodes are those of the state, and those of O(nodes_file) as long as none is registered.
      - Means something in check mode only.
    type: dict
    default: {}
  state_dir:
    description: Folder of the Deployment cloud's state.
    type: path
    default: /var/lib/tripleo-cloud
  nodes_file:
    description:
      - File of the registered hardware on the control host. A preview before anything was registered reads it.
      - Read by the action plugin. The default is the variable C(tripleo_nodes_file).
    type: path
  private_file:
    description: Written by the action plugin and removed before anything else is done. Do not set it yourself.
    type: path
  state:
    description: What the stack shall be.
    type: str
    choices: [present]
    default: present
"""

EXAMPLES = r"""
- name: Plan the Workload cloud
  tripleo.cloud.stack:
    name: workload-cloud
    template: templates/workload-heat-template.yml
    environment:
      - templates/workload-environment.yml
    flavors:
      control: {vcpus: 8, ram: 32768, disk: 200, extra_specs: {"capabilities:profile": control}}
      compute: {vcpus: 16, ram: 65536, disk: 200, extra_specs: {"capabilities:profile": compute}}
    networks:
      ctlplane:
        cidr: 192.0.2.0/24
        allocation_pools: [{start: 192.0.2.10, end: 192.0.2.99}]
  register: planned

- name: Show what would be done
  ansible.builtin.debug:
    msg: "{{ planned.preview }}"
"""

RETURN = r"""
plan:
  description:
    - The plan's C(hash), C(serial) and C(stack).
    - In check mode the hash is V(known after prepare) while something in the plan is.
  returned: success
  type: dict
  sample: {hash: e81d, serial: 1, stack: workload-cloud}
servers:
  description: Node, image and addresses of each server, by its name.
  returned: success
  type: dict
  sample: {workload-cloud-controller-0: {node: n1, image: control-image, networks: {ctlplane: [192.0.2.10]}}}
outputs:
  description: Outputs of the template. Secrets show as their stand-ins.
  returned: success
  type: dict
  sample: {KeystoneURL: "http://192.0.2.20:5000/v3"}
to_do:
  description: Names of the servers that are not booted under this plan.
  returned: success
  type: list
  elements: str
  sample: [workload-cloud-controller-0]
planned:
  description:
    - C(plan), the plan that a real run would store, and C(documents), the documents that it names.
    - What C(tripleo.cloud.prepare) makes first says V(known after prepare). Everything else is stored as it is here.
  returned: in check mode, when a real run would store a new plan
  type: dict
  sample: {plan: {serial: 1, stack: workload-cloud}, documents: {}}
preview:
  description: The plan in words.
  returned: success
  type: str
  sample: stack workload-cloud, plan 1
"""

import os
import re
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.tripleo.cloud.plugins.module_utils._errors import TripleoError
from ansible_collections.tripleo.cloud.plugins.module_utils._module import STATE_SPEC, load_private, run
from ansible_collections.tripleo.cloud.plugins.module_utils._provision.stacks import plan_stack

NAME = re.compile(r"[A-Za-z](?:[A-Za-z0-9.-]{0,61}[A-Za-z0-9])?")


def stack(parameters: dict[str, Any], private: dict[str, Any], check: bool) -> dict[str, Any]:
    """The module's work; its result."""
    if not NAME.fullmatch(parameters["name"]):
        raise TripleoError(
            f"{parameters['name']!r} is no name of a stack",
            operation="plan",
            next_step="Use letters, digits, dots and dashes, at most 63, starting with a letter.",
        )
    if not private:
        raise TripleoError("runs only through its action plugin", operation="plan")
    result = plan_stack(parameters, private, check)
    if result["changed"]:
        result["diff"] = {"prepared": result["preview"]}
    return result


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            **STATE_SPEC,
            "name": {"type": "str", "required": True},
            "template": {"type": "path", "required": True},
            "environment": {"type": "list", "elements": "path", "default": [], "aliases": ["environments"]},
            "parameters": {"type": "dict", "default": {}},
            "generate_hidden": {"type": "bool", "default": True},
            "flavors": {"type": "dict", "default": {}},
            "networks": {"type": "dict", "default": {}},
            "only": {"type": "list", "elements": "str", "default": []},
            "pending_images": {"type": "list", "elements": "str", "default": []},
            "registered": {"type": "dict", "default": {}},
            "nodes_file": {"type": "path"},
            "private_file": {"type": "path"},
            "state": {"type": "str", "choices": ["present"], "default": "present"},
        },
        supports_check_mode=True,
    )
    private = load_private(module)
    os.umask(0o077)
    run(module, lambda: stack(module.params, private, module.check_mode))


if __name__ == "__main__":
    main()
