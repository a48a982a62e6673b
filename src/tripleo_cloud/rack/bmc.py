# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The process that answers IPMI for all machines of a rack: one UDP port 623 on an address of its own for each.

It keeps nothing: power, boot flags and event logs live with the owner of the machines, so that this process can be
killed at any time.
"""

from __future__ import annotations

import asyncio
import uuid
from pathlib import Path
from typing import Any, cast

from tripleo_cloud.rack.commands import Commands
from tripleo_cloud.rack.control import Client
from tripleo_cloud.rack.rmcp import Endpoint, Incoming, SolPacket
from tripleo_cloud.rack.sol import Line, SerialLine, Sol

PORT = 623
# How long a BMC is silent after `mc reset`.
RESET_SECONDS = 1.5


class _MachineOf:
    """The operations of one machine, through the control socket."""

    def __init__(self, client: Client, name: str) -> None:
        self._client = client
        self._name = name

    async def call(self, operation: str, **arguments: Any) -> Any:
        return await self._client.call(operation, machine=self._name, **arguments)


class Bmc(asyncio.DatagramProtocol):
    """One BMC on one address."""

    def __init__(self, client: Client, name: str, config: dict[str, Any], line: Line) -> None:
        self._line = line
        self._client = client
        self._name = name
        self._config = config
        self._transport: asyncio.DatagramTransport | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._begin()

    def _begin(self) -> None:
        config = self._config
        identity = uuid.UUID(config["uuid"])
        self._endpoint = Endpoint(config["username"], config["password"], identity.bytes[::-1])
        self._sol = Sol(self._endpoint, self._line, self._send)
        self._commands = Commands(
            _MachineOf(self._client, self._name),
            self._endpoint,
            self._sol,
            name=self._name,
            uuid=config["uuid"],
            address=config["address"],
            port=config["port"],
            mac=config["mac"],
            on_reset=self._reset,
        )

    async def listen(self) -> None:
        """Open the port. Raises OSError."""
        loop = asyncio.get_running_loop()
        await loop.create_datagram_endpoint(lambda: self, local_addr=(self._config["address"], self._config["port"]))

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # asyncio's own datagram transport is no subclass of DatagramTransport.
        self._transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: Any) -> None:
        result = self._endpoint.receive(data)
        if result is None:
            return
        if isinstance(result, bytes):
            self._send(result, addr)
            return
        if result.session is not None:
            result.session.address = addr
        if isinstance(result, SolPacket):
            self._sol.receive(result.session, result.payload)
        else:
            self._start(self._carry_out(result, addr))

    def error_received(self, exc: Exception) -> None:
        """A console that has gone is no fault of the BMC."""

    async def _carry_out(self, incoming: Incoming, addr: Any) -> None:
        endpoint = self._endpoint
        self._send(endpoint.answer(incoming, await self._commands.execute(incoming)), addr)

    def _reset(self) -> None:
        self._start(self._reset_now())

    async def _reset_now(self) -> None:
        """Lose all sessions, be silent for a while, come back."""
        await asyncio.sleep(0.05)
        if self._transport is None:
            return
        self._sol.drop()
        self._transport.close()
        self._transport = None
        self._begin()
        await asyncio.sleep(RESET_SECONDS)
        await self.listen()

    def _send(self, datagram: bytes, addr: Any) -> None:
        if self._transport is not None:
            self._transport.sendto(datagram, addr)

    def _start(self, work: Any) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


async def run(directory: Path) -> None:
    """Answer IPMI until the owner has gone."""
    client = Client()
    await client.connect(directory)
    bmcs = [
        Bmc(client, name, config, SerialLine(directory / "machines" / name))
        for name, config in (await client.call("bmcs")).items()
    ]
    for bmc in bmcs:
        await bmc.listen()
    await client.call("ready")
    await client.closed()
