# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a run yields: one event a task result, progress line, diff and, last, the summary."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


class Kind(enum.StrEnum):
    """What an event tells."""

    PLAY = "play"
    TASK = "task"
    OK = "ok"
    CHANGED = "changed"
    SKIPPED = "skipped"
    FAILED = "failed"
    DIFF = "diff"
    PROGRESS = "progress"
    SUMMARY = "summary"
    OTHER = "other"


_KINDS = {
    "playbook_on_play_start": Kind.PLAY,
    "playbook_on_task_start": Kind.TASK,
    "runner_on_skipped": Kind.SKIPPED,
    "runner_on_failed": Kind.FAILED,
    "runner_on_unreachable": Kind.FAILED,
    "runner_on_file_diff": Kind.DIFF,
    "runner_item_on_failed": Kind.FAILED,
    "playbook_on_stats": Kind.SUMMARY,
    "verbose": Kind.PROGRESS,
}


@dataclass(frozen=True)
class Event:
    """One step of a run.

    kind: what it tells.
    text: the terminal's lines for it, without a final line break; may be empty.
    task: name of the task concerned, empty when none is.
    data: ansible-runner's event data as it came.
    """

    kind: Kind
    text: str = ""
    task: str = ""
    data: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def from_runner(cls, raw: Mapping[str, Any]) -> Event:
        """Read one of ansible-runner's events."""
        data = raw.get("event_data") or {}
        name = raw.get("event", "")
        kind = _KINDS.get(name, Kind.OTHER)
        if name == "runner_on_ok":
            kind = Kind.CHANGED if (data.get("res") or {}).get("changed") else Kind.OK
        return cls(kind, raw.get("stdout", ""), data.get("task", ""), data)

    @property
    def server_seconds(self) -> dict[str, dict[str, float]]:
        """Seconds of each stage by server, where the task followed servers."""
        servers = (self.data.get("res") or {}).get("servers")
        if not isinstance(servers, Mapping):
            return {}
        return {
            name: server["seconds"]
            for name, server in servers.items()
            if isinstance(server, Mapping) and isinstance(server.get("seconds"), Mapping)
        }


@dataclass(frozen=True)
class Summary:
    """How a run ended.

    status: ansible-runner's word: successful, failed, canceled or error.
    rc: exit status of ansible-playbook.
    changed: number of tasks that changed something.
    failures: messages of the tasks that failed, in order.
    seconds: wall time.
    """

    status: str
    rc: int
    changed: int
    failures: tuple[str, ...]
    seconds: float

    @property
    def successful(self) -> bool:
        """True when every task of the run did its work."""
        return self.rc == 0 and self.status == "successful"
