# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One run of the agent: documents in, files rendered, phases run, services checked, told in a stream of steps."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Optional

from . import host_network, metadata, outputs, phases, store, touched
from .control import flat_mapping
from .errors import NodeError
from .files import Change
from .generations import Generation
from .managed import Managed
from .mask import mask, secrets_of
from .paths import Paths

HEALTH_SECONDS = 60.0
LARGEST_LOG = 4 * 1024 * 1024
_WAITING = {"step": "lock", "status": "waiting"}


@dataclass(frozen=True)
class Limits:
    """Seconds: for the whole run, for services to become healthy after the phases, for the lock."""

    run: float = 1800.0
    health: float = 300.0
    lock: float = 1800.0


def status(paths: Paths, environment: Mapping[str, str]) -> dict[str, Any]:
    """What the node is: the digest of its documents, its stage, whether its checks pass, and files that drifted.

    The digest is empty when the stored documents are not the ones that were pushed under it.
    """
    known = store.load_state(paths)
    intact = bool(known.digest) and store.content_digest(paths) == known.content
    cause = known.cause
    drift: list[str] = []
    services: dict[str, bool] = {}
    if intact:
        try:
            drift = [*host_network.drift(paths), *(change.path for change in _drift(paths, known))]
        except NodeError as error:
            cause = str(error)
    if intact and known.healthy:
        try:
            services = check_health(paths, environment, lambda step: None, 0.0)
        except NodeError as error:
            cause, services = str(error), {"health.d": False}
    return {
        "digest": known.digest if intact else "",
        "documents": list(known.documents),
        "stage": known.stage,
        "step": known.step,
        "cause": cause,
        "drift": drift,
        "services": services,
        "generation": known.generation,
        "rolled_back": known.rolled_back,
        "healthy": intact and known.healthy and not drift and all(services.values()),
    }


def push(
    paths: Paths,
    documents: Sequence[tuple[str, Any]],
    digest: str,
    environment: Mapping[str, str],
    emit: phases.Emit,
    limits: Optional[Limits] = None,
) -> dict[str, Any]:
    """Store the documents, apply them, and return the result that ends the stream.

    ``failed`` is None or a dictionary with step and cause; ``changed`` says that a document or a file differed.
    """
    limits = limits or Limits()
    secrets = secrets_of([document for _name, document in documents])
    told = _masked(emit, secrets)
    try:
        store.check_names(documents)
        with phases.locked(paths.lock, limits.lock, lambda: told(_WAITING)):
            return _Run(paths, digest, environment, told, limits).result(documents)
    except NodeError as error:
        return _result(digest, False, False, {}, "documents", mask(str(error), secrets))


def resume(
    paths: Paths, environment: Mapping[str, str], emit: phases.Emit, limits: Optional[Limits] = None
) -> Optional[dict[str, Any]]:
    """Carry the stored documents out again after a run that was cut off, or when files differ from them.

    None when there is nothing to do: all is as it was, the last run failed by itself, or the documents are not whole.
    """
    limits = limits or Limits()
    with phases.locked(paths.lock, limits.lock, lambda: emit(_WAITING)):
        known = store.load_state(paths)
        if not known.digest or known.cause or store.content_digest(paths) != known.content:
            return None
        context = _context(paths)
        if known.healthy and not _managed(paths).survey(context).changes and not host_network.drift(paths):
            return None
        documents = list(zip(known.documents, store.read_documents(paths)))
        return _Run(paths, known.digest, environment, _masked(emit, secrets_of(context)), limits).result(documents)


def _masked(emit: phases.Emit, secrets: Sequence[str]) -> phases.Emit:
    def told(step: Mapping[str, Any]) -> None:
        emit({key: mask(value, secrets) if isinstance(value, str) else value for key, value in step.items()})

    return told


