# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Servers that failed without saying so themselves: their BMCs did, or nothing was heard of them."""

from __future__ import annotations

from collections.abc import Mapping

from .._state.stages import Stage
from .._state.store import State
from . import events


def record_failures(state: State, stack: str, plan: str, run_id: str, causes: Mapping[str, str]) -> list[str]:
    """Write the failures into state and event file; the names of the servers that have failed now.

    causes: by server name. A server that is `written` stays so, for its image is proven. One that has booted, or
    belongs to another plan by now, has not failed.
    """
    records = state.servers(stack)
    failed = []
    for name, cause in sorted(causes.items()):
        record = records.get(name)
        if record is None or record.plan_hash != plan or Stage(record.stage).is_booted:
            continue
        stage = Stage.WRITTEN if Stage(record.stage) is Stage.WRITTEN else Stage.FAILED
        state.set_stage(stack, name, stage, plan=plan, cause=cause)
        events.append(state.state_dir, stack, run_id, plan, name, record.node, Stage.FAILED.value, cause=cause)
        failed.append(name)
    return failed


def record_overdue(
    state: State, stack: str, plan: str, run_id: str, overdue: Mapping[str, tuple[str, str, float]]
) -> None:
    """The same for servers that were silent for too long, whose machines are given longer next time.

    overdue: cause, stage and seconds of silence (0: it was not the reason) by server name.
    """
    nodes = {name: record.node for name, record in state.servers(stack).items()}
    for name in record_failures(state, stack, plan, run_id, {name: given[0] for name, given in overdue.items()}):
        _cause, stage, seconds = overdue[name]
        if seconds:
            state.learn(nodes[name], Stage(stage), seconds, failed=True)
