# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the service tells the Deployment cloud while it listens: a node's place, a few times and no more."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from typing import Any, Optional

from .errors import NodeError
from .first_boot import put
from .progress import boot_id

PAUSES = (1.0, 5.0, 25.0)
SECONDS = 2.0
# The report that the operating system is up has number 1.
FIRST_NUMBER = 2


class Reporter:
    """Sends the newest place only. One that nobody takes is given up after a few tries; the next one is a new start."""

    def __init__(self) -> None:
        self._number = FIRST_NUMBER
        self._told: Optional[dict[str, Any]] = None
        self._next: Optional[dict[str, Any]] = None
        self._tries = 0
        self.due: Optional[float] = None

    def tell(self, place: Mapping[str, Any]) -> None:
        """Have a place sent; one that was sent already is not sent again."""
        known = {name: place[name] for name in ("stage", "step", "detail")}
        known["failed"] = bool(place["cause"])
        if known in (self._told, self._next):
            return
        self._next, self._tries, self.due = known, 0, time.monotonic()

    def send(self, meta: Mapping[str, Any]) -> None:
        """Send it when it is time. meta: the config drive's; nothing is sent without a report URL in it."""
        if self.due is None or time.monotonic() < self.due:
            return
        url, boot = str(meta.get("tripleo_report_url") or ""), boot_id()
        body = {
            "token": meta.get("tripleo_token"),
            "plan": meta.get("tripleo_plan"),
            "server": meta.get("tripleo_server"),
            "boot_id": boot,
            "number": self._number,
            **(self._next or {}),
        }
        try:
            taken = not url or put(f"{url.rstrip('/')}/{boot}-{self._number}.json", json.dumps(body).encode(), SECONDS)
        except NodeError:
            taken = True
        if taken:
            self._number += 1
        if taken or self._tries == len(PAUSES):
            self._told, self._next, self.due = self._next, None, None
        else:
            self.due = time.monotonic() + PAUSES[self._tries]
            self._tries += 1
