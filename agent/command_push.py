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

from _node import metadata, paths, progress, run, store
from _node.errors import NodeError

STOPPED = 143
# What a run does then must come to its end; in the others' pauses nothing is half done.
_WHOLE, _PAUSES = ("swap", "rollback"), ("lock", "configured", "health")
SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def status() -> int:
    """Print the node's status as one line of JSON."""
    places = paths.from_environment(os.environ)
    _say({**run.status(places, environment()), "progress": progress.load(places, store.load_state(places))})
    return 0


class Teller:
    """Prints each step of a run, keeps the node's place, and ends the run at its next step after SIGTERM.

    A run that was ended so is as one that was cut off: the next one goes on with it.
    """

    def __init__(self) -> None:
        self.paths = paths.from_environment(os.environ)
        self._place = progress.begun()
        self._stopped = self._paused = False
        signal.signal(signal.SIGTERM, self._stop)

    def take(self, line: Mapping[str, Any]) -> None:
        """Tell one step, or the result."""
        _say(line)
        self._paused = line.get("step") in _PAUSES
        if line.get("step") != "lock":
            self._place = progress.after(self._place, line)
            progress.save(self.paths, self._place)
        if self._stopped and line.get("step") not in _WHOLE and "result" not in line:
            raise SystemExit(STOPPED)

    def _stop(self, *_signal: object) -> None:
        self._stopped = True
        if self._paused:
            raise SystemExit(STOPPED)


def push() -> int:
    """Apply the documents on standard input; print each step and then the result. 0 when the node is healthy."""
    # A caller that goes away must not end a run in its middle; the lock makes the next one wait.
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    payload = metadata.parse(sys.stdin.buffer.read(metadata.MAX_BYTES + 1), "the payload")
    try:
        documents = [(str(name), document) for name, document in payload["documents"]]
        digest = str(payload["digest"])
        given = {key: float(value) for key, value in (payload.get("limits") or {}).items()}
        limits = run.Limits(**given)
    except (KeyError, TypeError, ValueError) as error:
        raise NodeError('the payload is not {"documents": [[name, document], ...], "digest": ...}') from error
    teller = Teller()
    result = run.push(teller.paths, documents, digest, environment(), teller.take, limits)
    teller.take({"result": result})
    return 0 if result["healthy"] else 1


def environment() -> dict[str, str]:
    """What scripts find in their environment, however the agent was started."""
    return {"HOME": "/root", "LC_ALL": "C.UTF-8", **os.environ, "PATH": os.environ.get("NODE_AGENT_PATH", SYSTEM_PATH)}


def _say(step: Mapping[str, Any]) -> None:
    try:
        sys.stdout.write(json.dumps(step) + "\n")
        sys.stdout.flush()
    except OSError:
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115 - lives as long as the process
