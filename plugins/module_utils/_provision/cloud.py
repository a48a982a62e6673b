# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the modules of phase 4 need of a stack: its address and its secrets."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .._plan.secrets import fill, stand_ins
from .._state.secrets import SecretStore
from .._state.store import State
from .errors import ProvisionError


def need_configured(state: State, stack: str) -> None:
    """Refuse to wait for the services of a stack whose servers were never configured."""
    if not any(record.config_digest for record in state.servers(stack).values()):
        raise ProvisionError(
            f"no server of stack {stack} was ever configured",
            operation="initialize",
            next_step="Run the playbook tripleo.cloud.setup, then this one. Nothing was touched.",
        )


def output(outputs: Mapping[str, Any], name: str) -> Any:
    """An output that must be there."""
    if not outputs.get(name):
        raise ProvisionError(
            f"the stack has no output {name}",
            operation="read the stack's outputs",
            next_step="Give the template this output, as templates/workload-heat-template.yml does.",
        )
    return outputs[name]


def outputs(plan: Mapping[str, Any], state_dir: str, stack: str, *, lenient: bool = False) -> dict[str, Any]:
    """The stack's outputs with their secrets filled in. lenient: what has no value yet keeps its stand-in."""
    found = plan.get("outputs") or {}
    later = {stand_in: stand_in for stand_in in stand_ins(found)} if lenient else {}
    filled: dict[str, Any] = fill(found, {**later, **SecretStore(state_dir, stack).values()})
    return filled
