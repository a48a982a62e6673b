# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the state holds, as values."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class NodeRecord:
    """A registered node. hardware: as the nodes file gave it, without the BMC's user name and password.

    facts: what its ramdisk reported last. bmc_report: what its BMC said when it was checked.
    """

    name: str
    hardware: Mapping[str, Any]
    facts: Mapping[str, Any]
    bmc_report: Mapping[str, Any]

    @property
    def capabilities(self) -> Mapping[str, str]:
        """Capabilities by name."""
        found: Mapping[str, str] = self.hardware.get("capabilities") or {}
        return found


@dataclass(frozen=True)
class StackRecord:
    """A stack and the plan that is stored for it."""

    name: str
    id: str
    serial: int
    plan_hash: str
    updated: float


@dataclass(frozen=True)
class ServerRecord:
    """A server of a stored plan. cause: why it failed. config_digest: of the documents that it is healthy with."""

    name: str
    path: str
    node: str
    plan_hash: str
    stage: str
    cause: str | None
    host_key: str | None
    config_digest: str | None
    updated: float


def dumps(value: Any) -> str:
    """JSON in one canonical form."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"))
