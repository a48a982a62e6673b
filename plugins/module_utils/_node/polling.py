# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether and when the service polls: os-collect-config's settings over those of the config drive."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from . import options
from .first_boot import load_meta
from .paths import Paths

METADATA_URL = "tripleo_metadata_url"
INTERVAL = "tripleo_polling_interval"


class Polling(NamedTuple):
    """When the sources are asked. Seconds: between two times (0: never), before the first, at most after failures."""

    interval: float = 0.0
    splay: float = 0.0
    longest: float = 0.0


def polling(using: options.Settings) -> Polling:
    """What the settings say of it; off unless they say otherwise."""
    if not using["node_agent.polling"]:
        return Polling()
    return Polling(max(1.0, using["polling_interval"]), using["splay"], using["node_agent.longest_pause"])


def settings(paths: Paths, environment: Mapping[str, str]) -> options.Settings:
    """The settings of the collectors. Raises NodeError for a file or a value that cannot be."""
    meta = load_meta(paths.drive)
    given: dict[str, Any] = {}
    if meta.get(INTERVAL):
        given = {"polling_interval": str(meta[INTERVAL]), "node_agent.polling": "true"}
    if meta.get(METADATA_URL):
        given.update({"request.metadata_url": str(meta[METADATA_URL]), "collectors": ["request"]})
    return options.parse([], environment).over(given)
