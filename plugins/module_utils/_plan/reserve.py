# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which server goes to which node: all or nothing, the same answer every time, nobody starved."""

from __future__ import annotations

import re
from collections import Counter, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .errors import PlanError
from .flavors import Flavor, rejections


@dataclass(frozen=True)
class Request:
    """A server that needs a node. group: for messages; empty means the server's own name."""

    path: str
    name: str
    flavor: Flavor
    group: str = ""


def natural(text: str) -> list[tuple[int, Any]]:
    """Sort key that puts n2 before n10."""
    return [(0, int(part)) if part.isdigit() else (1, part) for part in re.split(r"(\d+)", text) if part]


def reserve(
    requests: Sequence[Request],
    hardware: Mapping[str, Mapping[str, Any]],
    held: Mapping[str, str],
    unavailable: Mapping[str, str],
) -> dict[str, str]:
    """A node for the path of every request.

    hardware: registered nodes by name. held: node by path, what this stack holds already; it is kept where it fits.
    unavailable: reason by node name. PlanError names what is missing when not all fit; then nothing is reserved.
    """
    chosen: dict[str, str] = {}
    for request in requests:
        node = held.get(request.path, "")
        if node in hardware and not any(rejections(request.flavor, hardware[node])):
            chosen[request.path] = node
    taken = set(chosen.values())
    free = sorted((name for name in hardware if name not in unavailable and name not in taken), key=natural)
    fitting = {
        name: [node for node in free if not any(rejections(flavor, hardware[node]))]
        for name, flavor in {request.flavor.name: request.flavor for request in requests}.items()
    }
    waiting = sorted(
        (request for request in requests if request.path not in chosen),
        key=lambda request: (len(fitting[request.flavor.name]), natural(request.path)),
    )
    matched = _match(waiting, fitting)
    missing = [request for request in waiting if request.path not in matched]
    if missing:
        raise PlanError(
            "; ".join(_shortages(missing, requests, chosen, fitting, hardware, unavailable)),
            operation="reserve nodes",
            next_step="Register more nodes, or ask for fewer servers. Nothing was reserved.",
        )
    return {**chosen, **matched}


def _match(waiting: Sequence[Request], fitting: Mapping[str, Sequence[str]]) -> dict[str, str]:
    """Node by path in a largest matching; each request that finds no free node moves others along a path to one."""
    holder: dict[str, Request] = {}
    holds: dict[str, str] = {}
    for request in waiting:
        came_from: dict[str, Request] = {}
        queue, end = deque([request]), ""
        while queue and not end:
            asking = queue.popleft()
            for node in fitting[asking.flavor.name]:
                if node not in came_from:
                    came_from[node] = asking
                    if node not in holder:
                        end = node
                        break
                    queue.append(holder[node])
        while end:
            asking = came_from[end]
            before = holds.get(asking.path, "")
            holder[end], holds[asking.path] = asking, end
            end = before
    return holds


def _shortages(
    missing: Sequence[Request],
    requests: Sequence[Request],
    chosen: Mapping[str, str],
    fitting: Mapping[str, Sequence[str]],
    hardware: Mapping[str, Mapping[str, Any]],
    unavailable: Mapping[str, str],
) -> list[str]:
    lines = []
    for title in dict.fromkeys(request.group or request.name for request in missing):
        members = [request for request in requests if (request.group or request.name) == title]
        flavor = members[0].flavor
        fit = len(fitting[flavor.name]) + sum(request.path in chosen for request in members)
        wants = ", ".join(f"{key.partition(':')[2] or key}={value}" for key, value in flavor.extra_specs.items())
        line = f"{title} wants {len(members)} with flavor {flavor.name}{f' ({wants})' if wants else ''}; {fit} fit"
        blocked = {
            node: unavailable[node]
            for node in sorted(hardware, key=natural)
            if node in unavailable and not any(rejections(flavor, hardware[node]))
        }
        if blocked:
            shown = ", ".join(f"{node} {reason}" for node, reason in list(blocked.items())[:5])
            line += f", {len(blocked)} more would fit but are not free: {shown}"
        reasons = Counter(reason for node in hardware for reason in list(rejections(flavor, hardware[node]))[:1])
        if reasons:
            line += "; not fitting: " + ", ".join(
                f"{count} because {reason}" for reason, count in reasons.most_common(3)
            )
        if fit >= len(members):
            line += "; others of the stack need the same nodes"
        lines.append(line)
    return lines
