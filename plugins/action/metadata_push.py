# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs the module metadata_push and, while it works, shows what the servers do from the event file."""

from __future__ import annotations

import contextlib
import copy
import json
import threading
import time
from collections.abc import Iterator
from typing import Any

from ansible.errors import AnsibleError
from ansible.utils.display import Display
from ansible_collections.tripleo.cloud.plugins.module_utils._run.follow import Follower
from ansible_collections.tripleo.cloud.plugins.plugin_utils._deployment import DeploymentAction
from ansible_collections.tripleo.cloud.plugins.plugin_utils._parent import with_parent

INTERVAL = 1.0
POLL = "ansible_collections.tripleo.cloud.plugins.module_utils._run.poll"
display = Display()


class ActionModule(DeploymentAction):
    """metadata_push: progress is a view; without it the module does the same."""

    @with_parent()
    def run(self, tmp: Any = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        del tmp
        # No BMC is talked to, so the batch group's nodes file stays here.
        arguments = {name: value for name, value in self._task.args.items() if name != "nodes_file"}
        with self._followed(task_vars):
            result.update(self._execute_module(module_args=arguments, task_vars=task_vars))
        return result

    @contextlib.contextmanager
    def _followed(self, task_vars: dict[str, Any] | None) -> Iterator[None]:
        """Show the events of the body's servers; nothing where there is nothing to follow."""
        given = self._task.args
        if self._task.check_mode or not given.get("plan"):
            yield
            return
        names = ("state_dir", "stack", "plan", "only")
        seen = self._execute_module(
            module_name="tripleo.cloud.deploy_wait",
            module_args={name: given[name] for name in names if name in given},
            task_vars=task_vars,
        )
        if seen.get("failed") or not seen.get("servers"):
            yield
            return
        ended = threading.Event()
        thread = threading.Thread(target=self._watcher()._watch, args=(seen, ended), name="follow", daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()

    def _watcher(self) -> ActionModule:
        """This plugin with a connection of its own: the module occupies the other one."""
        watcher = copy.copy(self)
        watcher._connection = copy.copy(self._connection)
        if watcher._connection.become:
            watcher._connection.set_become_plugin(copy.copy(watcher._connection.become))
        return watcher

    def _watch(self, seen: dict[str, Any], ended: threading.Event) -> None:
        given, look = self._task.args, seen["look"]
        follower = Follower(given["stack"], given["plan"], "healthy", seen["servers"], time.monotonic())
        offset = int(look["offset"])
        last = False
        while not last:
            last = ended.wait(INTERVAL)
            try:
                offset, text = self._poll(look, offset)
            except (AnsibleError, ValueError, KeyError) as error:
                display.vvv(f"metadata_push: the event file could not be read: {error}")
                continue
            for line in follower.lines(follower.feed(text, time.monotonic())):
                display.display(f"  {line}")

    def _poll(self, look: dict[str, Any], offset: int) -> tuple[int, str]:
        quote = self._connection._shell.quote
        state_dir = self._task.args.get("state_dir", "/var/lib/tripleo-cloud")
        # Without a run id the poll renews no lease: the module does.
        words = [look["python"], "-B", "-m", POLL, state_dir, self._task.args["stack"], "", str(offset)]
        command = " ".join(quote(word) for word in words)
        done = self._low_level_execute_command(f"PYTHONPATH={quote(look['library'])} {command}")
        header, _newline, text = done["stdout"].partition("\n")
        return int(json.loads(header)["offset"]), text
