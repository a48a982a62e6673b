# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the state holds, as values."""

from __future__ import annotations

import enum
import json
import time
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


class AsideKind(str, enum.Enum):
    """Who set a node aside. Each kind ends by itself where its cause is seen to be gone, but an operator's."""

    MAINTENANCE = "maintenance"
    DEPLOYMENT = "deployment"
    REGISTRATION = "registration"


@dataclass(frozen=True)
class Aside:
    """Why plans do not choose a node. since: seconds since the epoch."""

    kind: AsideKind
    cause: str
    since: float

    def __str__(self) -> str:
        when = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(self.since))
        if self.kind is AsideKind.MAINTENANCE:
            return f"is in maintenance since {when}{f' ({self.cause})' if self.cause else ''}"
        return f"was set aside on {when} ({self.cause})"

    def as_result(self) -> dict[str, Any]:
        """For a module's result."""
        return {"by": self.kind.value, "cause": self.cause, "since": self.since}


def dumps(value: Any) -> str:
    """JSON in one canonical form."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"))
