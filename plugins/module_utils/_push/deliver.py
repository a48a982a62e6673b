# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""All servers of a stack, many at once: who has to be configured, the pushes, and what the state learns of them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any, Optional, Protocol

from .._errors import TripleoError
from .._node import offer
from .._node.mask import MASK, is_secret_key, mask, secrets_of
from .._node.metadata import canonical
from .._state.stages import Stage
from .batches import Batch, Rollout, batches
from .errors import PushError
from .ssh import Access, call_agent, watch_by_descriptors
from .targets import Target

STATUS_SECONDS = 300.0
SPARE_SECONDS = 120.0


class Recorder(Protocol):
    """Where progress goes; see `record.py`."""

    def step(self, target: Target, stage: Stage, step: str) -> None: ...

    def reached(self, target: Target, stage: Stage) -> None: ...

    def failed(self, target: Target, stage: Stage, error: TripleoError) -> None: ...

    def reported(self, target: Target, outputs: Mapping[str, Mapping[str, Any]]) -> None: ...


@dataclass(frozen=True)
class Settings:
    """access: how servers are reached. fill: puts secrets into a document. redact: takes them out of a text.

    Limits are seconds. Check mode asks all servers at once, whatever the rollout is.
    """

    access: Access
    fill: Callable[[Any], Any]
    redact: Callable[[str], str] = str
    fan_out: int = 50
    node_seconds: float = 1800.0
    health_seconds: float = 300.0
    force: bool = False
    check: bool = False
    rollout: Rollout = field(default_factory=Rollout)
    _filled: dict[int, Filled] = field(default_factory=dict)

    def filled(self, document: Any) -> Filled:
        """The document, filled in once however many servers have it. It must live as long as these settings."""
        if id(document) not in self._filled:
            whole = self.fill(document)
            text = canonical(whole)
            self._filled[id(document)] = Filled(text, sha256(text).hexdigest(), secrets_of(whole))
        return self._filled[id(document)]


@dataclass(frozen=True)
class Filled:
    """A document with its secrets in it: the text that travels, and what must not be shown."""

    text: bytes
    sha256: str
    secrets: Sequence[str]


@dataclass
class Outcome:
    """What became of one server. pushed: the agent ran, or in check mode would. reason: why.

    before: what its agent said of it first. outputs: of its deployments, by their ids. skipped: why it was not begun.
    rolled_back: the files of its last good generation are back.
    """

    target: Target
    pushed: bool = False
    changed: bool = False
    reason: str = ""
    before: Mapping[str, Any] = field(default_factory=dict)
    services: Mapping[str, bool] = field(default_factory=dict)
    outputs: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    skipped: str = ""
    rolled_back: bool = False
    error: Optional[TripleoError] = None


def deliver(
    chosen: Sequence[Target], settings: Settings, recorder: Recorder, alive: Callable[[], None]
) -> list[Outcome]:
    """Configure the servers batch by batch, at most fan_out at once. One that fails ends nothing that was begun.

    When a batch has lost more servers than it may, no further one is begun. alive is called each second and raises when
    the run must stop; then nothing more is begun, and that is raised.
    """
    return asyncio.run(_deliver(chosen, settings, recorder, alive))


async def _deliver(
    chosen: Sequence[Target], settings: Settings, recorder: Recorder, alive: Callable[[], None]
) -> list[Outcome]:
    watch_by_descriptors()
    work = asyncio.ensure_future(_in_batches(chosen, settings, recorder))
    try:
        while not work.done():
            await asyncio.wait({work}, timeout=1.0)
            alive()
        return work.result()
    finally:
        work.cancel()
        await asyncio.gather(work, return_exceptions=True)


async def _in_batches(chosen: Sequence[Target], settings: Settings, recorder: Recorder) -> list[Outcome]:
    outcomes = {target.server: Outcome(target) for target in chosen}
    names = list(outcomes)
    if settings.check:
        order = [Batch("all", names, 100.0)]
    else:
        due = [target.server for target in chosen if target.booted and target.known_digest != target.digest]
        order = batches(names, due, settings.rollout)
    skipped = ""
    for batch in order:
        part = [outcomes[name] for name in batch.servers]
        if skipped:
            for outcome in part:
                outcome.skipped = skipped
        else:
            skipped = await _batch(batch, part, settings, recorder)
    return list(outcomes.values())


async def _batch(batch: Batch, outcomes: Sequence[Outcome], settings: Settings, recorder: Recorder) -> str:
    """Work on the servers of a batch; why no further server may be begun, empty when one may."""
    gate = asyncio.Semaphore(settings.fan_out)

    def loss() -> str:
        failed = [outcome.target.server for outcome in outcomes if outcome.error]
        if not failed or not batch.lost(len(failed)):
            return ""
        return f"{len(failed)} of {len(outcomes)} servers of {batch.title} failed: {', '.join(failed[:3])}"

    async def one(outcome: Outcome) -> None:
        async with gate:
            outcome.skipped = loss()
            if not outcome.skipped:
                await _one(outcome, settings, recorder)

    await asyncio.gather(*map(one, outcomes))
    return loss()


