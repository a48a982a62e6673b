# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a preview knows of servers that it cannot ask: their plan is not stored yet, or what they have is history."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Optional

from .targets import documents_digest

# Stands for the name of a document that no plan names any more.
LOST = "lost"


def pending(plan: Mapping[str, Any], stored: Optional[Mapping[str, Any]]) -> dict[str, str]:
    """Why each server has to be configured once the plan is stored and carried out; servers that need not are left out.

    stored: the plan before it, None when there is none.
    """
    reasons = {}
    for path, server in plan["servers"].items():
        before = stored["servers"].get(path) if stored else None
        if server["action"] != "keep" or before is None:
            reasons[str(server["name"])] = "it is not booted yet"
        elif [server["metadata"], server["documents"]] != [before["metadata"], before["documents"]]:
            reasons[str(server["name"])] = "its documents differ"
    return reasons


def configured_with(
    plans: Sequence[Mapping[str, Any]], entries: Mapping[str, Mapping[str, Any]], had: Mapping[str, str]
) -> dict[str, Mapping[str, Any]]:
    """What servers of a plan have now, as entries of plans, by path; a server that has nothing is left out.

    plans: the stored ones, the newest first. entries: the servers, by path. had: digest of the documents of those that
    were asked, by name; of the others the newest plan is believed.
    """
    found = {}
    for path, entry in entries.items():
        digest = had.get(str(entry["name"]))
        versions = [plan["servers"][path] for plan in plans if path in plan["servers"]]
        if digest is None and versions:
            found[path] = versions[0]
        elif digest:
            lost = {"metadata": LOST, "documents": [[title, LOST] for title, _name in entry["documents"]]}
            found[path] = next((one for one in versions if documents_digest(one) == digest), lost)
    return found
