# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""``python -m ..._provision.recorder STATE_DIR STACK PLAN RUN_ID``: keeps the ends of consoles while a run boots nodes.

BMC credentials come on its standard input, and stay in its memory. It ends with the run's lease, when all of its
servers have booted, or when a later one of the same stack begins.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sqlite3
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any, Callable

from .._bmc.console import LASTING
from .._bmc.errors import BmcError, Cause
from .._bmc.ipmi_driver import IpmiDriver
from .._bmc.model import Access
from .._errors import TripleoError
from .._run import lease
from .._run.console import Ring, Turn, console_log
from .._state.store import State
from .targets import targets

# Seconds between two looks at the lease and at the state, and until a console that was lost or refused is tried again.
LOOK = 1.0
RETRY = 10.0
# Seconds that an earlier recorder may take to end, and all consoles together to be given back.
TAKEOVER = 20.0
GOODBYE = 5.0
LOGINS = 64


class Recorder:
    """The consoles of one run's nodes. accesses: of the nodes, by their servers."""

    def __init__(
        self,
        state_dir: str,
        stack: str,
        plan: str,
        run_id: str,
        accesses: Mapping[str, Access],
        mine: Callable[[], bool],
    ) -> None:
        """mine: False when another recorder wants to work."""
        self.stopping = asyncio.Event()
        self._state_dir, self._stack, self._plan, self._run_id = state_dir, stack, plan, run_id
        self._accesses = dict(accesses)
        self._mine = mine
        self._logins = asyncio.Semaphore(LOGINS)
        self._document: Any = None
        self._said: dict[str, str] = {}

    async def work(self) -> None:
        """Record until there is nothing left to record."""
        async with IpmiDriver() as driver:
            tasks = {
                server: asyncio.ensure_future(self._record(driver, access)) for server, access in self._accesses.items()
            }
            while self._held():
                ended = [tasks.pop(server) for server in self._booted() & set(tasks)]
                await _end(ended)
                if all(task.done() for task in tasks.values()) or await self._stopped():
                    break
            await _end([*tasks.values()])

    async def _stopped(self) -> bool:
        try:
            await asyncio.wait_for(self.stopping.wait(), LOOK)
        except asyncio.TimeoutError:
            return False
        return True

    def _held(self) -> bool:
        try:
            held = lease.read(self._state_dir, self._stack)
        except TripleoError:
            return False
        return held is not None and held.run_id == self._run_id and held.live(time.time()) and self._mine()

    def _booted(self) -> set[str]:
        try:
            with State.open(self._state_dir, read_only=True) as state:
                self._document = self._document or state.plan(self._stack, self._plan)
                return {target.server for target in targets(state, self._document, ()) if target.booted}
        except (TripleoError, OSError, sqlite3.Error):
            return set()

    async def _record(self, driver: IpmiDriver, access: Access) -> None:
        ring = Ring(console_log(self._state_dir, access.node))
        try:
            while True:
                try:
                    await self._follow(driver, access, ring)
                except BmcError as error:
                    self._tell(access.node, error.message)
                    if error.cause is Cause.CREDENTIALS or error.code in LASTING:
                        return
                await asyncio.sleep(RETRY)
        finally:
            ring.close()

    async def _follow(self, driver: IpmiDriver, access: Access, ring: Ring) -> None:
        def show(data: bytes) -> None:
            try:
                ring.add(data)
            except OSError as error:
                self._tell(access.node, f"its console cannot be kept: {error}")

        async with contextlib.AsyncExitStack() as stack:
            async with self._logins:
                console = await stack.enter_async_context(driver.console(access, show))
            await console.lost()

    def _tell(self, node: str, reason: str) -> None:
        """One line for each new reason."""
        if self._said.get(node) != reason:
            self._said[node] = reason
            _say(f"{node}: {reason}")


def _say(text: str) -> None:
    """One line of run/<stack>.recorder.log, which is the standard error."""
    os.write(2, f"{time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime())} {text}\n".encode(errors="replace"))


async def _end(tasks: Sequence[asyncio.Future[None]]) -> None:
    for task in tasks:
        task.cancel()
    if tasks:
        await asyncio.wait(tasks, timeout=GOODBYE)


async def record(arguments: list[str], nodes: Mapping[str, Mapping[str, Any]]) -> int:
    """Be the recorder; its exit status: 0, 1 with its reason in the log, or 3 when another one works."""
    state_dir, stack, plan, run_id = arguments
    turn = Turn(state_dir, stack)
    if not turn.begin(TAKEOVER):
        _say("another recorder of this stack works")
        return 3
    os.makedirs(os.path.dirname(console_log(state_dir, "")), mode=0o700, exist_ok=True)
    accesses = {server: Access.parse(str(fields["node"]), fields) for server, fields in nodes.items()}
    recorder = Recorder(state_dir, stack, plan, run_id, accesses, turn.mine)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, recorder.stopping.set)
    try:
        await recorder.work()
    except TripleoError as error:
        _say(str(error))
        return 1
    finally:
        turn.end()
    return 0


if __name__ == "__main__":
    os.umask(0o077)
    raise SystemExit(asyncio.run(record(sys.argv[1:], json.load(sys.stdin))))
