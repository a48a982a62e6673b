# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the state and the event file learn while servers are configured."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .._errors import TripleoError
from .._run import events
from .._state.stages import Stage
from .._state.store import State
from .targets import Target


@dataclass(frozen=True)
class StateRecorder:
    """Writes steps to the event file, stages to both. A failed set-up leaves its server booted: its disk is good."""

    state: State
    stack: str
    plan: str
    run: str

    def step(self, target: Target, stage: Stage, step: str) -> None:
        """Tell what the server is doing within a stage."""
        self._event(target, stage.value, step=step)

    def reached(self, target: Target, stage: Stage) -> None:
        """Tell and store a stage."""
        if stage is Stage.HEALTHY:
            self.state.set_healthy(self.stack, target.server, target.digest, plan=self.plan)
        else:
            self.state.set_stage(self.stack, target.server, stage, plan=self.plan)
        self._event(target, stage.value)

    def failed(self, target: Target, stage: Stage, error: TripleoError) -> None:
        """Tell the failure; store the stage that holds, with the cause."""
        self.state.set_stage(self.stack, target.server, stage, plan=self.plan, cause=error.message)
        self._event(target, Stage.FAILED.value, cause=error.message)

    def reported(self, target: Target, outputs: Mapping[str, Mapping[str, Any]]) -> None:
        """Store what the server's deployments reported."""
        self.state.set_deployments(self.stack, target.server, outputs)

    def _event(self, target: Target, stage: str, **details: str) -> None:
        events.append(
            self.state.state_dir, self.stack, self.run, self.plan, target.server, target.node, stage, **details
        )
