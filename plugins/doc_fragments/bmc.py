# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options:
  nodes:
    description:
      - Nodes given inline instead of a stack and its plan.
    type: list
    elements: dict
    suboptions:
      name:
        description: Name of the node in results. The default is the BMC's address.
        type: str
      address:
        description: IP address or host name of the BMC.
        type: str
        required: true
      port:
        description: UDP port of the BMC.
        type: int
        default: 623
      username:
        description: User of the BMC. It needs the privilege of an operator.
        type: str
        required: true
      password:
        description: Password of the user.
        type: str
        required: true
      driver:
        description: The BMC's protocol.
        type: str
        choices: [ipmi]
        default: ipmi
  name:
    description: Name in results of the one node that O(address) is the BMC of.
    type: str
  address:
    description: IP address or host name of the BMC of one node, instead of O(nodes).
    type: str
  port:
    description: UDP port of that BMC.
    type: int
    default: 623
  username:
    description: User of that BMC.
    type: str
  password:
    description: Password of the user.
    type: str
  timeout:
    description: Seconds until a BMC must have done, and confirmed, what it was told.
    type: int
    default: 60
requirements:
  - pyghmi, on the Deployment cloud. The playbook C(tripleo.cloud.prepare) installs it there.
"""
