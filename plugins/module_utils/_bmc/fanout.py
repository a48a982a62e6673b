# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Drives thousands of BMCs in one process: one event loop, bounded in flight, a deadline for each."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Callable, TypeVar

from .errors import BmcError, Cause
from .ipmi_driver import IpmiDriver
from .lock import locked
from .model import Access
from .protocol import Bmc, Driver, Operation, Outcome

T = TypeVar("T")

IN_FLIGHT = 256
# Logging in to a BMC that answers takes well under a second; a silent one is given up after 5 to 6.
LOGIN = 20.0
ALIVE_SECONDS = 1.0
DRIVERS: Mapping[str, Callable[[], Driver]] = MappingProxyType({"ipmi": IpmiDriver})


def drive(
    accesses: Iterable[Access],
    operation: Operation[T],
    *,
    name: str,
    locks: str,
    timeout: float,
    in_flight: int = IN_FLIGHT,
    done: Callable[[str, Outcome[T]], None] | None = None,
    alive: Callable[[], None] = lambda: None,
    drivers: Mapping[str, Callable[[], Driver]] = DRIVERS,
) -> dict[str, Outcome[T]]:
    """Run operation on every BMC; return its value or a BmcError for each node, in the order of accesses.

    name: the operation in words, for errors. locks: folder of the lock files.
    timeout: seconds that the operation may take on one BMC, logging in and waiting for its lock come on top.
    done: called in this thread as soon as a node has its outcome.
    alive: called before each BMC and each second; what it raises ends the whole, and no further BMC is touched.
    """
    return asyncio.run(_drive(list(accesses), operation, name, locks, timeout, in_flight, done, alive, drivers))


async def _drive(
    accesses: list[Access],
    operation: Operation[T],
    name: str,
    locks: str,
    timeout: float,
    in_flight: int,
    done: Callable[[str, Outcome[T]], None] | None,
    alive: Callable[[], None],
    drivers: Mapping[str, Callable[[], Driver]],
) -> dict[str, Outcome[T]]:
    slots = asyncio.Semaphore(in_flight)
    async with contextlib.AsyncExitStack() as stack:
        entered: dict[str, Driver] = {}
        for kind in sorted({access.driver for access in accesses} & set(drivers)):
            entered[kind] = await stack.enter_async_context(drivers[kind]())

        async def begin(bmc: Bmc) -> T:
            alive()
            return await operation(bmc)

        async def one(access: Access) -> Outcome[T]:
            async with slots:
                outcome = await _operate(access, entered.get(access.driver), begin, name, locks, timeout)
            if done is not None:
                done(access.node, outcome)
            return outcome

        tasks = [asyncio.ensure_future(one(access)) for access in accesses]
        work = asyncio.gather(*tasks)
        try:
            while not work.done():
                await asyncio.wait({work}, timeout=ALIVE_SECONDS)
                alive()
            outcomes = work.result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(work, *tasks, return_exceptions=True)
    return {access.node: outcome for access, outcome in zip(accesses, outcomes)}


async def _operate(
    access: Access, driver: Driver | None, operation: Operation[T], name: str, locks: str, timeout: float
) -> Outcome[T]:
    async def work() -> T:
        if driver is None:
            raise BmcError(
                f"there is no driver {access.driver!r} for BMCs",
                Cause.UNKNOWN,
                next_step=f"Use one of: {', '.join(sorted(DRIVERS))}.",
            )
        async with locked(locks, access, LOGIN + timeout), driver.session(access) as bmc:
            return await operation(bmc)

    try:
        return await asyncio.wait_for(work(), 2 * (LOGIN + timeout))
    except BmcError as error:
        return error.at(access.node, name)
    except asyncio.TimeoutError:
        failure = BmcError(f"the BMC at {access.address} did not end this within {timeout:g} s", Cause.SILENT)
    except OSError as error:
        failure = BmcError(f"{error.strerror or error}", Cause.UNKNOWN)
    return failure.at(access.node, name)
