# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Follows the servers of a plan: one small process a second on the Deployment cloud, lines on the terminal here."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.utils.display import Display
from ansible_collections.tripleo.cloud.plugins.module_utils._module import failure_error
from ansible_collections.tripleo.cloud.plugins.module_utils._run.evidence import last_words
from ansible_collections.tripleo.cloud.plugins.module_utils._run.follow import (
    MOST_LINES,
    Follow,
    Follower,
    Overdue,
    failure,
)
from ansible_collections.tripleo.cloud.plugins.module_utils._run.limits import Limit
from ansible_collections.tripleo.cloud.plugins.plugin_utils._deployment import DeploymentAction
from ansible_collections.tripleo.cloud.plugins.plugin_utils._parent import with_parent

INTERVAL = 1.0
POLL = "ansible_collections.tripleo.cloud.plugins.module_utils._run.poll"
MOST_FAULTS = 5
display = Display()


class ActionModule(DeploymentAction):
    """deploy_wait: the module looks at the state, this follows the event file."""

    @with_parent()
    def run(self, tmp: Any = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        del tmp
        _validation, options = self.validate_argument_spec(
            argument_spec={
                "stage": {"type": "str", "default": "booted"},
                "timeout": {"type": "int", "default": 7200},
                "stage_timeout": {"type": "int", "default": 900},
                "listen": {"type": "int"},
                "evidence_for": {"type": "list", "elements": "str", "default": []},
                "overdue": {"type": "dict", "default": {}},
                "state_dir": {"type": "str", "default": "/var/lib/tripleo-cloud"},
                "stack": {"type": "str", "required": True},
                "plan": {"type": "str", "default": ""},
                "only": {"type": "list", "elements": "str", "default": []},
                "run_id": {"type": "str", "default": ""},
                "private_file": {"type": "str"},
                "nodes_file": {"type": "str"},
            }
        )
        seen = self._look(task_vars)
        if seen.get("failed") or self._task.check_mode or not seen["servers"]:
            result.update(seen)
            return result
        follower = Follower(
            options["stack"],
            options["plan"],
            options["stage"],
            seen["servers"],
            time.monotonic(),
            seen["look"]["times"],
            {
                name: {stage: Limit(*known) for stage, known in stages.items()}
                for name, stages in seen["look"]["limits"].items()
            },
        )
        before = {name for name, follow in follower.servers.items() if follower.done(follow)}
        overdue = self._follow(follower, options, seen["look"])
        reached = sorted(name for name, follow in follower.servers.items() if follower.done(follow))
        result.update(
            changed=bool(set(reached) - before),
            total=len(follower.servers),
            changed_nodes=[name for name in reached if name not in before],
            failed_nodes=[],
            servers={
                name: {"node": it.node, "stage": it.stage, "cause": it.cause, "seconds": it.seconds()}
                for name, it in follower.servers.items()
            },
        )
        if options["listen"] is not None:
            result["silent"] = follower.silent()
            return result
        failed = {follow.server: follow.cause for follow in follower.failed()}
        failed.update((name, it.cause) for name, it in overdue.items())
        if failed:
            known = self._evidence(failed, overdue if options["run_id"] else {}, task_vars)
            bmcs = seen["look"]["bmcs"]
            entries = []
            for name, cause in sorted(failed.items()):
                follow = follower.servers[name]
                cause += last_words(known.get(name, []), follow.stage) if name in overdue else ""
                entries.append(failure(follow, cause, bmcs.get(follow.node)))
            result.update(evidence=known, failed_nodes=entries)
            result.update(failed=True, msg="; ".join(str(failure_error(entry)) for entry in entries))
        return result

    def _look(self, task_vars: dict[str, Any] | None, **more: Any) -> dict[str, Any]:
        arguments = {name: value for name, value in self._task.args.items() if name != "nodes_file"} | more
        seen: dict[str, Any] = self._execute_module(
            module_name="tripleo.cloud.deploy_wait", module_args=arguments, task_vars=task_vars
        )
        return seen

    def _evidence(
        self, failed: Mapping[str, str], overdue: Mapping[str, Overdue], task_vars: dict[str, Any] | None
    ) -> dict[str, list[str]]:
        """Show and return what logs and consoles know of the first 16 servers that failed.

        overdue: servers that have not failed by themselves, with the cause; the state learns of it.
        """
        names = sorted(failed)[:MOST_LINES]
        looked = self._look(task_vars, evidence_for=names, overdue=dict(overdue))
        if looked.get("failed"):
            display.warning(f"what is known of the servers that failed could not be read: {looked.get('msg')}")
        found: dict[str, list[str]] = looked.get("evidence", {})
        for name in sorted(found):
            for line in found[name]:
                display.display(f"  {name}: {line}")
        return found

    def _follow(self, follower: Follower, options: Mapping[str, Any], look: Mapping[str, Any]) -> dict[str, Overdue]:
        """Follow until all have come or failed; why those count as failed that have not said so themselves."""
        began = time.monotonic()
        listen = options["listen"]
        offset, faults = int(look["offset"]), 0
        changed: list[Follow] = []
        told: set[str] = set()
        while True:
            for line in follower.lines(changed):
                display.display(f"  {line}")
            now = time.monotonic()
            if listen is not None:
                if now - began >= listen or not follower.silent():
                    return {}
            else:
                overdue = follower.overdue(now, options["stage_timeout"])
                if now - began > options["timeout"]:
                    overdue = follower.late(options["timeout"])
                for name in sorted(set(overdue) - told):
                    display.display(f"  {name}: {overdue[name].cause}")
                told = set(overdue)
                if len(overdue) == len(follower.pending()):
                    return overdue
            time.sleep(INTERVAL)
            try:
                offset, text = self._poll(options, look, offset)
                faults = 0
            except ConnectionError as error:
                faults += 1
                if faults == MOST_FAULTS:
                    raise AnsibleActionFail(f"reading the event file failed {faults} times: {error}") from error
                continue
            changed = follower.feed(text, time.monotonic())

    def _poll(self, options: Mapping[str, Any], look: Mapping[str, Any], offset: int) -> tuple[int, str]:
        """New lines of the event file and the offset to go on from; renews the lease on the way."""
        quote = self._connection._shell.quote
        words = [
            look["python"],
            "-B",
            "-m",
            POLL,
            options["state_dir"],
            options["stack"],
            options["run_id"],
            str(offset),
        ]
        command = " ".join(quote(word) for word in words)
        done = self._low_level_execute_command(f"PYTHONPATH={quote(look['library'])} {command}", sudoable=True)
        header, _newline, text = done["stdout"].partition("\n")
        try:
            answer = json.loads(header)
        except ValueError as error:
            raise ConnectionError(f"status {done['rc']}: {done.get('stderr') or done['stdout']}") from error
        if answer["error"]:
            raise AnsibleActionFail(answer["error"])
        return int(answer["offset"]), text