async def _one(outcome: Outcome, settings: Settings, recorder: Recorder) -> None:
    target = outcome.target
    try:
        await _configure(outcome, settings, recorder)
    except TripleoError as error:
        outcome.error = error
        if not settings.check and target.booted:
            recorder.failed(target, Stage.BOOTED, error)
    if outcome.error:
        look = f"{outcome.error.next_step.rstrip('.')}, then " if outcome.error.next_step else ""
        outcome.error.next_step = f"{look}run: ansible-playbook tripleo.cloud.setup"


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
    if settings.check:
        await _look(outcome, settings)
        outcome.pushed = outcome.changed = bool(outcome.reason)
        return
    await _push(outcome, settings, recorder)


async def _look(outcome: Outcome, settings: Settings) -> None:
    """Ask a server what it is, and find out why it has to be pushed to."""
    target = outcome.target
    if target.known_digest is None:
        outcome.reason = "it was never configured"
        return

    def talk(line: Mapping[str, Any]) -> None:
        outcome.before = line

    await call_agent(settings.access, target.server, target.address, "status", b"", talk, STATUS_SECONDS)
    if "digest" not in outcome.before:
        raise PushError("its agent said nothing", node=target.server, operation="status")
    outcome.services = dict(outcome.before.get("services") or {})
    outcome.reason = offer.reason(outcome.before, target.digest, settings.force)


async def _push(outcome: Outcome, settings: Settings, recorder: Recorder) -> None:
    target = outcome.target
    documents = [(name, settings.filled(document)) for name, document in target.documents]
    entries = [offer.Entry(name, one.sha256, len(one.text)) for name, one in documents]
    texts = {one.sha256: one.text for _name, one in documents}
    secrets = sorted({secret for _name, one in documents for secret in one.secrets}, key=len, reverse=True)
    stage = Stage(target.stage)
    result: dict[str, Any] = {}
    last_step = "connect"

    def hide(text: str) -> str:
        return mask(settings.redact(text), secrets)

    def talk(line: Mapping[str, Any]) -> Optional[bytes]:
        nonlocal stage, last_step
        if "before" in line:
            outcome.before, outcome.reason = line["before"], str(line.get("reason") or "")
            outcome.pushed = bool(outcome.reason)
            if not outcome.pushed:
                return None
            stage = Stage.BOOTED
            return b"".join(texts[name] for name in line["need"])
        if "result" in line:
            result.update(line["result"])
        elif line.get("step") == "configured":
            stage = Stage.CONFIGURED
            recorder.reached(target, stage)
        elif line.get("step") != "healthy":
            name = "/".join(str(line[key]) for key in ("step", "script") if line.get(key))
            last_step = hide(name)
            recorder.step(target, stage, last_step)
        return None

    # The lock, the run, and the way back.
    seconds = 3 * settings.node_seconds + 2 * settings.health_seconds + SPARE_SECONDS
    opening = _opening(target, entries, settings)
    try:
        await call_agent(settings.access, target.server, target.address, "push", opening, talk, seconds)
        if not result:
            raise PushError("its agent ended without a result", node=target.server, operation="push")
    except PushError as error:
        error.message += f" (its last step: {last_step})"
        raise
    outcome.changed = bool(result.get("changed"))
    outcome.services = dict(result.get("services") or {})
    outcome.rolled_back = bool(result.get("rolled_back"))
    outcome.outputs = {
        name: {**report, "reason": hide(str(report["reason"])), "outputs": _private(report["outputs"], hide)}
        for name, report in (result.get("outputs") or {}).items()
    }
    recorder.reported(target, outcome.outputs)
    if result.get("healthy"):
        # A repair that changed no file (a restarted service) is a change too: what was sick is not any more.
        outcome.changed |= outcome.pushed and not outcome.before.get("healthy")
        if outcome.pushed or target.stage != Stage.HEALTHY.value or target.known_digest != target.digest:
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


def _opening(target: Target, entries: Sequence[offer.Entry], settings: Settings) -> bytes:
    """The first line of a push."""
    limits = {"run": settings.node_seconds, "health": settings.health_seconds, "lock": settings.node_seconds}
    listed = [[entry.name, entry.sha256, entry.size] for entry in entries]
    return (
        json.dumps({"offer": listed, "digest": target.digest, "force": settings.force, "limits": limits}).encode()
        + b"\n"
    )


def _private(value: Any, hide: Callable[[str], str]) -> Any:
    """A value without secrets: known ones, and what a telling key names."""
    if isinstance(value, str):
        return hide(value)
    if isinstance(value, dict):
        return {key: MASK if part and is_secret_key(key) else _private(part, hide) for key, part in value.items()}
    return [_private(part, hide) for part in value] if isinstance(value, list) else value
