# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The host's network and the metadata: whether there is anything to do, and what differs. Light to import."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, Callable

from . import network_change
from .network_change import Place
from .paths import Paths

PREFIX = "40-tripleo"
FOLDER = "etc/systemd/network"
Emit = Callable[[Mapping[str, Any]], None]


def configure(context: Mapping[str, Any], paths: Paths, environment: Mapping[str, str], emit: Emit) -> bool:
    """Make the network what ``os_net_config`` of the merged documents says; whether anything had to change.

    A no-op when they say nothing and never did. Raises NodeError; then the network is as it was before.
    """
    document = context.get("os_net_config")
    place = place_of(paths)
    if not document and not any(os.path.exists(path) for path in (place.applied, place.pending)):
        return False
    from . import network_run

    return network_run.configure(document, place, paths.drive, environment, emit)


def drift(paths: Paths) -> list[str]:
    """Network files that are not as the last run left them. Raises NodeError."""
    place = place_of(paths)
    files = network_change.load(place.applied).get("files") or {}
    known = {os.path.join(place.root, name): text for name, text in files.items()}
    extra = [path for path in (os.path.join(place.root, name) for name in present(place)) if path not in known]
    return [path for path, text in known.items() if network_change.read(path) != text] + (extra if known else [])


def place_of(paths: Paths) -> Place:
    """Where the agent keeps what it knows of the network."""
    return Place(paths.root, paths.state)


def present(place: Place) -> list[str]:
    """Our files on the disk, as paths below the root."""
    try:
        names = sorted(os.listdir(os.path.join(place.root, FOLDER)))
    except FileNotFoundError:
        return []
    ours = [name for name in names if name.startswith(f"{PREFIX}-") and name.endswith((".network", ".netdev"))]
    return [os.path.join(FOLDER, name) for name in ours]
