# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A machine's console by serial-over-LAN: what it prints, acknowledged packet by packet (IPMI 2.0, chapter 15)."""

from __future__ import annotations

import asyncio
import contextlib
import struct
from typing import Callable, Protocol

from .errors import BmcError, Cause
from .ipmi_codec import APP, need

# Seconds between two questions whether the console still is ours; sessions end after 60 without a packet.
ALIVE = 20.0
# Seconds that giving it back may take.
GOODBYE = 3.0
_SOL, _INSTANCE = 1, 1
_ENCRYPTED, _AUTHENTICATED = 0x80, 0x40
_DEACTIVATED = 0x10
_HEADER = 4
_REFUSALS = {
    0x80: (Cause.BUSY, "another client has the console"),
    0x81: (Cause.REFUSED, "serial-over-LAN is disabled in the BMC"),
    0x82: (Cause.BUSY, "the BMC has as many consoles open as it can"),
    0x83: (Cause.REFUSED, "the BMC cannot encrypt the console"),
    0xC1: (Cause.REFUSED, "the BMC has no serial-over-LAN"),
    0xD4: (Cause.REFUSED, "the user has not the privilege for serial-over-LAN"),
}
# Completion codes that do not change while a run lasts; others may pass, such as one of a machine that is off.
LASTING = (0x81, 0x83, 0xC1, 0xD4)


class Channel(Protocol):
    """An open IPMI session that carries serial-over-LAN too."""

    @property
    def number(self) -> int:
        """What the BMC calls this session."""

    async def request(self, netfn: int, command: int, data: bytes = b"", *, answered: bool = True) -> bytes:
        """See `ipmi.Channel`."""

    def on_sol(self, handler: Callable[[bytes], None] | None) -> None:
        """Have handler called with each packet."""

    def send_sol(self, payload: bytes) -> None:
        """Send a packet."""


class SolConsole:
    """The console of one machine, for as long as it is held. Nothing is typed."""

    def __init__(self, channel: Channel, port: int, show: Callable[[bytes], None]) -> None:
        """port: of the session. show: takes what the machine prints, each byte once."""
        self._channel = channel
        self._port = port
        self._show = show
        self._last = 0
        self._shown = 0
        self._ended = asyncio.Event()

    async def activate(self) -> None:
        """Begin; BmcError when the BMC refuses it."""
        self._channel.on_sol(self._take)
        request = bytes((_SOL, _INSTANCE, _ENCRYPTED | _AUTHENTICATED, 0, 0, 0))
        try:
            answer = need(await self._channel.request(APP, 0x48, request), 12, "open the console")
            # Some BMCs have the two bytes the wrong way round.
            ports = struct.unpack("<H", answer[8:10]) + struct.unpack(">H", answer[8:10])
            if self._port not in ports:
                raise BmcError(f"the BMC wants the console on port {ports[0]}, which is not supported", Cause.REFUSED)
        except BmcError as error:
            self._channel.on_sol(None)
            cause, message = _REFUSALS.get(error.code or 0, (error.cause, error.message))
            raise BmcError(message, cause, code=error.code) from None

    async def lost(self) -> None:
        """Return when the BMC has given the console to somebody else; BmcError when it does not answer any more."""
        while True:
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._ended.wait(), ALIVE)
                return
            try:
                answer = await self._channel.request(APP, 0x4B, bytes((_SOL, _INSTANCE)))
            except BmcError as error:
                if error.code is None:
                    raise
                continue  # a BMC without this question
            answer = need(answer, 4, "look at the console")
            if struct.unpack("<I", answer[:4])[0] != self._channel.number:
                return

    async def deactivate(self) -> None:
        """Give it back; a BMC that does not answer is left."""
        self._channel.on_sol(None)
        with contextlib.suppress(BmcError, asyncio.TimeoutError):
            await asyncio.wait_for(self._channel.request(APP, 0x49, bytes((_SOL, _INSTANCE, 0, 0, 0, 0))), GOODBYE)

    def _take(self, payload: bytes) -> None:
        if len(payload) < _HEADER:
            return
        number, status, data = payload[0] & 15, payload[3], bytes(payload[_HEADER:])
        if number:
            if number != self._last:
                self._last, self._shown = number, 0
            # A packet that comes again may bring more.
            if data[self._shown :]:
                self._show(data[self._shown :])
            self._shown = len(data)
            self._channel.send_sol(bytes((0, number, min(len(data), 255), 0)))
        elif status & _DEACTIVATED:
            self._ended.set()
