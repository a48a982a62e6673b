# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The rack's control socket: one JSON object a line, over a UNIX socket in the state directory."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import os
import socket
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

from tripleo_cloud.rack.errors import RackError

SOCKET = "control.sock"
_LINE_LIMIT = 1 << 20
Handler = Callable[[str, dict[str, Any]], Awaitable[Any]]


@contextlib.contextmanager
def short_path(state_dir: Path) -> Iterator[str]:
    """A path of the socket that fits into the 108 bytes which UNIX sockets have for it."""
    handle = os.open(state_dir, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{handle}/{SOCKET}"
    finally:
        os.close(handle)


def call(state_dir: Path, operation: str, *, timeout: float = 30.0, **arguments: Any) -> Any:
    """Ask the owner of the machines and return its answer. Raises RackError; timeout in seconds."""
    try:
        with short_path(state_dir) as path, socket.socket(socket.AF_UNIX) as peer:
            peer.settimeout(timeout)
            peer.connect(path)
            peer.sendall(_line({"id": 1, "op": operation, "arguments": arguments}))
            with peer.makefile("rb") as stream:
                raw = stream.readline(_LINE_LIMIT)
    except OSError as error:
        raise RackError(f"the rack in {state_dir} does not answer: {error}") from error
    return _result(raw)


def _line(message: dict[str, Any]) -> bytes:
    return json.dumps(message, separators=(",", ":")).encode() + b"\n"


def _result(raw: bytes) -> Any:
    if not raw:
        raise RackError("the rack closed the connection")
    answer = json.loads(raw)
    if "error" in answer:
        raise RackError(answer["error"])
    return answer.get("result")


class Client:
    """A lasting connection for many questions at a time."""

    def __init__(self) -> None:
        self._numbers = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[Any]] = {}
        self._writer: asyncio.StreamWriter | None = None
        self._reader: asyncio.Task[None] | None = None

    async def connect(self, state_dir: Path) -> None:
        """Connect, once. Raises OSError."""
        with short_path(state_dir) as path:
            stream, self._writer = await asyncio.open_unix_connection(path, limit=_LINE_LIMIT)
        self._reader = asyncio.create_task(self._read(stream))

    async def call(self, operation: str, **arguments: Any) -> Any:
        """One question. Raises RackError when the owner refuses or is gone."""
        if self._writer is None or self._reader is None or self._reader.done():
            raise RackError("the owner of the machines is gone")
        number = next(self._numbers)
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._waiting[number] = future
        try:
            self._writer.write(_line({"id": number, "op": operation, "arguments": arguments}))
            return await future
        finally:
            del self._waiting[number]

    async def closed(self) -> None:
        """Return when the owner has gone."""
        if self._reader is not None:
            await asyncio.wait([self._reader])

    async def _read(self, stream: asyncio.StreamReader) -> None:
        with contextlib.suppress(ConnectionError):
            while raw := await stream.readline():
                future = self._waiting.get(json.loads(raw)["id"])
                if future is None or future.done():
                    continue
                try:
                    future.set_result(_result(raw))
                except RackError as error:
                    future.set_exception(error)
        for future in self._waiting.values():
            if not future.done():
                future.set_exception(RackError("the owner of the machines is gone"))


async def serve(handler: Handler) -> asyncio.Server:
    """Answer questions at the socket in the working directory; a RackError of the handler goes to the asker."""

    async def connection(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tasks: set[asyncio.Task[None]] = set()
        with contextlib.suppress(ConnectionError, ValueError, asyncio.LimitOverrunError):
            while raw := await reader.readline():
                task = asyncio.create_task(_answer(handler, raw, writer))
                tasks.add(task)
                task.add_done_callback(tasks.discard)
        writer.close()

    with contextlib.suppress(FileNotFoundError):
        os.unlink(SOCKET)
    return await asyncio.start_unix_server(connection, SOCKET, limit=_LINE_LIMIT)


async def _answer(handler: Handler, raw: bytes, writer: asyncio.StreamWriter) -> None:
    number: Any = None
    try:
        message = json.loads(raw)
        number = message["id"]
        reply = {"id": number, "result": await handler(message["op"], message.get("arguments", {}))}
    except Exception as error:  # whatever it is, the asker waits for an answer
        text = str(error) if isinstance(error, RackError) else f"{type(error).__name__}: {error}"
        reply = {"id": number, "error": text}
    with contextlib.suppress(ConnectionError):
        writer.write(_line(reply))
        await writer.drain()