class _Run:
    """The state of one run, which holds the lock."""

    def __init__(
        self, paths: Paths, digest: str, environment: Mapping[str, str], emit: phases.Emit, limits: Limits
    ) -> None:
        self.paths = paths
        self.digest = digest
        self.limits = limits
        self.deadline = time.monotonic() + limits.run
        self.changed = False
        self.outputs: dict[str, Any] = {}
        self.migrated: list[str] = []
        self.managed = _managed(paths)
        self.generation: Optional[Generation] = None
        self.before: touched.Services = {}
        self.environment = {
            **environment,
            "NODE_AGENT_CHANGED": paths.changed_files,
        }
        known = store.load_state(paths)
        self.state = store.State(digest=digest, generation=known.generation, rolled_back=known.rolled_back)
        self._emit = emit

    def emit(self, step: Mapping[str, Any]) -> None:
        if step.get("step") == "migration" and step.get("status") == "done":
            self.migrated.append(f"migration.d/{step['script']}")
        self._emit(step)

    def result(self, documents: Sequence[tuple[str, Any]]) -> dict[str, Any]:
        """Carry the run out."""
        _rotate(self.paths.log)
        step = "documents"
        try:
            self.save(stage="booted", step=step, documents=tuple(name for name, _document in documents))
            self.changed = store.store_documents(self.paths, documents)
            self.environment["OS_CONFIG_FILES"] = ":".join(store.stored_files(self.paths))
            self.save(step="phases", content=store.content_digest(self.paths))
            self.emit({"step": step, "status": "done", "changed": self.changed})
            step = "network"
            self.changed |= host_network.configure(_context(self.paths), self.paths, self.environment, self.emit)
            step = "phases"
            self.before = touched.services(self.environment)
            failure = phases.run_phases(
                self.paths.phases, self.environment, self.paths.log, self.emit, self.apply, self.deadline
            )
            if failure:
                step = f"{failure.phase}.d/{failure.script}"
                return self.go_back(step, f"{step} ended with status {failure.status}: {failure.output.strip()}", {})
            store.save_pending(self.paths, [])
            step = "health"
            self.save(stage="configured", step=step)
            self.emit({"step": "configured", "status": "done"})
            self.outputs = outputs_now(self.paths, self.environment)
            cause = outputs.failures(self.outputs)
            if cause:
                return self.go_back("outputs", cause, {})
            services, cause = self.health(self.environment)
            if cause:
                return self.go_back(step, cause, services)
        except NodeError as error:
            return self.go_back(step, str(error), {})
        store.commit_documents(self.paths)
        if self.generation:
            self.managed.generations.mark_good(self.generation)
        self.save(stage="healthy", step="", healthy=True)
        self.emit({"step": "healthy", "status": "done"})
        return self.told(True, services)

    def apply(self) -> None:
        """Render the templates, check what differs and swap it in."""
        self.emit({"step": "render", "status": "started"})
        with self.managed.generations.held():
            survey = self.managed.survey(_context(self.paths))
            changed = [change.path for change in survey.changes]
            number = self.managed.check(survey, self.environment)
            if number:
                self.emit({"step": "checks", "status": "done", "number": number})
            # Before the swap: a run that is killed after it must not forget what its services have to be told.
            store.save_pending(self.paths, list(dict.fromkeys([*store.pending_changes(self.paths), *changed])))
            self.generation = self.managed.swap(survey)
        self.changed |= bool(changed)
        self.save(generation=self.generation.number, rolled_back=False)
        self.emit({"step": "render", "status": "done", "files": changed, "missing": survey.missing})

    def health(self, environment: Mapping[str, str]) -> tuple[dict[str, bool], str]:
        """The health checks, and what is wrong; empty when nothing is."""
        services = check_health(self.paths, environment, self.emit, self.limits.health)
        sick = [name for name, healthy in services.items() if not healthy]
        failed = touched.failed_since(self.before, touched.services(self.environment))
        causes = [f"health checks fail: {', '.join(sick)}"] if sick else []
        causes += [f"services that this run touched failed: {', '.join(failed)}"] if failed else []
        return services, "; ".join(causes)

    def go_back(self, step: str, cause: str, services: Mapping[str, bool]) -> dict[str, Any]:
        """Bring the files of the last good generation back, when this run has swapped in others."""
        current = self.generation
        if current is None or current.good:
            return self.failed(step, cause, services)
        target = self.managed.generations.good_before(current.number)
        if target is None:
            return self.failed(step, f"{cause}; no earlier generation was good, so its files stay", services)
        self.emit({"step": "rollback", "status": "started", "generation": target.number})
        try:
            with self.managed.generations.held():
                changes = self.managed.generations.way_back(current, target)
                paths = [change.path for change in changes]
                store.save_pending(self.paths, list(dict.fromkeys([*store.pending_changes(self.paths), *paths])))
                self.managed.generations.go_back(changes, target)
            self.save(generation=target.number, rolled_back=True)
            failure = self.reconfigure()
        except NodeError as error:
            return self.failed(
                step, f"{cause}; generation {target.number} could not be brought back: {error}", services
            )
        self.emit({"step": "rollback", "status": "failed" if failure else "done", "files": paths})
        cause = f"{cause}; the files of generation {target.number} are back"
        if failure:
            cause += f", but {failure}"
        if self.migrated:
            cause += f"; what cannot go back: {', '.join(self.migrated)}"
        return self.failed(step, cause, services)

    def reconfigure(self) -> str:
        """Tell the services of the files that came back, with the documents of then; what still is wrong."""
        given = {
            **self.environment,
            "OS_CONFIG_FILES": ":".join(store.last_good_files(self.paths)),
            "NODE_AGENT_ROLLED_BACK": str(self.state.generation),
        }
        environment = phases.phase_environment(self.paths.phases, given)
        deadline = time.monotonic() + self.limits.run
        before = touched.services(self.environment)
        failure = phases.run_phase(
            "post-configure", self.paths.phases, environment, self.paths.log, self.emit, deadline
        )
        if failure:
            return f"post-configure.d/{failure.script} ended with status {failure.status}"
        store.save_pending(self.paths, [])
        self.before = before
        _services, cause = self.health(given)
        return cause

    def failed(self, step: str, cause: str, services: Mapping[str, bool]) -> dict[str, Any]:
        """The result of a run that did not get to its end."""
        secrets = secrets_of(_context_or_none(self.paths))
        cause = mask(cause, secrets)
        self.save(step=step, cause=cause)
        return self.told(False, services, step, cause)

    def told(self, healthy: bool, services: Mapping[str, bool], step: str = "", cause: str = "") -> dict[str, Any]:
        """The result that ends the stream."""
        return {
            **_result(self.digest, self.changed, healthy, services, step, cause),
            "generation": self.state.generation,
            "rolled_back": self.state.rolled_back,
            "outputs": self.outputs,
        }

    def save(self, **values: Any) -> None:
        self.state = replace(self.state, **values)
        store.save_state(self.paths, self.state)


