# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""QEMU's command line, and its control protocol QMP."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
from collections.abc import AsyncIterator
from typing import Any

from tripleo_cloud.rack.network import tap
from tripleo_cloud.rack.spec import MachineSpec

BINARY = "qemu-system-x86_64"
CONSOLE_LOG = "console.log"
CONSOLE_SOCKET = "console.sock"
ACCELERATOR_ARGUMENTS = {
    "kvm": ("-accel", "kvm", "-cpu", "host"),
    # By default the translation cache would be an eighth of the host's memory for each machine.
    "tcg": ("-accel", "tcg,thread=multi,tb-size=512", "-cpu", "max"),
}


def command_line(spec: MachineSpec, index: int, *, uuid: str, accelerator: str, first: str, qmp_fd: int) -> list[str]:
    """The argument vector of a machine, for its own directory as working directory.

    index: the machine's place in the rack, from 0; first: "disk" or "network"; qmp_fd: QMP's end of a socket pair.
    """
    argv = [BINARY, "-name", spec.name, "-uuid", uuid, "-nodefaults", "-no-user-config", "-display", "none"]
    # graphics=off sends what the firmware prints to the serial console.
    argv += ["-machine", "q35,graphics=off", *ACCELERATOR_ARGUMENTS[accelerator]]
    argv += ["-smp", str(spec.cpus), "-m", str(spec.memory)]
    # A guest's reset ends the process; the owner starts it again with the boot flags then in force.
    argv += ["-action", "reboot=shutdown,panic=none", "-boot", "strict=on", "-device", "virtio-rng-pci"]
    argv += ["-chardev", f"socket,id=qmp,fd={qmp_fd}", "-mon", "chardev=qmp,mode=control"]
    console = f"socket,id=console,path={CONSOLE_SOCKET},server=on,wait=off,logfile={CONSOLE_LOG},logappend=on"
    argv += ["-chardev", console, "-serial", "chardev:console"]
    disks = [f"disk{number}" for number in range(len(spec.disks))]
    cards = [f"net{number}" for number in range(len(spec.macs))]
    order = {name: place for place, name in enumerate([*cards, *disks] if first == "network" else [*disks, *cards], 1)}
    for name, disk in zip(disks, spec.disks, strict=True):
        options = "format=raw,cache=unsafe,discard=unmap,detect-zeroes=unmap"
        argv += ["-drive", f"if=none,id={name},file={disk_file(disk.serial)},{options}"]
        argv += ["-device", f"virtio-blk-pci,drive={name},serial={disk.serial},bootindex={order[name]}"]
    for number, (name, mac) in enumerate(zip(cards, spec.macs, strict=True)):
        argv += ["-netdev", f"tap,id={name},ifname={tap(index, number)},script=no,downscript=no"]
        argv += ["-device", f"virtio-net-pci,netdev={name},mac={mac},bootindex={order[name]}"]
    return argv


def disk_file(serial: str) -> str:
    """File name of a disk in the directory of its machine."""
    return f"disk-{serial}.raw"


class Qmp:
    """One connection to a QEMU process."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._numbers = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[Any]] = {}

    async def events(self) -> AsyncIterator[dict[str, Any]]:
        """Greet, then yield events until QEMU ends. Answers to commands arrive only while this is iterated."""
        self._writer.write(b'{"execute":"qmp_capabilities","id":0}\n')
        with contextlib.suppress(ConnectionError):
            while raw := await self._reader.readline():
                message = json.loads(raw)
                if "event" in message:
                    yield message
                elif future := self._waiting.pop(message.get("id", 0), None):
                    future.set_result(message)
        for future in self._waiting.values():
            future.cancel()
        self._writer.close()

    async def execute(self, command: str, **arguments: Any) -> Any:
        """Run a command; None when QEMU refused it, did not answer within 10 seconds or ended."""
        number = next(self._numbers)
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._waiting[number] = future
        with contextlib.suppress(ConnectionError, asyncio.TimeoutError, asyncio.CancelledError):
            self._writer.write(json.dumps({"execute": command, "arguments": arguments, "id": number}).encode() + b"\n")
            return (await asyncio.wait_for(future, 10)).get("return")
        self._waiting.pop(number, None)
        return None
