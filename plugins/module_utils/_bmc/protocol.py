# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What every kind of BMC can do here. IPMI is one adapter; a Redfish one satisfies the same protocol."""

from __future__ import annotations

from collections.abc import Awaitable
from contextlib import AbstractAsyncContextManager
from typing import Any, Callable, Protocol, TypeVar, Union

from .errors import BmcError
from .model import Access, BootOverride, Command, Identity, LogEntry, Power, Sensor


class Bmc(Protocol):
    """An open session with one BMC. Every method raises BmcError."""

    async def power(self) -> Power:
        """Read the machine's power."""

    async def send(self, command: Command) -> None:
        """Send a power command; do not wait for its effect."""

    async def boot_override(self) -> BootOverride:
        """Read what the next boots are told."""

    async def set_boot_override(self, wanted: BootOverride) -> None:
        """Tell the next boots; the caller reads it back."""

    async def identify(self) -> Identity:
        """Ask who the BMC is."""

    async def locate(self, seconds: int) -> None:
        """Light the machine's locator for so many seconds; 0 ends it."""

    async def sensors(self) -> tuple[Sensor, ...]:
        """Read all sensors that measure something."""

    async def event_log(self, last: int = 100) -> tuple[LogEntry, ...]:
        """The last entries of the event log, oldest first."""

    async def reset(self) -> None:
        """Restart the BMC itself, not the machine. Ends the session."""


T = TypeVar("T")
Operation = Callable[[Bmc], Awaitable[T]]
Outcome = Union[T, BmcError]


class Driver(Protocol):
    """One kind of BMC. It is entered once for all BMCs and then opens sessions."""

    async def __aenter__(self) -> Driver: ...

    async def __aexit__(self, *exception: Any) -> None: ...

    def session(self, access: Access) -> AbstractAsyncContextManager[Bmc]:
        """Log in; log out on leaving."""
