# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which server goes to which node: all or nothing, the same answer every time, nobody starved."""

from __future__ import annotations

import re
from collections import Counter, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from .errors import PlanError
from .flavors import Flavor, rejections

# The command that lets plans choose nodes again.
CLEAR = "ansible-playbook tripleo.cloud.maintenance -e names={} -e maintenance=false"


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
    aside: Mapping[str, str] = MappingProxyType({}),
) -> dict[str, str]:
    """A node for the path of every request.

    hardware: registered nodes by name. held: node by path, what this stack holds already; it is kept where it fits.
    unavailable: reason by node name. aside: the same of nodes that an operator can give free again.
    PlanError names what is missing when not all fit; then nothing is reserved.
    """
    unavailable = {**aside, **unavailable}
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
            next_step="Register more nodes, or ask for fewer servers" + _clearing(missing, hardware, aside) + "."
            " Nothing was reserved.",
        )
    return {**chosen, **matched}


def _clearing(missing: Sequence[Request], hardware: Mapping[str, Mapping[str, Any]], aside: Mapping[str, str]) -> str:
    """How the nodes that would fit are given free again, as the end of a sentence; empty when there are none."""
    fitting = sorted(
        (node for node in aside if any(not any(rejections(one.flavor, hardware[node])) for one in missing)),
        key=natural,
    )
    if not fitting:
        return ""
    return f", or give free what works again: {CLEAR.format(','.join(fitting))}"


def _match(waiting: Sequence[Request], fitting: Mapping[str, Sequence[str]]) -> dict[str, str]:
    """Node by path in a largest matching.

    Nodes that the same flavors fit are of one kind; what is matched is how many nodes of a kind a flavor takes. So
    the effort grows with the kinds and flavors, not with the square of the servers.
    """
    asking: dict[str, list[Request]] = {}
    for request in waiting:
        asking.setdefault(request.flavor.name, []).append(request)
    fits: dict[str, tuple[str, ...]] = {}
    for flavor in asking:
        for node in fitting[flavor]:
            fits[node] = (*fits.get(node, ()), flavor)
    kinds: dict[tuple[str, ...], list[str]] = {}
    for node in sorted(fits, key=natural):
        kinds.setdefault(fits[node], []).append(node)
    takes = _flow({flavor: len(requests) for flavor, requests in asking.items()}, kinds)
    holds: dict[str, str] = {}
    for flavor, requests in asking.items():
        nodes: list[str] = []
        for kind, count in takes[flavor].items():
            nodes += kinds[kind][:count]
            del kinds[kind][:count]
        holds.update(zip((request.path for request in requests), sorted(nodes, key=natural)))
    return holds


def _flow(
    wanted: Mapping[str, int], kinds: Mapping[tuple[str, ...], Sequence[str]]
) -> dict[str, dict[tuple[str, ...], int]]:
    """How many nodes each flavor takes of each kind; a flavor that finds none makes others take of another kind."""
    room = {kind: len(nodes) for kind, nodes in kinds.items()}
    takes: dict[str, dict[tuple[str, ...], int]] = {flavor: {} for flavor in wanted}
    # Kinds that few flavors fit come first: what fits many stays free for who needs it.
    order = sorted(kinds, key=len)
    for flavor, count in wanted.items():
        left = count
        while left:
            path = _path(flavor, order, room, takes)
            if not path:
                break
            # Each step but the first moves what the flavor before it gave up.
            moved = min(left, room[path[-1][1]], *(takes[path[n][0]][path[n - 1][1]] for n in range(1, len(path))))
            for number, (taker, kind) in enumerate(path):
                takes[taker][kind] = takes[taker].get(kind, 0) + moved
                if number:
                    takes[taker][path[number - 1][1]] -= moved
            room[path[-1][1]] -= moved
            left -= moved
    return takes


def _path(
    flavor: str,
    order: Sequence[tuple[str, ...]],
    room: Mapping[tuple[str, ...], int],
    takes: Mapping[str, Mapping[tuple[str, ...], int]],
) -> list[tuple[str, tuple[str, ...]]]:
    """Shortest chain of (flavor, kind that it takes) from a flavor to a kind with room; empty when there is none."""
    queue: deque[list[tuple[str, tuple[str, ...]]]] = deque([[]])
    seen: set[tuple[str, ...]] = set()
    while queue:
        chain = queue.popleft()
        takers = [flavor] if not chain else [other for other in takes if takes[other].get(chain[-1][1])]
        for taker in takers:
            for kind in order:
                if taker in kind and kind not in seen:
                    seen.add(kind)
                    longer = [*chain, (taker, kind)]
                    if room[kind]:
                        return longer
                    queue.append(longer)
    return []


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
