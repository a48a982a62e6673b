# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A plan as an operator reads it before consenting."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any

from .changes import describe
from .plan import Planned
from .secrets import UNKNOWN


def preview(
    planned: Planned,
    stored: Mapping[str, Any] | None = None,
    read: Callable[[str], Any] = lambda name: None,
    due: Collection[str] | None = None,
) -> str:
    """Which server goes to which node, which disk is overwritten, what it holds, and what configures it otherwise.

    stored: the plan before this one. read: a stored document by its name, None when it is lost. due: the servers that
    are booted now, all that are to do by default.
    """
    plan, due = planned.plan, planned.to_do if due is None else due
    lines = [f"stack {plan['stack']}, plan {plan['serial']}, hash {plan['hash']}"]
    if not planned.to_do and not planned.is_new:
        return lines[0] + "\nnothing to do: every server is deployed as planned\n"
    for path in sorted(plan["servers"]):
        server = plan["servers"][path]
        writes = server["name"] in due
        lines.append(f"{'+' if writes else ' '} {server['name']} ({path}) -> node {server['node']}")
        for network, addresses in sorted(server["networks"].items()):
            lines.append(f"    {network}: {', '.join(addresses)}")
        earlier = (stored or {"servers": {}})["servers"].get(path, server)["node"]
        if earlier != server["node"]:
            lines.append(f"    moves from node {earlier}: switch that machine off, it may have the server's address")
        if writes:
            lines.append(
                f"    image {server['image']} {_short(server['image_sha256'])}, build {_short(server['build_id'])}"
            )
            lines.append(f"    OVERWRITES {_disk(server['disk'])}")
            lines.append("    POWER-CYCLES the machine if it is running")
        elif server["name"] in planned.to_do:
            lines.append("    not deployed yet, and not asked for; its disk is not touched")
        else:
            lines.append("    deployed; its disk is not touched")
        titles = ", ".join(f"{title} {_short(name)}" for title, name in server["documents"])
        lines.append(f"    documents: {titles or 'none'}")
    for path, port in sorted(plan["ports"].items()):
        lines.append(f"  {path}: {port['address']} in {port['network']}")
    if stored is not None and planned.is_new:
        lines += describe(stored, plan, read, planned.documents)
    return "\n".join(lines) + "\n"


def _disk(disk: Mapping[str, Any]) -> str:
    hints = ", ".join(f"{key} {value}" for key, value in sorted(disk["hints"].items()))
    named = f"the disk with {hints}" if hints else "the only disk"
    return f"{named}, which holds {disk['holds']}" if disk["holds"] else f"{named} (what it holds is not known yet)"


def _short(digest: str) -> str:
    return UNKNOWN if digest.startswith(UNKNOWN) else digest.rpartition(":")[2][:12]
