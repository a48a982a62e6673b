# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Follows the servers of a plan through their events. Pure: events and the time come in, lines and verdicts go out."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from .._errors import NEXT
from .limits import Limit, limit

ORDER = ("reserved", "powered", "pxe", "ramdisk", "writing", "written", "booted", "configured", "healthy")
FAILED = "failed"
MOST_LINES = 16
_MEBIBYTE = 1024 * 1024

DEPLOY_AGAIN = "run: ansible-playbook tripleo.cloud.deploy"

# Stage in which a server fell silent -> what did not come, and what to look at.
_MISSING = {
    "reserved": ("it was not powered on", "check its BMC"),
    "powered": (
        "it has not asked for its boot script",
        "check its boot order and its provisioning network",
    ),
    "pxe": ("its deploy ramdisk has not reported", "check that the ramdisk has a driver for its network card"),
    "ramdisk": ("its deploy ramdisk has not begun to write", "look at the ramdisk's messages on its console"),
    "writing": ("its deploy ramdisk has reported no progress", "look at the ramdisk's messages on its console"),
    "written": ("its operating system has not reported", "look at its boot messages on its console"),
}


class Overdue(NamedTuple):
    """Why a server counts as failed. seconds: how long it was silent in its stage; 0 when that was not the reason."""

    cause: str
    stage: str
    seconds: float


@dataclass
class Follow:
    """Where one server is. times: when each stage began, seconds since the epoch, by the Deployment cloud's clock."""

    server: str
    node: str
    stage: str
    cause: str = ""
    step: str = ""
    percent: float | None = None
    rate: float | None = None
    heard: float = 0.0
    spoke: bool = False
    times: dict[str, float] = field(default_factory=dict)

    def line(self, width: int = 0) -> str:
        """What is shown of it."""
        parts = [f"{self.server:<{width}}  {self.node:<8} {self.stage}"]
        if self.stage == "writing" and self.percent is not None:
            parts.append(f"{self.percent:.0f} %")
            if self.rate:
                parts.append(f"{self.rate / _MEBIBYTE:.1f} MiB/s")
        if self.step:
            parts.append(f"({self.step})")
        if self.cause:
            parts.append(f"- {self.cause.partition(NEXT)[0]}")
        return " ".join(parts)

    def seconds(self) -> dict[str, float]:
        """How long each stage took that has ended."""
        moments = sorted((moment, stage) for stage, moment in self.times.items())
        return {
            stage: round(following - moment, 1) for (moment, stage), (following, _next) in zip(moments, moments[1:])
        }


