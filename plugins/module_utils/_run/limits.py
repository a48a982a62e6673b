# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How long a server may say nothing in a stage, by what machines have needed before. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, Optional

SHORTEST = 60.0
FACTOR = 3
# What makes two machines so alike that one's times say something about the other's.
_KIND = ("cpus", "memory", "disk", "arch", "resource_class")


class Limit(NamedTuple):
    """Seconds without news after which a server counts as failed, and where that figure comes from, in words."""

    seconds: float
    source: str


def limit(own: Optional[float], alike: Optional[float], given: Optional[float], most: float) -> Limit:
    """The limit of a stage.

    own, alike: the longest silence in seconds that this machine, or one like it, needed in runs that went on well.
    given: after how many seconds this machine was given up when it last came to the stage; None when it went on.
    most: seconds; the limit where nothing is known, and never exceeded.
    """
    if given is not None:
        # It may need longer than it used to. Without a longer limit it would never be seen to come.
        known, source = given, f"it was given {given:.0f} s before"
    elif own is not None:
        known, source = own, f"it took {own:.0f} s before"
    elif alike is not None:
        known, source = alike, f"machines like it took {alike:.0f} s before"
    else:
        return Limit(most, "how long machines like it need is not known yet")
    return Limit(min(most, max(SHORTEST, FACTOR * known)), source)


def kind(hardware: Mapping[str, Any]) -> tuple[str, ...]:
    """Equal for machines that are alike."""
    boot_mode = (hardware.get("capabilities") or {}).get("boot_mode")
    return tuple(str(value) for value in (*(hardware.get(key) for key in _KIND), boot_mode))


def limits(
    names: Mapping[str, str],
    hardware: Mapping[str, Mapping[str, Any]],
    silences: Mapping[str, Mapping[str, float]],
    failed: Mapping[str, Mapping[str, float]],
    most: float,
) -> dict[str, dict[str, Limit]]:
    """What is known of the limits of servers, by their names and stages.

    names: node by server name. hardware, silences, failed: by node name. silences: in seconds by stage, of stages that
    ended well; failed: of those that did not.
    """
    longest: dict[tuple[str, ...], dict[str, float]] = {}
    for node, stages in silences.items():
        known = longest.setdefault(kind(hardware.get(node, {})), {})
        for stage, seconds in stages.items():
            known[stage] = max(seconds, known.get(stage, 0.0))
    found = {}
    for name, node in names.items():
        own, given = silences.get(node, {}), failed.get(node, {})
        alike = longest.get(kind(hardware.get(node, {})), {})
        found[name] = {
            stage: limit(own.get(stage), alike.get(stage), given.get(stage), most) for stage in {*alike, *given}
        }
    return found
