# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase
from ansible_collections.tripleo.cloud.plugins.module_utils._errors import TripleoError
from ansible_collections.tripleo.cloud.plugins.module_utils._image import bundle
from ansible_collections.tripleo.cloud.plugins.module_utils._node_zipapp import build_zipapp

COLLECTION = Path(__file__).resolve().parents[2]


class ActionModule(ActionBase):
    """Brings the elements, the ramdisk's code and the node agent from the control host to the module."""

    TRANSFERS_FILES = True
    _supports_check_mode = True
    _supports_diff = True

    def run(self, tmp: Any = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        arguments = dict(self._task.args)
        paths = arguments.pop("elements_path", None) or []
        if isinstance(paths, str):
            paths = paths.split(",")
        basedir = self._loader.get_basedir()
        paths = [os.path.join(basedir, os.path.expanduser(str(path).strip())) for path in paths]
        shell = self._connection._shell
        if not shell.tmpdir:
            self._make_tmp_path()
        with tempfile.TemporaryDirectory() as folder:
            try:
                agent = os.path.join(folder, "node-agent.pyz")
                build_zipapp(agent, str(COLLECTION))
                content = bundle.pack(
                    [*paths, str(COLLECTION / "elements")],
                    str(COLLECTION / "plugins" / "module_utils" / "_deploy"),
                    Path(agent).read_bytes(),
                )
            except TripleoError as error:
                raise AnsibleActionFail(str(error)) from error
            local = os.path.join(folder, "bundle.tar")
            Path(local).write_bytes(content)
            base: Any = self  # its methods have no types
            remote = base._transfer_file(local, shell.join_path(shell.tmpdir, "bundle.tar"))
            base._fixup_perms2((shell.tmpdir, remote))
        arguments["bundle"] = remote
        result.update(self._execute_module(module_args=arguments, task_vars=task_vars or {}))
        return result
