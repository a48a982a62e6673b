#!/usr/bin/python
# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: node
short_description: Register all nodes of a nodes file
version_added: 0.1.0
author: The tripleo.cloud authors (@tripleo)
description:
  - Reads the nodes file on the control host, checks every BMC with its credentials, and registers the hardware in the
    Deployment cloud's state. User names and passwords are not stored.
  - When one BMC refuses or does not answer, nothing is registered.
  - A node that the file no longer names stays registered.
extends_documentation_fragment:
  - tripleo.cloud.attributes
options:
  nodes_file:
    description:
      - The nodes file on the control host. It may be vaulted.
      - Read by the action plugin. The default is the variable C(tripleo_nodes_file).
    type: path
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
"""

RETURN = r"""
total:
  description: Number of nodes in the file.
  returned: always
  type: int
  sample: 2
changed_nodes:
  description: Names of the nodes that were new or had changed.
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
bmc:
  description: Power state, firmware and manufacturer of each BMC, by node.
  returned: success
  type: dict
  sample: {n1: {power: "off", firmware: "1.0", manufacturer: 0}}
"""

import json
import os
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.tripleo.cloud.plugins.module_utils._errors import TripleoError
from ansible_collections.tripleo.cloud.plugins.module_utils._module import STATE_SPEC, load_private, run
from ansible_collections.tripleo.cloud.plugins.module_utils._provision.hardware import register


def node(parameters: dict[str, Any], private: dict[str, Any], check: bool) -> dict[str, Any]:
    """The module's work; its result."""
    if not private:
        raise TripleoError("runs only through its action plugin", operation="register nodes")
    result = register(
        parameters["state_dir"],
        private,
        check_bmc=parameters["check_bmc"],
        timeout=parameters["timeout"],
        check=check,
    )
    before, after = (json.dumps(result.pop(key), indent=2, sort_keys=True) + "\n" for key in ("before", "after"))
    if result["changed"]:
        result["diff"] = {"before": before, "after": after}
    return result


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            **STATE_SPEC,
            "nodes_file": {"type": "path"},
            "check_bmc": {"type": "bool", "default": True},
            "timeout": {"type": "int", "default": 30},
            "private_file": {"type": "path"},
        },
        supports_check_mode=True,
    )
    private = load_private(module)
    os.umask(0o077)
    run(module, lambda: node(module.params, private, module.check_mode))


if __name__ == "__main__":
    main()
