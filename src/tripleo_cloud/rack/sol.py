# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Serial-over-LAN of one BMC: one instance, carried by the session that activated it (IPMI 2.0, chapter 15)."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import struct
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from tripleo_cloud.rack.qemu import CONSOLE_LOG, CONSOLE_SOCKET
from tripleo_cloud.rack.rmcp import Endpoint, Session

CHANNEL = 1
# Characters in one packet; the count in an acknowledgement is one byte.
LARGEST_DATA = 200
# Seconds until a packet without acknowledgement goes out again, how often, and between two looks at the line.
RETRY_SECONDS, RETRIES = 0.5, 7
TICK_SECONDS = 0.05
_HEADER = 4
_NACK, _POWERED_OFF, _DEACTIVATED = 0x40, 0x20, 0x10


def sol_parameters(port: int) -> dict[int, bytes]:
    """The SOL configuration parameters, by number."""
    return {
        0: b"\x00",
        1: b"\x01",  # enabled
        2: b"\xc3",  # encrypted and authenticated, for operators
        3: bytes([int(TICK_SECONDS * 200), LARGEST_DATA]),
        4: bytes([RETRIES, int(RETRY_SECONDS * 100)]),
        5: b"\x0a",  # 115.2 kbit/s
        6: b"\x0a",
        7: bytes([CHANNEL]),
        8: struct.pack("<H", port),
    }


class Line(Protocol):
    """The serial line of a machine."""

    def listen(self) -> None:
        """What the machine prints from now on is wanted."""

    def read(self, most: int) -> bytes:
        """At most so many bytes that the machine has printed and that were not read before."""

    def write(self, data: bytes) -> bool:
        """Type; False when the machine is off."""

    def close(self) -> None:
        """Nobody is at the line any more."""


class SerialLine:
    """The line of a QEMU machine: what it prints is read from its log, so that nothing is lost over its restarts."""

    def __init__(self, directory: Path) -> None:
        """directory: the machine's."""
        self._directory = directory
        self._log = directory / CONSOLE_LOG
        self._file = 0
        self._offset = 0
        self._keyboard: socket.socket | None = None

    def listen(self) -> None:
        self._file, self._offset = self._stat()

    def read(self, most: int) -> bytes:
        self._drain()
        file, size = self._stat()
        if file != self._file or size < self._offset:
            self._file, self._offset = file, 0
        if size == self._offset:
            return b""
        with contextlib.suppress(FileNotFoundError), self._log.open("rb") as log:
            log.seek(self._offset)
            data = log.read(most)
            self._offset += len(data)
            return data
        return b""

    def write(self, data: bytes) -> bool:
        self._drain()
        if self._keyboard is None:
            self._connect()
        if self._keyboard is not None:
            with contextlib.suppress(OSError):
                self._keyboard.sendall(data)
                return True
            self.close()
        return False

    def close(self) -> None:
        if self._keyboard is not None:
            self._keyboard.close()
            self._keyboard = None

    def _stat(self) -> tuple[int, int]:
        with contextlib.suppress(FileNotFoundError):
            status = self._log.stat()
            return status.st_ino, status.st_size
        return 0, 0

    def _connect(self) -> None:
        keyboard = socket.socket(socket.AF_UNIX)
        keyboard.setblocking(False)
        try:
            # A path of any length, for the 108 bytes that UNIX sockets have for it.
            handle = os.open(self._directory, os.O_RDONLY | os.O_DIRECTORY)
            try:
                keyboard.connect(f"/proc/self/fd/{handle}/{CONSOLE_SOCKET}")
            finally:
                os.close(handle)
        except OSError:
            keyboard.close()
        else:
            self._keyboard = keyboard

    def _drain(self) -> None:
        """Take what comes back, which is in the log as well: else the machine would wait for it to be taken."""
        with contextlib.suppress(BlockingIOError):
            while self._keyboard is not None:
                if not self._read_back(self._keyboard):
                    self.close()

    @staticmethod
    def _read_back(keyboard: socket.socket) -> bytes:
        try:
            return keyboard.recv(65536)
        except ConnectionError:
            return b""