def check_health(paths: Paths, environment: Mapping[str, str], emit: phases.Emit, patience: float) -> dict[str, bool]:
    """Run each check of ``health.d`` until it passes or patience seconds have gone; name to whether it passed."""
    folder = os.path.join(paths.phases, "health.d")
    checks = phases.list_scripts(folder)
    if not checks:
        return {}
    prepared = phases.phase_environment(paths.phases, environment)
    until = time.monotonic() + patience
    passed = dict.fromkeys(checks, False)
    while True:
        for name in [name for name in checks if not passed[name]]:
            limit = time.monotonic() + _health_seconds(os.path.join(folder, name))
            code, output = phases.run_logged([os.path.join(folder, name)], prepared, paths.log, limit)
            passed[name] = code == 0
            if passed[name]:
                emit({"step": "health", "script": name, "status": "done"})
            elif time.monotonic() >= until:
                emit({"step": "health", "script": name, "status": "failed", "output": output})
        if all(passed.values()) or time.monotonic() >= until:
            return passed
        time.sleep(min(2.0, max(0.0, until - time.monotonic())))


def outputs_now(paths: Paths, environment: Mapping[str, str]) -> dict[str, Any]:
    """What the deployments of the stored documents have reported, by their ids. Raises NodeError."""
    context = _context(paths)
    if not context.get("deployments"):
        return {}
    return outputs.collect(context, phases.phase_environment(paths.phases, environment))


def _health_seconds(check: str) -> float:
    """The time limit of a check: ``timeout`` of ``<check>.yaml`` beside it."""
    try:
        with open(f"{check}.yaml", encoding="utf-8") as stream:
            seconds = flat_mapping(stream.read(), f"{check}.yaml").get("timeout", HEALTH_SECONDS)
    except FileNotFoundError:
        return HEALTH_SECONDS
    except (OSError, UnicodeError) as error:
        raise NodeError(f"{check}.yaml cannot be read: {error}") from error
    if isinstance(seconds, bool) or not isinstance(seconds, int) or seconds <= 0:
        raise NodeError(f"{check}.yaml: timeout '{seconds}' is not a number of seconds")
    return float(seconds)


def _context(paths: Paths) -> dict[str, Any]:
    return metadata.merge(store.read_documents(paths))


def _context_or_none(paths: Paths) -> Optional[dict[str, Any]]:
    try:
        return _context(paths)
    except NodeError:
        return None


def _managed(paths: Paths) -> Managed:
    return Managed(paths.templates, paths.root, paths.state)


def _drift(paths: Paths, known: store.State) -> list[Change]:
    managed = _managed(paths)
    if known.rolled_back:
        return managed.generations.drift()
    return managed.survey(_context(paths)).changes


def _result(
    digest: str, changed: bool, healthy: bool, services: Mapping[str, bool], step: str = "", cause: str = ""
) -> dict[str, Any]:
    failed = {"step": step, "cause": cause} if step else None
    return {
        "changed": changed,
        "digest": digest,
        "healthy": healthy,
        "services": dict(services),
        "failed": failed,
    }


def _rotate(log: str) -> None:
    if os.path.exists(log) and os.path.getsize(log) > LARGEST_LOG:
        os.replace(log, f"{log}.1")
