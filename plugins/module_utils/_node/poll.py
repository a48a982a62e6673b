# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Polling, when it is on: the collectors of os-collect-config asked once, and what differs applied."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Any

from . import metadata, run, sources, store
from .collect import check_names, known_sources
from .options import Settings
from .paths import Paths
from .phases import Emit
from .sources import NotConfigured, Source, Unavailable


def poll(paths: Paths, using: Settings, environment: Mapping[str, str], emit: Emit) -> bool:
    """Ask each source once and apply their documents when they differ from those applied last; whether all went well.

    A source that has nothing now keeps what it gave last. Documents that were rolled back are not tried again.
    """
    memory = _load(paths.polled)
    request = sources.Request(memory.get("request"))
    kept, missing = _collect(using, request, memory.get("sources") or {})
    documents = list({str(name): content for found in kept.values() for name, content in found}.items())
    digest = metadata.digest(documents) if documents else ""
    memory = {**memory, "sources": kept, "request": request.known}
    # Before the run: a message of a queue comes once.
    _save(paths.polled, memory)
    if not documents:
        return False
    if digest != memory.get("applied"):
        told: list[Mapping[str, Any]] = []

        def watched(line: Mapping[str, Any]) -> None:
            told.append(line)
            emit(line)

        result = run.push(paths, documents, digest, environment, watched)
        emit({"result": result})
        if not result["healthy"] and not any(line.get("step") == "rollback" for line in told):
            return False
        _save(paths.polled, {**memory, "applied": digest})
    return not missing


def _collect(
    using: Settings, request: sources.Request, before: Mapping[str, Any]
) -> tuple[dict[str, Source], list[str]]:
    """What each source gives, or gave last; and the names of those that gave something once and do not now."""
    found: dict[str, Source] = {}
    missing = []
    check_names(using["collectors"])
    known = known_sources(request)
    for name in using["collectors"]:
        try:
            found[name] = known[name](using)
        except NotConfigured:
            continue
        except Unavailable:
            if before.get(name):
                found[name] = before[name]
                missing.append(name)
    return found, missing


def _load(path: str) -> dict[str, Any]:
    try:
        with open(path, "rb") as stream:
            found = json.loads(stream.read())
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _save(path: str, memory: Mapping[str, Any]) -> None:
    os.makedirs(os.path.dirname(path), mode=0o755, exist_ok=True)
    store.write_file(path, json.dumps(memory).encode())
