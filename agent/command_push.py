# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""``status`` and ``push``, as the Deployment cloud calls them over SSH."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Mapping
from typing import Any

from _node import metadata, paths, run
from _node.errors import NodeError

SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def status() -> int:
    """Print the node's status as one line of JSON."""
    _say(run.status(paths.from_environment(os.environ), _environment()))
    return 0


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
    result = run.push(paths.from_environment(os.environ), documents, digest, _environment(), _say, limits)
    _say({"result": result})
    return 0 if result["healthy"] else 1


def _environment() -> dict[str, str]:
    return {"HOME": "/root", "LC_ALL": "C.UTF-8", **os.environ, "PATH": os.environ.get("NODE_AGENT_PATH", SYSTEM_PATH)}


def _say(step: Mapping[str, Any]) -> None:
    try:
        sys.stdout.write(json.dumps(step) + "\n")
        sys.stdout.flush()
    except OSError:
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115 - lives as long as the process