class Follower:
    """All servers that are followed to one stage."""

    def __init__(
        self,
        stack: str,
        plan: str,
        target: str,
        servers: Mapping[str, Mapping[str, Any]],
        now: float,
        times: Mapping[str, Mapping[str, float]] | None = None,
        limits: Mapping[str, Mapping[str, Limit]] | None = None,
    ) -> None:
        """servers: name -> node, stage and cause as the state has them. now: any clock in seconds.

        times: name -> stage -> when it began, of what is past. limits: by name and stage, as far as they are known.
        """
        self.stack, self.plan, self.target = stack, plan, target
        self._limits = limits or {}
        self.servers = {
            name: Follow(
                name,
                fields["node"],
                fields["stage"],
                fields.get("cause") or "",
                heard=now,
                times=dict((times or {}).get(name, {})),
            )
            for name, fields in sorted(servers.items())
        }
        self._width = max(map(len, self.servers), default=0)
        self._shown: dict[str, str] = {}
        self._summary = ""

    def feed(self, text: str, now: float) -> list[Follow]:
        """Take in lines of the event file; returns the servers whose stage changed, once each."""
        changed: dict[str, Follow] = {}
        for line in text.splitlines():
            try:
                event = json.loads(line)
                follow = self.servers.get(event["server"])
                if follow is None or event["stack"] != self.stack or event["plan"] != self.plan:
                    continue
                stage, moment = str(event["stage"]), float(event["time"])
            except (ValueError, KeyError, TypeError):
                continue
            follow.heard, follow.spoke = now, True
            follow.percent, follow.rate = event.get("percent"), event.get("rate")
            follow.step = str(event.get("step") or "")
            if stage != follow.stage:
                follow.stage, follow.cause = stage, str(event.get("cause") or "")
                if stage == "powered":
                    follow.times.clear()
                follow.times.setdefault(stage, moment)
                changed[follow.server] = follow
        return list(changed.values())

    def done(self, follow: Follow) -> bool:
        """True when a server is at the target stage or beyond it."""
        return follow.stage in ORDER and ORDER.index(follow.stage) >= ORDER.index(self.target)

    def pending(self) -> list[Follow]:
        """Servers that are neither at the target nor failed."""
        return [follow for follow in self.servers.values() if follow.stage != FAILED and not self.done(follow)]

    def failed(self) -> list[Follow]:
        """Servers that failed."""
        return [follow for follow in self.servers.values() if follow.stage == FAILED]

    def silent(self) -> list[str]:
        """Names of the servers that are not at the target and say nothing: nothing was heard, or they failed."""
        waiting = (follow for follow in self.servers.values() if not self.done(follow))
        return [follow.server for follow in waiting if not follow.spoke or follow.stage == FAILED]

    def overdue(self, now: float, most: float) -> dict[str, Overdue]:
        """Pending servers that count as failed because nothing was heard of them for too long, by their names.

        most: limit in seconds of stages of which nothing is known.
        """
        found = {}
        for follow in self.pending():
            known = self._limits.get(follow.server, {}).get(follow.stage) or limit(None, None, None, most)
            if now - follow.heard > known.seconds:
                cause = f"{_missing(follow)} for {known.seconds:.0f} s; {known.source}"
                found[follow.server] = Overdue(cause, follow.stage, known.seconds)
        return found

    def late(self, seconds: float) -> dict[str, Overdue]:
        """The same of all pending servers when the time of the whole run, so many seconds, is over."""
        late = f"it is not {self.target} after {seconds:.0f} s"
        return {it.server: Overdue(f"{_missing(it)}: {late}", it.stage, 0.0) for it in self.pending()}

    def lines(self, changed: Iterable[Follow]) -> list[str]:
        """What to show now: up to 16 servers each line that differs, above that stage changes and one summary."""
        if len(self.servers) <= MOST_LINES:
            lines = []
            for follow in self.servers.values():
                line = follow.line(self._width)
                if self._shown.get(follow.server) != line:
                    self._shown[follow.server] = line
                    lines.append(line)
            return lines
        lines = [follow.line(self._width) for follow in changed]
        summary = self.summary()
        if summary != self._summary:
            self._summary = summary
            lines.append(summary)
        return lines

    def summary(self) -> str:
        """How many servers are in which stage."""
        counts = Counter(follow.stage for follow in self.servers.values())
        parts = [f"{counts[stage]} {stage}" for stage in (*ORDER, FAILED) if counts[stage]]
        percents = [follow.percent for follow in self.servers.values() if follow.stage == "writing" and follow.percent]
        if percents:
            parts.append(f"{sum(percents) / len(percents):.0f} % of what is being written")
        return f"{len(self.servers)} servers: " + ", ".join(parts)


def _missing(follow: Follow) -> str:
    """What has not come of a server that fell silent in its stage, and the step in which it did."""
    missing = _MISSING.get(follow.stage, ("nothing was heard of it", ""))[0]
    return f"{missing} (its last step: {follow.step})" if follow.step else missing


def failure(follow: Follow, cause: str, bmc: Mapping[str, Any] | None = None) -> dict[str, str]:
    """The entry of ``failed_nodes`` for a server: cause, and what to look at and do next.

    bmc: ``address``, ``port`` and ``username`` as far as they are known.
    """
    why, _next, known = (cause or follow.cause or "it failed without a cause").partition(NEXT)
    _what, look = _MISSING.get(follow.stage, ("", "look at its messages on its console"))
    address = (bmc or {}).get("address")
    port = (bmc or {}).get("port") or 623
    console = f" (ipmitool -I lanplus -H {address} -p {port} -U USER -a sol activate)" if address else ""
    return {
        "node": f"{follow.server} ({follow.node})",
        "operation": f"stage {follow.stage}",
        "cause": why,
        "next_step": f"{known.rstrip('.') or look + console}, then {DEPLOY_AGAIN}",
    }
