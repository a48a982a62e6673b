#!/usr/bin/python
# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: node_info
short_description: Read the registered nodes of a Deployment cloud
version_added: 0.1.0
author: The tripleo.cloud authors (@tripleo)
description:
  - Reads the registered hardware, what ramdisks and BMCs reported, why a node is set aside, and who has reserved it.
extends_documentation_fragment:
  - tripleo.cloud.attributes
options:
  state_dir:
    description: Folder of the Deployment cloud's state.
    type: path
    default: /var/lib/tripleo-cloud
"""

EXAMPLES = r"""
- name: List the registered nodes
  tripleo.cloud.node_info:
"""

RETURN = r"""
nodes:
  description:
    - Each node with its hardware, facts of its last ramdisk, the BMC's report, and the reservation.
    - C(set_aside) lists why plans do not choose it. C(by) is V(maintenance) for an operator, V(deployment) for a server
      that failed there, V(registration) for a BMC that does not answer. C(since) is in seconds since the epoch.
  returned: success
  type: list
  elements: dict
  sample:
    - name: n1
      hardware: {}
      facts: {}
      bmc: {}
      set_aside: [{by: maintenance, cause: new memory on Tuesday, since: 1764060000.0}]
      reserved_by: {stack: cloud, path: Compute.0.Server}
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.tripleo.cloud.plugins.module_utils._module import STATE_SPEC, run
from ansible_collections.tripleo.cloud.plugins.module_utils._provision.hardware import node_report


def main() -> None:
    module = AnsibleModule(argument_spec=STATE_SPEC, supports_check_mode=True)
    run(module, lambda: node_report(module.params["state_dir"]))


if __name__ == "__main__":
    main()
