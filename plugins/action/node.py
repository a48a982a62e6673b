# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from typing import Any

from ansible.errors import AnsibleActionFail
from ansible_collections.tripleo.cloud.plugins.module_utils._plan.nodes import Node
from ansible_collections.tripleo.cloud.plugins.plugin_utils._batch import BatchAction


class ActionModule(BatchAction):
    """Brings the registered hardware and BMC credentials to the module node; maintenance needs neither."""

    def run(self, tmp: Any = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        if self._task.args.get("maintenance") is None:
            return super().run(tmp, task_vars)
        arguments = {key: value for key, value in self._task.args.items() if key != "nodes_file"}
        result: dict[str, Any] = self._execute_module(module_args=arguments, task_vars=task_vars or {})
        return result

    def private(self, nodes: tuple[Node, ...], arguments: dict[str, Any]) -> dict[str, Any]:
        if not nodes:
            raise AnsibleActionFail("node needs nodes_file (or tripleo_nodes_file) with at least one node")
        if self.is_here:
            # The BMCs are reached from the Deployment cloud.
            arguments["check_bmc"] = False
        hardware = {node.name: node.as_hardware() for node in nodes}
        return {**super().private(nodes, arguments), "hardware": hardware}
