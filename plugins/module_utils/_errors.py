# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The one error that rooms raise for what an operator can understand and act on; and what ends a module early."""

from __future__ import annotations

# Between a cause and the next step in one text.
NEXT = ". Next: "


class Abandoned(SystemExit):
    """Nobody waits for the result of this module any more; it ends in good order."""


class TripleoError(Exception):
    """Names the node, the operation, the cause and the next step.

    message: the cause, one sentence without a full stop at its end.
    node: name of the node or server concerned, empty when none is.
    operation: what was being done, for example ``power on``.
    next_step: what to do now, one sentence.
    """

    def __init__(self, message: str, *, node: str = "", operation: str = "", next_step: str = "") -> None:
        self.message = message
        self.node = node
        self.operation = operation
        self.next_step = next_step
        super().__init__(message)

    def __str__(self) -> str:
        text = ": ".join(part for part in (self.node, self.operation, self.message) if part)
        return f"{text}{NEXT}{self.next_step}" if self.next_step else text

    def as_failure(self) -> dict[str, str]:
        """The entry of a batch module's ``failed_nodes``."""
        return {
            "node": self.node,
            "operation": self.operation,
            "cause": self.message,
            "next_step": self.next_step,
        }
