# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A rack of two machines whose disks print a mark and obey what is typed, and the independent client ipmitool."""

from __future__ import annotations

import os
import socket
import subprocess
import time
from collections.abc import Callable
from typing import Any

from tripleo_cloud.rack import Rack

MACHINES = """
machines:
  - name: a1
    memory: 128
    disks: [{size: 1, serial: TESTA1}, {size: 1, serial: TESTA1B}]
  - name: a2
    memory: 128
    boot: network
    disks: [{size: 1, serial: TESTA2}]
"""
MARK = b"BOOTED-FROM-DISK\r\n"


def boot_sector() -> bytes:
    """A disk that prints MARK on the serial line, then obeys it: r resets the machine, o switches it off by ACPI."""
    code = bytes.fromhex(
        "fa31c08ed8fcbe407c"  # cli; ds = 0; si = 0x7c40
        "ac84c07406baf803eeebf5"  # print the text at si on COM1
        "bafd03ec250100"  # wait: is there a byte?
        "74f7baf803ec"
        "3c727504b0fee664"  # r: reset by the keyboard controller
        "3c6f75e7"  # o: else wait
        "ba0406b80020efebfe"  # ACPI's sleep register of q35: S5
    )
    return code.ljust(0x40, b"\x90").ljust(0x40) + (MARK + b"\0").ljust(510 - 0x40, b"\0") + b"\x55\xaa"


def until(what: str, condition: Callable[[], Any], seconds: float = 120.0) -> Any:
    """Wait for a condition and return its value."""
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
        time.sleep(0.1)
    return value


def tool(rack: Rack, name: str, *words: str, suite: int = 17, **account: str) -> subprocess.CompletedProcess[str]:
    bmc = {**rack.bmc(name), **account}
    argv = ["ipmitool", "-I", "lanplus", "-C", str(suite), "-N", "1", "-R", "3"]
    argv += ["-H", bmc["address"], "-U", bmc["username"], "-E", *words]
    return subprocess.run(
        argv, env={**os.environ, "IPMI_PASSWORD": bmc["password"]}, capture_output=True, text=True, check=False
    )


def told(rack: Rack, name: str, *words: str, suite: int = 17) -> str:
    done = tool(rack, name, *words, suite=suite)
    assert done.returncode == 0, done.stderr
    return done.stdout


def console(rack: Rack, name: str) -> bytes:
    path = rack.console_log(name)
    return path.read_bytes() if path.exists() else b""


def type_into(rack: Rack, name: str, letter: bytes) -> None:
    with socket.socket(socket.AF_UNIX) as line:
        handle = os.open(rack.console_log(name).parent, os.O_RDONLY)
        line.connect(f"/proc/self/fd/{handle}/console.sock")
        os.close(handle)
        line.sendall(letter)


def boots(rack: Rack, name: str) -> int:
    return console(rack, name).count(MARK)
