# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What module files share: errors to fail_json, the batch arguments, the private file."""

from __future__ import annotations

import json
import os
import select
import signal
import threading
import time
from typing import Any, Callable

from ansible.module_utils.basic import AnsibleModule

from ._errors import Abandoned, TripleoError

GRACE = 10.0

STATE_SPEC: dict[str, Any] = {
    "state_dir": {"type": "path", "default": "/var/lib/tripleo-cloud"},
}

BATCH_SPEC: dict[str, Any] = {
    **STATE_SPEC,
    "stack": {"type": "str"},
    "plan": {"type": "str"},
    "only": {"type": "list", "elements": "str", "default": []},
    "run_id": {"type": "str"},
    "private_file": {"type": "path"},
}

# What check mode is told of the plan that `tripleo.cloud.deploy` would store first: `planned` of the module stack.
PLANNED_SPEC: dict[str, Any] = {"planned": {"type": "dict", "default": {}}}


def run(module: AnsibleModule, function: Callable[[], dict[str, Any]], grace: float = GRACE) -> None:
    """Exit with the function's result; turn a TripleoError into a failure that carries its parts.

    Entries of ``warnings`` in the result are shown to the user.
    grace: seconds that the function may take to end by `Abandoned`, when nobody waits for its result any more.
    """
    end_with_listener(grace)
    try:
        result = function()
    except TripleoError as error:
        module.fail_json(msg=str(error), failed_nodes=[error.as_failure()] if error.node else [])
    for warning in result.pop("warnings", ()):
        module.warn(warning)
    if result.get("failed_nodes"):
        failures = "; ".join(str(failure_error(entry)) for entry in result["failed_nodes"])
        module.fail_json(msg=failures, **result)
    module.exit_json(**result)


def end_with_listener(grace: float, output: int = 1) -> None:
    """End this process when nobody reads its output any more: ansible-playbook was killed, or the connection broke.

    The main thread gets `Abandoned`; after so many seconds of grace the process ends as it is.
    """
    listener = select.poll()
    listener.register(output, 0)
    if listener.poll(0):
        return  # There never was one.

    def abandon(_number: int, _frame: Any) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        raise Abandoned(1)

    def watch() -> None:
        listener.poll()
        if grace:
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(grace)
        os._exit(1)

    if grace:
        signal.signal(signal.SIGTERM, abandon)
    threading.Thread(target=watch, name="listener", daemon=True).start()


def failure_error(entry: dict[str, str]) -> TripleoError:
    """The error that an entry of ``failed_nodes`` came from."""
    return TripleoError(
        entry["cause"], node=entry["node"], operation=entry["operation"], next_step=entry.get("next_step", "")
    )


def load_private(module: AnsibleModule) -> dict[str, Any]:
    """Read the private file of a batch module and unlink it before anything else is done; without one {}."""
    path = module.params["private_file"]
    if not path:
        return {}
    try:
        with open(path, encoding="utf-8") as stream:
            os.unlink(path)
            loaded: dict[str, Any] = json.load(stream)
    except (OSError, ValueError) as error:
        # Not the decoder's own words, which may show what it read.
        reason = getattr(error, "strerror", None) or "it is cut off"
        module.fail_json(msg=f"the private file {path}: {reason}. Next: run the same command again")
    return loaded
