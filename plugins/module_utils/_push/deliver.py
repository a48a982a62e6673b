# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""All servers of a stack, many at once: who has to be configured, the pushes, and what the state learns of them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Optional, Protocol

from .._errors import TripleoError
from .._node.mask import mask, secrets_of
from .._state.stages import Stage
from .errors import PushError
from .ssh import Access, call_agent
from .targets import Target

STATUS_SECONDS = 300.0
SPARE_SECONDS = 120.0


class Recorder(Protocol):
    """Where progress goes; see `record.py`."""

    def step(self, target: Target, stage: Stage, step: str) -> None: ...

    def reached(self, target: Target, stage: Stage) -> None: ...

    def failed(self, target: Target, stage: Stage, error: TripleoError) -> None: ...


@dataclass(frozen=True)
class Settings:
    """access: how servers are reached. fill: puts secrets into a document. redact: takes them out of a text.

    Limits are seconds.
    """

    access: Access
    fill: Callable[[Any], Any]
    redact: Callable[[str], str] = str
    fan_out: int = 50
    node_seconds: float = 1800.0
    health_seconds: float = 300.0
    force: bool = False
    check: bool = False


@dataclass
class Outcome:
    """What became of one server. pushed: the agent ran, or in check mode would. reason: why."""

    target: Target
    pushed: bool = False
    changed: bool = False
    reason: str = ""
    before: Mapping[str, Any] = field(default_factory=dict)
    services: Mapping[str, bool] = field(default_factory=dict)
    error: Optional[TripleoError] = None


def deliver(
    chosen: Sequence[Target], settings: Settings, recorder: Recorder, alive: Callable[[], None]
) -> list[Outcome]:
    """Configure the servers, at most fan_out at once; one that fails does not stop the others.

    alive is called each second and raises when the run must stop; then nothing more is begun, and that is raised.
    """
    return asyncio.run(_deliver(chosen, settings, recorder, alive))


async def _deliver(
    chosen: Sequence[Target], settings: Settings, recorder: Recorder, alive: Callable[[], None]
) -> list[Outcome]:
    gate = asyncio.Semaphore(settings.fan_out)

    async def one(target: Target) -> Outcome:
        async with gate:
            return await _one(target, settings, recorder)

    work = asyncio.gather(*(one(target) for target in chosen))
    try:
        while not work.done():
            await asyncio.wait({work}, timeout=1.0)
            alive()
        return list(work.result())
    finally:
        work.cancel()
        await asyncio.gather(work, return_exceptions=True)


async def _one(target: Target, settings: Settings, recorder: Recorder) -> Outcome:
    outcome = Outcome(target)
    try:
        await _configure(outcome, settings, recorder)
    except TripleoError as error:
        outcome.error = error
        if not settings.check and target.booted:
            recorder.failed(target, Stage.BOOTED, error)
    if outcome.error:
        look = f"{outcome.error.next_step.rstrip('.')}, then " if outcome.error.next_step else ""
        outcome.error.next_step = f"{look}run: ansible-playbook tripleo.cloud.setup"
    return outcome


async def _configure(outcome: Outcome, settings: Settings, recorder: Recorder) -> None:
    target = outcome.target
    if not target.booted:
        if settings.check:
            outcome.pushed, outcome.changed, outcome.reason = True, True, "it is not booted yet"
            return
        raise PushError(
            f"it is not booted but {target.stage}",
            node=target.server,
            operation="configure",
            next_step="run: ansible-playbook tripleo.cloud.deploy",
        )
    outcome.reason = await _reason(outcome, settings)
    if not outcome.reason:
        recorded = target.stage == Stage.HEALTHY.value and target.known_digest == target.digest
        if not recorded and not settings.check:
            recorder.reached(target, Stage.HEALTHY)
        return
    outcome.pushed = True
    if settings.check:
        outcome.changed = True
        return
    await _push(outcome, settings, recorder)


async def _reason(outcome: Outcome, settings: Settings) -> str:
    """Why the server has to be pushed to; empty when it is healthy with these documents."""
    target = outcome.target
    if target.known_digest is None:
        return "it was never configured"
    lines: list[Mapping[str, Any]] = []
    await call_agent(settings.access, target.server, target.address, "status", b"", lines.append, STATUS_SECONDS)
    if not lines:
        raise PushError("its agent said nothing", node=target.server, operation="status")
    outcome.before = lines[-1]
    outcome.services = dict(outcome.before.get("services") or {})
    if outcome.before.get("digest") != target.digest:
        return "its documents differ" if outcome.before.get("digest") else "it was never configured"
    if outcome.before.get("drift"):
        return f"files differ: {', '.join(map(str, outcome.before['drift']))}"
    if not outcome.before.get("healthy"):
        sick = [name for name, healthy in outcome.services.items() if not healthy]
        return f"not healthy: {', '.join(sick)}" if sick else "its last run did not end well"
    return "force" if settings.force else ""


async def _push(outcome: Outcome, settings: Settings, recorder: Recorder) -> None:
    target = outcome.target
    documents = [[name, settings.fill(document)] for name, document in target.documents]
    secrets = secrets_of([document for _name, document in documents])

    def hide(text: str) -> str:
        return mask(settings.redact(text), secrets)

    limits = {"run": settings.node_seconds, "health": settings.health_seconds, "lock": settings.node_seconds}
    payload = json.dumps({"documents": documents, "digest": target.digest, "limits": limits}).encode()
    stage = Stage.BOOTED
    result: dict[str, Any] = {}

    def take(line: Mapping[str, Any]) -> None:
        nonlocal stage
        if "result" in line:
            result.update(line["result"])
        elif line.get("step") == "configured":
            stage = Stage.CONFIGURED
            recorder.reached(target, stage)
        elif line.get("step") != "healthy":
            name = "/".join(str(line[key]) for key in ("step", "script") if line.get(key))
            recorder.step(target, stage, hide(name))

    recorder.step(target, stage, "connect")
    seconds = 2 * settings.node_seconds + settings.health_seconds + SPARE_SECONDS
    await call_agent(settings.access, target.server, target.address, "push", payload, take, seconds)
    if not result:
        raise PushError("its agent ended without a result", node=target.server, operation="push")
    outcome.changed = bool(result.get("changed"))
    outcome.services = dict(result.get("services") or {})
    if result.get("healthy"):
        # A repair that changed no file (a restarted service) is a change too: what was sick is not any more.
        outcome.changed |= bool(outcome.before) and not outcome.before.get("healthy")
        recorder.reached(target, Stage.HEALTHY)
        return
    failed = result.get("failed") or {}
    outcome.error = PushError(
        hide(str(failed.get("cause") or "it is not healthy")),
        node=target.server,
        operation=str(failed.get("step") or "push"),
        next_step=f"read /var/log/node-agent.log there (ssh -i {settings.access.key} {settings.access.user}"
        f"@{target.address})",
    )
    recorder.failed(target, stage, outcome.error)
