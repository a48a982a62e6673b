#!/usr/bin/python
# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: node
short_description: Register all nodes of a nodes file, and set nodes aside
version_added: 0.1.0
author: The tripleo.cloud authors (@tripleo)
description:
  - Reads the nodes file on the control host, checks every BMC with its credentials, and registers the hardware in the
    Deployment cloud's state. User names and passwords are not stored.
  - A new node whose BMC fails, and any node whose BMC refuses the credentials, is a failure; the others are registered.
  - A node that was registered before and whose BMC does not answer is set aside with a warning. No plan chooses it
    until its BMC answers when it is registered again.
  - A node that the file no longer names stays registered.
  - With O(maintenance), no file is read and nodes are set aside by hand, or given free again.
extends_documentation_fragment:
  - tripleo.cloud.attributes
options:
  nodes_file:
    description:
      - The nodes file on the control host. It may be vaulted.
      - Read by the action plugin. The default is the variable C(tripleo_nodes_file).
    type: path
  names:
    description: Nodes that O(maintenance) is for.
    type: list
    elements: str
  maintenance:
    description:
      - With V(true), no plan chooses the nodes of O(names). A server that has booted there stays; one that has not is
        placed on another node by the next plan.
      - With V(false), plans may choose them again, whoever set them aside. A deployment that failed does so too.
    type: bool
  reason:
    description: Why the nodes are in maintenance.
    type: str
    default: ""
  check_bmc:
    description: Log in to every BMC and read its power state and firmware.
    type: bool
    default: true
  timeout:
    description: Seconds that one BMC may take.
    type: int
    default: 30
  state_dir:
    description: Folder of the Deployment cloud's state.
    type: path
    default: /var/lib/tripleo-cloud
  private_file:
    description: Written by the action plugin and removed before anything else is done. Do not set it yourself.
    type: path
"""

EXAMPLES = r"""
- name: Register the hardware
  tripleo.cloud.node:
    nodes_file: inventories/mine/nodes.yaml

- name: Let no plan choose a node
  tripleo.cloud.node:
    names: [n17]
    maintenance: true
    reason: new memory on Tuesday
"""

RETURN = r"""
total:
  description: Number of nodes in the file, or in O(names).
  returned: always
  type: int
  sample: 2
changed_nodes:
  description: Names of the nodes that were new, had changed, or were set aside or given free.
  returned: always
  type: list
  elements: str
  sample: [n1]
failed_nodes:
  description: Nodes whose BMC could not be checked, with operation, cause and next step.
  returned: always
  type: list
  elements: dict
  sample: []
set_aside:
  description: Why registered nodes are set aside whose BMCs did not answer, by node.
  returned: when the nodes file is registered
  type: dict
  sample: {}
bmc:
  description: Power state, firmware and manufacturer of each BMC, by node.
  returned: when the nodes file is registered
  type: dict
  sample: {n1: {power: "off", firmware: "1.0", manufacturer: 0}}
"""

import json
import os
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.tripleo.cloud.plugins.module_utils._errors import TripleoError
from ansible_collections.tripleo.cloud.plugins.module_utils._module import STATE_SPEC, load_private, run
from ansible_collections.tripleo.cloud.plugins.module_utils._provision.hardware import maintain, register


def node(parameters: dict[str, Any], private: dict[str, Any], check: bool) -> dict[str, Any]:
    """The module's work; its result."""
    state_dir, wanted = parameters["state_dir"], parameters["maintenance"]
    if wanted is not None:
        result = maintain(state_dir, parameters["names"], wanted, parameters["reason"], check=check)
    elif private:
        options = {name: parameters[name] for name in ("check_bmc", "timeout")}
        result = register(state_dir, private, **options, check=check)
    else:
        raise TripleoError("runs only through its action plugin", operation="register nodes")
    before, after = (json.dumps(result.pop(key), indent=2, sort_keys=True) + "\n" for key in ("before", "after"))
    if result["changed"]:
        result["diff"] = {"before": before, "after": after}
    return result


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            **STATE_SPEC,
            "nodes_file": {"type": "path"},
            "names": {"type": "list", "elements": "str"},
            "maintenance": {"type": "bool"},
            "reason": {"type": "str", "default": ""},
            "check_bmc": {"type": "bool", "default": True},
            "timeout": {"type": "int", "default": 30},
            "private_file": {"type": "path"},
        },
        required_together=[("names", "maintenance")],
        supports_check_mode=True,
    )
    private = load_private(module)
    os.umask(0o077)
    run(module, lambda: node(module.params, private, module.check_mode))


if __name__ == "__main__":
    main()
