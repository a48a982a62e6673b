# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Brings elements to the Deployment cloud, and shows what the builds do while they run."""

from __future__ import annotations

import contextlib
import os
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleActionFail, AnsibleError
from ansible.utils.display import Display
from ansible_collections.tripleo.cloud.plugins.module_utils._errors import TripleoError
from ansible_collections.tripleo.cloud.plugins.module_utils._image import bundle
from ansible_collections.tripleo.cloud.plugins.module_utils._image.report import progress
from ansible_collections.tripleo.cloud.plugins.module_utils._node_zipapp import build_zipapp
from ansible_collections.tripleo.cloud.plugins.module_utils._plan.secrets import UNKNOWN
from ansible_collections.tripleo.cloud.plugins.plugin_utils._deployment import DeploymentAction
from ansible_collections.tripleo.cloud.plugins.plugin_utils._parent import with_parent

COLLECTION = Path(__file__).resolve().parents[2]
INTERVAL = 5.0
display = Display()


class ActionModule(DeploymentAction):
    """image_build with the elements, the ramdisk's code and the node agent of the control host."""

    TRANSFERS_FILES = True
    _supports_diff = True

    @with_parent()
    def run(self, tmp: Any = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        arguments = dict(self._task.args)
        paths = arguments.pop("elements_path", None) or []
        if isinstance(paths, str):
            paths = paths.split(",")
        if self.is_here:
            # The default is the apt configuration of the Deployment cloud, not of the control host.
            arguments["apt_lines"] = arguments.get("apt_lines") or [UNKNOWN]
        basedir = self._loader.get_basedir()
        arguments["bundle"] = self._send(
            self._gather([os.path.join(basedir, os.path.expanduser(str(path).strip())) for path in paths])
        )
        with self._shown(arguments):
            result.update(self._execute_module(module_args=arguments, task_vars=task_vars or {}))
        for image in result.get("images", []):
            if image["action"] == "build" and not self._task.check_mode:
                display.display(f"  {image['name']}: built in {image['seconds']} s ({image['reason']})")
        return result

    def _gather(self, paths: list[str]) -> bytes:
        with tempfile.TemporaryDirectory() as folder:
            agent = os.path.join(folder, "node-agent.pyz")
            try:
                build_zipapp(agent, str(COLLECTION))
                return bundle.pack(
                    [*paths, str(COLLECTION / "elements")],
                    str(COLLECTION / "plugins" / "module_utils" / "_deploy"),
                    Path(agent).read_bytes(),
                )
            except TripleoError as error:
                raise AnsibleActionFail(str(error)) from error

    def _send(self, content: bytes) -> str:
        base: Any = self  # its methods have no types
        shell = self._connection._shell
        if not shell.tmpdir:
            base._make_tmp_path()
        with tempfile.TemporaryDirectory() as folder:
            local = os.path.join(folder, "bundle.tar")
            Path(local).write_bytes(content)
            remote: str = base._transfer_file(local, shell.join_path(shell.tmpdir, "bundle.tar"))
        base._fixup_perms2((shell.tmpdir, remote))
        return remote

    @contextlib.contextmanager
    def _shown(self, arguments: dict[str, Any]) -> Iterator[None]:
        """Show each image's step every few seconds, read from the logs that are newer than the bundle."""
        ended = threading.Event()
        state_dir = str(arguments.get("state_dir") or "/var/lib/tripleo-cloud")
        images = arguments.get("images")
        names = [str(image.get("name")) for image in images if isinstance(image, dict)] if images else []
        watcher = threading.Thread(target=self._watch, args=(ended, names, state_dir, arguments["bundle"]), daemon=True)
        if names and not self._task.check_mode:
            watcher.start()
        try:
            yield
        finally:
            ended.set()
            if watcher.ident:
                watcher.join()

    def _watch(self, ended: threading.Event, names: list[str], state_dir: str, bundle_path: str) -> None:
        base: Any = self
        shell = self._connection._shell
        last: dict[str, str] = {}
        while not ended.wait(INTERVAL):
            for name in names:
                log = shell.quote(shell.join_path(state_dir, "log", f"image-{name}.log"))
                newer = f"[ {log} -nt {shell.quote(bundle_path)} ]"
                with contextlib.suppress(AnsibleError, OSError):
                    done = base._low_level_execute_command(f"{newer} && tail -c 4000 {log} || true")
                    step = progress(done.get("stdout", ""))
                    if step and step != last.get(name):
                        display.display(f"  {name}: {step}")
                        last[name] = step
