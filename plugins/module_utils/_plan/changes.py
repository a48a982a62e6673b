# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How the documents of a plan differ from those of the stored one. They hold stand-ins, so no secret shows."""

from __future__ import annotations

import difflib
import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

MOST_LINES = 200


def document_changes(stored: Mapping[str, Any], plan: Mapping[str, Any]) -> dict[tuple[str, str, str], list[str]]:
    """Names of servers by (title, old name, new name) of a document that changes; an empty name where there is none."""
    found: dict[tuple[str, str, str], list[str]] = {}
    for path, server in sorted(plan["servers"].items()):
        before = _documents(stored["servers"].get(path))
        after = _documents(server)
        for title in dict.fromkeys([*before, *after]):
            old, new = before.get(title, ""), after.get(title, "")
            if old != new:
                found.setdefault((title, old, new), []).append(server["name"])
    return found


def _documents(server: Mapping[str, Any] | None) -> dict[str, str]:
    return {"metadata": server["metadata"], **dict(server["documents"])} if server else {}


def describe(
    stored: Mapping[str, Any], plan: Mapping[str, Any], read: Callable[[str], Any], documents: Mapping[str, Any]
) -> Iterator[str]:
    """Lines that show each change once, with the servers that it is for.

    read: the stored document of a name, None when it is lost. documents: the new ones by name.
    """
    lines: list[str] = []
    for (title, old, new), servers in document_changes(stored, plan).items():
        shown = ", ".join(servers[:5]) + (f" and {len(servers) - 5} more" if len(servers) > 5 else "")
        before, after = read(old) if old else {}, documents[new] if new else {}
        # The first two lines would name files.
        difference = list(difflib.unified_diff(_lines(before), _lines(after), n=2, lineterm=""))[2:]
        if before is None:
            difference = ["(the stored one is lost)"]
        if difference:
            lines += [f"  document {title} of {shown}:", *(f"    {line}" for line in difference)]
    yield from lines[:MOST_LINES]
    if len(lines) > MOST_LINES:
        yield f"  ... and {len(lines) - MOST_LINES} more lines of changed documents"


def describe_setup(
    servers: Mapping[str, Any], before: Mapping[str, Any], reasons: Mapping[str, str], read: Callable[[str], Any]
) -> str:
    """Which servers are configured and why, and how their documents change.

    servers: entries of a plan by path. before: entries with the documents that they have now. reasons: by name.
    """
    documents = {name: read(name) for server in servers.values() for name in _documents(server).values()}
    lines = [f"+ {name}: {reason}" for name, reason in sorted(reasons.items())]
    lines += describe({"servers": before}, {"servers": servers}, read, documents)
    return "\n".join(lines) + "\n"


def _lines(document: Any) -> list[str]:
    return json.dumps(document, indent=2, sort_keys=True).splitlines() if document else []
