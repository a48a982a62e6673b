# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from typing import Any

from ansible.errors import AnsibleActionFail
from ansible_collections.tripleo.cloud.plugins.module_utils._plan.nodes import Node
from ansible_collections.tripleo.cloud.plugins.plugin_utils._batch import BatchAction


class ActionModule(BatchAction):
    """Brings the registered hardware and BMC credentials to the module node."""

    def private(self, nodes: tuple[Node, ...], arguments: dict[str, Any]) -> dict[str, Any]:
        if not nodes:
            raise AnsibleActionFail("node needs nodes_file (or tripleo_nodes_file) with at least one node")
        hardware = {node.name: node.as_hardware() for node in nodes}
        return {**super().private(nodes, arguments), "hardware": hardware}
