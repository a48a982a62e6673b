# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Base of the action plugins of batch modules: what is secret goes to the Deployment cloud in one private file."""

from __future__ import annotations

import json
import posixpath
from typing import Any

from ansible.errors import AnsibleActionFail, AnsibleError
from ansible_collections.tripleo.cloud.plugins.module_utils._errors import TripleoError
from ansible_collections.tripleo.cloud.plugins.module_utils._heat.source import without_text
from ansible_collections.tripleo.cloud.plugins.module_utils._plan.nodes import Node, parse_nodes
from ansible_collections.tripleo.cloud.plugins.plugin_utils._deployment import DeploymentAction
from ansible_collections.tripleo.cloud.plugins.plugin_utils._parent import with_parent

SWEEP = 'n=0; while [ -e "$1" ] && [ $n -lt "$2" ]; do sleep 1; n=$((n + 1)); done; rm -f "$1"'
SWEEP_SECONDS = 60
LEFT = "-path '*/ansible-tmp-*/private.json' -mmin +1"


class BatchAction(DeploymentAction):
    """Reads the nodes file on the control host and runs the module of the same name with BMC credentials."""

    @with_parent()
    def run(self, tmp: Any = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        variables = task_vars or {}
        arguments = dict(self._task.args)
        # Variables of hosts are templates still, arguments of tasks are not.
        nodes_file = arguments.pop("nodes_file", None) or self._templar.template(variables.get("tripleo_nodes_file"))
        nodes = self.read_nodes(nodes_file)
        arguments["private_file"] = self.upload_private(self.private(nodes, arguments))
        result.update(self._execute_module(module_args=arguments, task_vars=variables))
        return result

    def private(self, nodes: tuple[Node, ...], arguments: dict[str, Any]) -> dict[str, Any]:
        """What goes into the private file; subclasses add to it and may take arguments away."""
        return {} if self.is_here else {"bmc": {node.name: node.bmc.as_private() for node in nodes}}

    def read_nodes(self, path: str | None) -> tuple[Node, ...]:
        """Parse the nodes file (YAML, as a whole or value by value in a vault); no path gives no nodes."""
        if not path:
            return ()
        try:
            # Templating decrypts `!vault` values, and leaves text alone that was loaded as unsafe.
            content = self._templar.template(self._loader.load_from_file(path, unsafe=True))
        except AnsibleError as error:
            # Ansible's own report would show lines of the file, which holds passwords.
            line = getattr(error.obj, "line_num", None)
            raise AnsibleActionFail(f"{path}{f':{line}' if line else ''}: {without_text(error.message)}") from None
        try:
            return parse_nodes(content, source=path)
        except TripleoError as error:
            raise AnsibleActionFail(str(error)) from error

    def upload_private(self, content: dict[str, Any]) -> str:
        """Write content on the Deployment cloud under umask 077 without a copy on the control host; return its path.

        A process of its own there removes the file when no module has taken it within a minute: this process, and the
        module, may be killed before. What is left of a host that lost its power is removed by the next call.
        """
        shell = self._connection._shell
        if not shell.tmpdir:
            self._make_tmp_path()
        path: str = shell.join_path(shell.tmpdir, "private.json")
        file, sweep = shell.quote(path), shell.quote(SWEEP)
        folder = shell.quote(posixpath.dirname(posixpath.dirname(path)))
        command = (
            f"find {folder} -mindepth 2 -maxdepth 2 {LEFT} -delete 2> /dev/null; umask 077 && : > {file} && "
            f"{{ setsid sh -c {sweep} sweep {file} {SWEEP_SECONDS} < /dev/null > /dev/null 2>&1 & }} && cat > {file}"
        )
        done = self._low_level_execute_command(command, in_data=json.dumps(content).encode())
        if done["rc"] != 0:
            raise AnsibleActionFail(f"writing the private file on the Deployment cloud failed: {done['stderr']}")
        return path


class PlainAction(BatchAction):
    """For modules of the group that need no nodes: the common default is dropped."""

    @with_parent()
    def run(self, tmp: Any = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result: dict[str, Any] = DeploymentAction.run(self, tmp, task_vars)
        result.update(self._execute_module(module_args=self.arguments(), task_vars=task_vars or {}))
        return result

    def arguments(self) -> dict[str, Any]:
        """The module's arguments; subclasses add what only the control host knows."""
        return {key: value for key, value in self._task.args.items() if key != "nodes_file"}
