# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Power of many machines: of a plan's servers, or of nodes given inline."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Callable, Union

from .._bmc.errors import BmcError
from .._bmc.fanout import drive
from .._bmc.model import Access, Action, Power
from .._bmc.operations import PowerReport, change_power
from .targets import State, Target

Outcome = Union[PowerReport, BmcError]
# The first boot of a system that was written: its firmware takes minutes, then it reports for 15 minutes.
FIRST_BOOT_SECONDS = 1200.0


@dataclass(frozen=True)
class Request:
    """What is asked of the machines. wanted: a state or an action. timeout: seconds until it must be confirmed.

    restart: turning on begins anew with servers that were started under the plan and have not booted.
    alive: raises when no further machine may be touched.
    """

    wanted: Union[Power, Action]
    timeout: float
    check: bool
    locks: str
    restart: bool = False
    alive: Callable[[], None] = lambda: None

    @property
    def name(self) -> str:
        """In words, for errors."""
        return f"power {self.wanted.value}" if isinstance(self.wanted, Power) else f"action {self.wanted.value}"


def power_nodes(request: Request, accesses: Sequence[Access]) -> dict[str, Any]:
    """Do what is requested on all BMCs; the module's result."""
    outcomes = drive(
        accesses,
        change_power(request.wanted, timeout=request.timeout, check=request.check),
        name=request.name,
        locks=request.locks,
        timeout=request.timeout,
    )
    return summary(outcomes, len(accesses))


def due(wanted: Power | Action, targets: Sequence[Target]) -> list[Target]:
    """The servers that a request is for: turning on is only for those whose system has not booted under the plan."""
    return [target for target in targets if wanted is not Power.ON or not target.booted]


def begins_anew(request: Request, target: Target) -> bool:
    """Whether a machine that runs is power-cycled. A system in its first boot is not cut off, silent or not."""
    if request.wanted is not Power.ON:
        return False
    first_boot = target.written and time.time() - target.updated < FIRST_BOOT_SECONDS
    return not target.started or (request.restart and not first_boot)


def power_servers(
    request: Request,
    targets: Sequence[Target],
    accesses: Sequence[Access],
    state: State,
    plan: dict[str, Any],
    tell: Callable[[Target], None] = lambda target: None,
) -> dict[str, Any]:
    """Do what is requested on servers of a plan and record the stage of those that were started.

    It is `powered`, or still `written` for what has its image already; that it had failed is over.

    A machine that still runs what was there before the plan is power-cycled, because on means: started under the plan.
    tell: called for each server that is `powered` now.
    """
    by_node = {target.node: target for target in targets}

    def done(node: str, outcome: Outcome) -> None:
        target = by_node[node]
        starts = request.wanted in (Power.ON, Action.CYCLE, Action.RESET)
        if not (isinstance(outcome, PowerReport) and outcome.changed and starts) or request.check or target.booted:
            return
        stage = "written" if target.written else "powered"
        state.set_stage(plan["stack"], target.server, stage, plan=plan["hash"])
        if not target.written:
            tell(target)

    wanted: dict[str, Union[Power, Action]] = {
        target.node: Action.CYCLE if begins_anew(request, target) else request.wanted for target in targets
    }
    outcomes: dict[str, Outcome] = {}
    for kind in sorted(set(wanted.values()), key=lambda value: value.value):
        outcomes.update(
            drive(
                [access for access in accesses if wanted[access.node] is kind],
                change_power(kind, timeout=request.timeout, check=request.check),
                name=request.name,
                locks=request.locks,
                timeout=request.timeout,
                done=done,
                alive=request.alive,
            )
        )
    return summary(outcomes, len(targets))


def summary(outcomes: dict[str, Outcome], total: int) -> dict[str, Any]:
    """The result of a power module: totals, changed and failed nodes, and each node's power before and after."""
    good = {node: outcome for node, outcome in outcomes.items() if isinstance(outcome, PowerReport)}
    changed = sorted(node for node, outcome in good.items() if outcome.changed)
    return {
        "changed": bool(changed),
        "total": total,
        "changed_nodes": changed,
        "failed_nodes": [outcome.as_failure() for outcome in outcomes.values() if isinstance(outcome, BmcError)],
        "power": {
            node: {"before": outcome.before.value, "after": outcome.after.value} for node, outcome in good.items()
        },
        "diff": {
            "before": "".join(f"{node}: {good[node].before.value}\n" for node in changed),
            "after": "".join(f"{node}: {_after(good[node])}\n" for node in changed),
        },
    }


def _after(report: PowerReport) -> str:
    if report.command is None or report.command.value == f"power {report.after.value}":
        return report.after.value
    return f"{report.after.value} ({report.command.value})"