class Sol:
    """The one instance. Breaks and modem lines are not carried."""

    def __init__(
        self,
        endpoint: Endpoint,
        line: Line,
        send: Callable[[bytes, Any], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """send: takes a datagram and the address that it goes to."""
        self._endpoint = endpoint
        self._line = line
        self._send = send
        self._clock = clock
        self._session: Session | None = None
        self._work: asyncio.Task[None] | None = None
        self._begin()

    def _begin(self) -> None:
        self._sent = 0  # number of our last packet
        self._unacknowledged = b""
        self._sent_at = 0.0
        self._tries = 0
        self._taken = 0  # number of the console's last packet, how much of it was taken, and what was said to it
        self._taken_count = 0
        self._taken_status = 0

    def session(self) -> Session | None:
        """The session that has the console; None when nobody has it, or its session has ended."""
        self._endpoint.expire()
        if self._session is not None and self._endpoint.sessions.get(self._session.number) is not self._session:
            self.drop()
        return self._session

    def activate(self, session: Session) -> None:
        """Begin in this session; there must be none."""
        self._begin()
        self._session = session
        self._line.listen()
        self._work = asyncio.get_running_loop().create_task(self._run())

    def deactivate(self) -> None:
        """End, and tell the console."""
        self._packet(0, 0, 0, _DEACTIVATED)
        self.drop()

    def drop(self) -> None:
        """End without a word."""
        self._session = None
        self._line.close()

    def receive(self, session: Session, payload: bytes) -> None:
        """Take a packet of a console."""
        if len(payload) < _HEADER or session is not self.session():
            return
        number, acknowledged, count = payload[0] & 15, payload[1] & 15, payload[2]
        if acknowledged and acknowledged == self._sent and self._unacknowledged:
            rest = self._unacknowledged[count:]
            self._unacknowledged = b""
            if rest:
                # It goes out after a pause, for a console that takes nothing now.
                self._next(rest)
            else:
                self.tick()
        if number:
            self._typed(number, payload[_HEADER:])

    def tick(self) -> None:
        """Send what the machine has printed, or once more what was not acknowledged."""
        if self._unacknowledged:
            if self._clock() - self._sent_at < RETRY_SECONDS:
                return
            if self._tries <= RETRIES:
                self._transmit()
                return
            self._unacknowledged = b""
        data = self._line.read(LARGEST_DATA)
        if data:
            self._next(data)
            self._transmit()

    async def _run(self) -> None:
        while self.session() is not None:
            self.tick()
            await asyncio.sleep(TICK_SECONDS)

    def _typed(self, number: int, data: bytes) -> None:
        if number != self._taken:
            self._taken, self._taken_count, self._taken_status = number, 0, 0
        # The same packet again may bring more.
        fresh = data[self._taken_count : LARGEST_DATA]
        if fresh:
            taken = self._line.write(fresh)
            self._taken_count += len(fresh) if taken else 0
            self._taken_status = 0 if taken else _NACK | _POWERED_OFF
        self._packet(0, number, self._taken_count, self._taken_status)

    def _next(self, data: bytes) -> None:
        self._sent = self._sent % 15 + 1
        self._unacknowledged = data
        self._sent_at = self._clock()
        self._tries = 0

    def _transmit(self) -> None:
        self._tries += 1
        self._sent_at = self._clock()
        self._packet(self._sent, 0, 0, 0, self._unacknowledged)

    def _packet(self, number: int, acknowledged: int, count: int, status: int, data: bytes = b"") -> None:
        if self._session is not None:
            payload = bytes([number, acknowledged, count, status]) + data
            self._send(self._endpoint.sol(self._session, payload), self._session.address)
