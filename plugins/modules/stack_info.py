#!/usr/bin/python
# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: stack_info
short_description: Read the stacks of a Deployment cloud
version_added: 0.1.0
author: The tripleo.cloud authors (@tripleo)
description:
  - Reads stored plans and how far their servers are.
extends_documentation_fragment:
  - tripleo.cloud.attributes
options:
  name:
    description: Name of the only stack to read. All stacks without it.
    type: str
    default: ""
  state_dir:
    description: Folder of the Deployment cloud's state.
    type: path
    default: /var/lib/tripleo-cloud
"""

EXAMPLES = r"""
- name: Look how far the servers are
  tripleo.cloud.stack_info:
    name: workload-cloud
"""

RETURN = r"""
stacks:
  description:
    - Each stack with its plan, servers (node, stage, cause of a failure, addresses, and what their Heat deployments
      reported), ports and outputs.
  returned: success
  type: list
  elements: dict
  sample: [{name: workload-cloud, plan: {hash: e81d, serial: 1}, servers: {}, ports: {}, outputs: {}}]
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.tripleo.cloud.plugins.module_utils._module import STATE_SPEC, run
from ansible_collections.tripleo.cloud.plugins.module_utils._provision.stacks import stack_report


def main() -> None:
    module = AnsibleModule(
        argument_spec={**STATE_SPEC, "name": {"type": "str", "default": ""}}, supports_check_mode=True
    )
    run(module, lambda: stack_report(module.params["state_dir"], module.params["name"]))


if __name__ == "__main__":
    main()
