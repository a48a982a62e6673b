# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""In which order servers are configured, and when no more are begun: canary, batches, stop-loss. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Optional

from .errors import PushError

_NUMBER = re.compile(r"\d+")
_PERCENT = re.compile(r"(\d+(?:\.\d+)?)%")


@dataclass(frozen=True)
class Rollout:
    """serial: sizes of the batches, the last one again and again: numbers (0 is all that are left) or percentages.

    canary: one number or percentage, or names. most_failed: percentage of a batch that may fail; None: all but one.
    """

    serial: Sequence[str] = ()
    canary: Sequence[str] = ()
    most_failed: Optional[float] = None


class Batch(NamedTuple):
    """Servers that are worked on together. most_failed: as of the rollout; 0 for the canary."""

    title: str
    servers: list[str]
    most_failed: Optional[float]

    def lost(self, failed: int) -> bool:
        """So many have failed that no further server may be begun. The limit itself may be reached, as in Ansible."""
        if self.most_failed is None:
            return failed == len(self.servers)
        return failed * 100 > self.most_failed * len(self.servers)


def batches(servers: Sequence[str], due: Sequence[str], rollout: Rollout) -> list[Batch]:
    """The batches of servers, in order. due: those with something new, of which a number of canaries is taken first."""
    if rollout.most_failed is not None and not 0 <= rollout.most_failed <= 100:
        raise PushError(f"max_fail_percentage is {rollout.most_failed:g}", operation="read max_fail_percentage")
    canary = _canary(servers, due, rollout.canary)
    made = [Batch("canary", canary, 0.0)] if canary else []
    rest = [name for name in servers if name not in set(canary)]
    sizes = [_size(text, len(servers), "serial") for text in rollout.serial] or [0]
    parts: list[list[str]] = []
    while rest:
        size = sizes[min(len(parts), len(sizes) - 1)] or len(rest)
        parts.append(rest[:size])
        rest = rest[size:]
    made += [
        Batch(f"batch {number} of {len(parts)}", part, rollout.most_failed) for number, part in enumerate(parts, 1)
    ]
    return made


def _canary(servers: Sequence[str], due: Sequence[str], given: Sequence[str]) -> list[str]:
    if len(given) == 1 and (_NUMBER.fullmatch(given[0]) or _PERCENT.fullmatch(given[0])):
        first = [*due, *(name for name in servers if name not in set(due))]
        return sorted(first[: _size(given[0], len(servers), "canary")])
    unknown = sorted(set(given) - set(servers))
    if unknown:
        raise PushError(
            f"no server {', '.join(unknown)} is to be configured",
            operation="read canary",
            next_step=f"give a number, a percentage, or names of: {', '.join(servers)}",
        )
    return sorted(set(given))


def _size(text: str, total: int, option: str) -> int:
    """A number, or the percentage of total, rounded down but at least 1, as Ansible's ``serial`` counts."""
    percent = _PERCENT.fullmatch(text)
    if percent and float(percent.group(1)) <= 100:
        return max(1, int(float(percent.group(1)) * total / 100))
    if _NUMBER.fullmatch(text):
        return int(text)
    raise PushError(f"{text!r} is neither a number nor a percentage", operation=f"read {option}")
