# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options:
  state_dir:
    description: Folder of the Deployment cloud's state.
    type: path
    default: /var/lib/tripleo-cloud
  stack:
    description: Name of the stack whose servers are meant.
    type: str
  plan:
    description: Hash of the stored plan that is carried out. Another stored plan is an error.
    type: str
  only:
    description: Names of the only servers to work on. Empty means all servers of the plan.
    type: list
    elements: str
    default: []
  run_id:
    description:
      - The run that holds the stack's lease. It is renewed while the module works.
      - Without it, a module that changes servers of the stack takes the lease itself and is refused while a run has it.
    type: str
  private_file:
    description:
      - File with BMC credentials and hidden parameters, read and removed before anything else is done.
      - Written by the action plugin of the same name. Do not set it yourself.
    type: path
"""

    PLANNED = r"""
options:
  planned:
    description:
      - What RV(tripleo.cloud.stack#module:planned) of a preview says. Check mode then tells what this module would do
        once that plan is stored and carried out.
      - Means something in check mode only.
    type: dict
    default: {}
"""
