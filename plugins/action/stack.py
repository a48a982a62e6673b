# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from typing import Any

from ansible.errors import AnsibleActionFail
from ansible_collections.tripleo.cloud.plugins.module_utils._plan.nodes import Node
from ansible_collections.tripleo.cloud.plugins.plugin_utils._batch import BatchAction
from ansible_collections.tripleo.cloud.plugins.plugin_utils._templates import Gathered


class ActionModule(BatchAction):
    """Gathers template and environments on the control host; they may hold secrets, so they travel privately."""

    def private(self, nodes: tuple[Node, ...], arguments: dict[str, Any]) -> dict[str, Any]:
        environments = arguments.pop("environment", None) or arguments.pop("environments", None) or []
        environments = [environments] if isinstance(environments, str) else environments
        template, parameters = arguments.get("template"), arguments.pop("parameters", None) or {}
        if not isinstance(template, str) or not template:
            raise AnsibleActionFail("stack needs a template")
        if not isinstance(environments, list) or not all(isinstance(path, str) for path in environments):
            raise AnsibleActionFail("environment must be a list of paths")
        if not isinstance(parameters, dict):
            raise AnsibleActionFail("parameters must be a mapping by name")
        gathered = Gathered(self._loader, template, environments)
        return {
            "hardware": {node.name: node.as_hardware() for node in nodes},
            "files": gathered.files,
            "template": gathered.template,
            "environments": gathered.environments,
            "parameters": parameters,
        }
