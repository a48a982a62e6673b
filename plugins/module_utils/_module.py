# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What module files share: errors to fail_json, the batch arguments, the private file."""

from __future__ import annotations

import json
import os
from typing import Any, Callable

from ansible.module_utils.basic import AnsibleModule

from ._errors import TripleoError

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


def run(module: AnsibleModule, function: Callable[[], dict[str, Any]]) -> None:
    """Exit with the function's result; turn a TripleoError into a failure that carries its parts."""
    try:
        result = function()
    except TripleoError as error:
        module.fail_json(msg=str(error), failed_nodes=[error.as_failure()] if error.node else [])
    if result.get("failed_nodes"):
        failures = "; ".join(str(failure_error(entry)) for entry in result["failed_nodes"])
        module.fail_json(msg=failures, **result)
    module.exit_json(**result)


def failure_error(entry: dict[str, str]) -> TripleoError:
    """The error that an entry of ``failed_nodes`` came from."""
    return TripleoError(
        entry["cause"], node=entry["node"], operation=entry["operation"], next_step=entry.get("next_step", "")
    )


def load_private(path: str | None) -> dict[str, Any]:
    """Read the private file of a batch module and unlink it before anything else is done; no path gives {}."""
    if not path:
        return {}
    with open(path, encoding="utf-8") as stream:
        os.unlink(path)
        loaded: dict[str, Any] = json.load(stream)
    return loaded
