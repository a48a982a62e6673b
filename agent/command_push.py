# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""``status`` and ``push``, as the Deployment cloud calls them over SSH, and how every run is told and stopped."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Mapping
from typing import Any

from _node import metadata, offer, paths, progress, run, store
from _node.errors import NodeError

STOPPED = 143
# In these pauses of a run nothing is half done.
_PAUSES = ("lock", "configured", "health")
SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def status() -> int:
    """Print the node's status as one line of JSON."""
    places = paths.from_environment(os.environ)
    _say({**run.status(places, environment()), "progress": progress.load(places, store.load_state(places))})
    return 0


class Teller:
    """Prints each step of a run, keeps the node's place, and ends the run at its next step after SIGTERM.

    A run that was ended so is as one that was cut off: the next one goes on with it. A rollback comes to its end.
    """

    def __init__(self) -> None:
        self.paths = paths.from_environment(os.environ)
        self._place = progress.begun()
        self._stopped = self._paused = self._returning = False
        signal.signal(signal.SIGTERM, self._stop)

    def take(self, line: Mapping[str, Any]) -> None:
        """Tell one step, or the result."""
        _say(line)
        self._returning |= line.get("step") == "rollback"
        self._paused = line.get("step") in _PAUSES and not self._returning
        if line.get("step") != "lock":
            self._place = progress.after(self._place, line)
            progress.save(self.paths, self._place)
        if self._stopped and not self._returning and "result" not in line:
            raise SystemExit(STOPPED)

    def _stop(self, *_signal: object) -> None:
        self._stopped = True
        if self._paused:
            raise SystemExit(STOPPED)


def push() -> int:
    """Apply the documents on standard input; print each step and then the result. 0 when the node is healthy.

    The first line is JSON: the documents themselves, or an offer, to which the node answers what it lacks.
    """
    # A caller that goes away must not end a run in its middle; the lock makes the next one wait.
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    payload = metadata.parse(sys.stdin.buffer.readline(metadata.MAX_BYTES + 1), "the payload")
    try:
        limits = run.Limits(**{key: float(value) for key, value in (payload.get("limits") or {}).items()})
        if "offer" not in payload:
            documents, digest = [(str(name), document) for name, document in payload["documents"]], payload["digest"]
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise NodeError('the payload is not {"documents": [[name, document], ...], "digest": ...}') from error
    if "offer" in payload:
        given = offer.parse(payload)
        documents, digest = _agree(paths.from_environment(os.environ), given), given.digest
        if documents is None:
            return 0
    teller = Teller()
    result = run.push(teller.paths, documents, str(digest), environment(), teller.take, limits)
    teller.take({"result": result})
    return 0 if result["healthy"] else 1


def _agree(places: paths.Paths, given: offer.Offer) -> list[tuple[str, Any]] | None:
    """Say why the node has to run and which documents it lacks, and read them; None when it has not, which is told."""
    known = store.load_state(places).digest
    before = run.status(places, environment()) if known == given.digest else {"digest": known}
    why = offer.reason(before, given.digest, given.force)
    if not why:
        _say({"before": before})
        result = {"changed": False, "digest": given.digest, "healthy": True, "services": before["services"]}
        _say({"result": {**result, "failed": None, "outputs": run.outputs_now(places, environment())}})
        return None
    texts = offer.held(places, given.entries)
    missing = offer.lacking(given.entries, texts)
    _say({"before": before, "reason": why, "need": [one.sha256 for one in missing]})
    texts.update(offer.receive(sys.stdin.buffer, missing))
    return [(one.name, metadata.parse(texts[one.sha256], one.name)) for one in given.entries]


def environment() -> dict[str, str]:
    """What scripts find in their environment, however the agent was started."""
    return {"HOME": "/root", "LC_ALL": "C.UTF-8", **os.environ, "PATH": os.environ.get("NODE_AGENT_PATH", SYSTEM_PATH)}


def _say(step: Mapping[str, Any]) -> None:
    try:
        sys.stdout.write(json.dumps(step) + "\n")
        sys.stdout.flush()
    except OSError:
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115 - lives as long as the process
