# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The process that owns the machines: answers the control socket, and keeps the process that answers IPMI alive.

It is the first process of a PID namespace: whatever ends it, everything that it started ends with it.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
import uuid
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from tripleo_cloud.rack import control
from tripleo_cloud.rack.errors import RackError
from tripleo_cloud.rack.machine import Machine
from tripleo_cloud.rack.spec import RackSpec

CONFIG = "owner.json"
_LONGEST_PAUSE = 5.0


class Owner:
    """All machines of a rack."""

    def __init__(self, directory: Path, config: dict[str, Any]) -> None:
        self.config = config
        self.directory = directory
        self.ended = asyncio.Event()
        self.bmc_process: asyncio.subprocess.Process | None = None
        self.bmc_ready = False
        self._running: set[asyncio.Future[None]] = set()
        spec = RackSpec.from_dict(config["spec"])
        self.machines = {
            machine.name: Machine(
                machine,
                index,
                directory / "machines" / machine.name,
                uuid=str(uuid.UUID(config["bmcs"][machine.name]["uuid"])),
                accelerator=config["accelerator"],
            )
            for index, machine in enumerate(spec.machines)
        }

    async def handle(self, operation: str, arguments: dict[str, Any]) -> Any:
        """Answer one question of the control socket. Raises RackError for an unknown one."""
        function = self._operations.get(operation)
        if function is not None:
            return await function(self, **arguments)
        on_machine = self._machine_operations.get(operation)
        if on_machine is None:
            raise RackError(f"unknown operation {operation!r}")
        return await on_machine(self, self._machine(arguments.pop("machine", "")), **arguments)

    def _machine(self, name: str) -> Machine:
        try:
            return self.machines[name]
        except KeyError:
            raise RackError(f"the rack has no machine {name!r}") from None

    async def status(self) -> dict[str, Any]:
        """What the rack does now."""
        return {
            "accelerator": self.config["accelerator"],
            "bmc_ready": self.bmc_ready,
            "bmc_pid": self.bmc_process.pid if self.bmc_process else None,
            "machines": {name: self._describe(machine) for name, machine in self.machines.items()},
        }

    @staticmethod
    def _describe(machine: Machine) -> dict[str, Any]:
        return {
            "on": machine.is_on,
            "flags": machine.flags.hex(),
            "starts": machine.starts,
            "failure": machine.failure,
            "restart_cause": machine.restart_cause,
        }

    async def bmcs(self) -> dict[str, Any]:
        """What the BMC process needs: address, account and identity of each BMC."""
        bmcs: dict[str, Any] = self.config["bmcs"]
        return bmcs

    async def ready(self) -> None:
        """The BMC process says that it listens."""
        self.bmc_ready = True

    async def shutdown(self) -> None:
        """End the rack."""
        self.ended.set()

    async def describe(self, machine: Machine) -> dict[str, Any]:
        """State of one machine."""
        return self._describe(machine)

    async def power(self, machine: Machine, action: str) -> None:
        """on, off, cycle, reset, soft or interrupt. A cycle goes on after the answer, as with real machines."""
        action_of: dict[str, Callable[[], Awaitable[None]]] = {
            "on": machine.power_on,
            "off": machine.power_off,
            "cycle": machine.power_cycle,
            "reset": machine.reset,
            "soft": machine.soft_off,
            "interrupt": machine.interrupt,
        }
        if action not in action_of:
            raise RackError(f"unknown power action {action!r}")
        task = asyncio.ensure_future(action_of[action]())
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        if action != "cycle":
            await task

    async def set_flags(self, machine: Machine, flags: str) -> None:
        """Keep boot flags, hexadecimal."""
        machine.set_flags(bytes.fromhex(flags))

    async def event_log(self, machine: Machine) -> dict[str, Any]:
        """The event log's records (hexadecimal), its clock, and when it was cleared last."""
        log = machine.log
        return {"records": [record.hex() for record in log.records], "now": log.now(), "erased_at": log.erased_at}

    async def clear_event_log(self, machine: Machine) -> None:
        """Empty the event log."""
        machine.log.clear()
        machine.save()

    async def set_clock(self, machine: Machine, seconds: int) -> None:
        """Set the event log's clock."""
        machine.log.set_clock(seconds)
        machine.save()

    async def block_statistics(self, machine: Machine) -> dict[str, Any]:
        """Counters of the machine's disks since its last start."""
        return await machine.block_statistics()

    async def qmp(self, machine: Machine, command: str, arguments: dict[str, Any] | None = None) -> Any:
        """Any command to the machine's QEMU."""
        return await machine.qmp(command, arguments or {})

    _operations: dict[str, Callable[..., Awaitable[Any]]] = {  # noqa: RUF012
        "status": status,
        "bmcs": bmcs,
        "ready": ready,
        "shutdown": shutdown,
    }
    _machine_operations: dict[str, Callable[..., Awaitable[Any]]] = {  # noqa: RUF012
        "describe": describe,
        "power": power,
        "set_flags": set_flags,
        "event_log": event_log,
        "clear_event_log": clear_event_log,
        "set_clock": set_clock,
        "block_statistics": block_statistics,
        "qmp": qmp,
    }

    async def keep_bmcs(self) -> None:
        """Start the BMC process, again and again."""
        pause = 0.1
        loop = asyncio.get_running_loop()
        while True:
            self.bmc_ready = False
            started = loop.time()
            self.bmc_process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "tripleo_cloud.rack", "serve-bmcs", os.fspath(self.directory)
            )
            try:
                await self.bmc_process.wait()
            except asyncio.CancelledError:
                with contextlib.suppress(ProcessLookupError):
                    self.bmc_process.kill()
                raise
            pause = 0.1 if loop.time() - started > _LONGEST_PAUSE else min(2 * pause, _LONGEST_PAUSE)
            print(f"the BMC process ended with {self.bmc_process.returncode}", flush=True)
            await asyncio.sleep(pause)


async def run(directory: Path) -> None:
    """Own the machines until shutdown or SIGTERM; then take their power away."""
    os.chdir(directory)
    owner = Owner(directory, json.loads((directory / CONFIG).read_text()))
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, owner.ended.set)
    server = await control.serve(owner.handle)
    keeper = asyncio.create_task(owner.keep_bmcs())
    await owner.ended.wait()
    keeper.cancel()
    for machine in owner.machines.values():
        await machine.power_off()
    server.close()
