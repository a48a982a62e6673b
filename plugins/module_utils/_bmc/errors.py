# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Why a BMC did not do what was asked."""

from __future__ import annotations

from enum import Enum

from .._errors import TripleoError


class Cause(str, Enum):
    """Kinds of failure; each has its own next step."""

    CREDENTIALS = "wrong user name or password"
    SILENT = "no answer"
    REFUSED = "refused"
    BUSY = "busy"
    UNCONFIRMED = "not confirmed"
    UNKNOWN = "unknown"

    @property
    def next_step(self) -> str:
        """What to do about it, one sentence."""
        return _NEXT_STEPS[self]


_NEXT_STEPS = {
    Cause.CREDENTIALS: "Correct bmc.username and bmc.password of this node in nodes.yaml.",
    Cause.SILENT: "Check bmc.address and bmc.port of this node, and that the BMC has power and is reachable from here.",
    Cause.REFUSED: "Look at the BMC's own log and at the user's privilege on its LAN channel.",
    Cause.BUSY: "Wait for the other run or session on this BMC to end, then run the same again.",
    Cause.UNCONFIRMED: "Look at the BMC's event log and at the console of the machine.",
    Cause.UNKNOWN: "Run the same again with -vvv and report it if it stays.",
}


class BmcError(TripleoError):
    """A failure of one operation on one BMC. Its message never holds a password.

    cause: its kind. code: the IPMI completion code where the BMC gave one.
    """

    def __init__(
        self,
        message: str,
        cause: Cause,
        *,
        node: str = "",
        operation: str = "",
        next_step: str = "",
        code: int | None = None,
    ) -> None:
        super().__init__(message, node=node, operation=operation, next_step=next_step or cause.next_step)
        self.cause = cause
        self.code = code

    def at(self, node: str, operation: str) -> BmcError:
        """The same error with node and operation, where they were not known before."""
        self.node = self.node or node
        self.operation = self.operation or operation
        return self
