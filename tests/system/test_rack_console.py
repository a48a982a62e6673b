# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Serial-over-LAN of the virtual rack against independent clients: ipmitool on a terminal, and pyghmi."""

from __future__ import annotations

import contextlib
import os
import pty
import select
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from rack_tools import MARK, boots, console, told, tool, until

from tripleo_cloud.rack import Rack
from tripleo_cloud.rack.sol import LARGEST_DATA

pytestmark = [pytest.mark.rack, pytest.mark.usefixtures("off_again")]


@dataclass
class Terminal:
    """`ipmitool sol activate` on a terminal of its own."""

    process: subprocess.Popen[bytes]
    terminal: int
    shown: bytes = b""

    def shows(self, text: bytes) -> bool:
        while select.select([self.terminal], [], [], 0.1)[0]:
            try:
                self.shown += os.read(self.terminal, 4096)
            except OSError:  # the other end is closed
                break
        return text in self.shown

    def types(self, text: bytes) -> None:
        os.write(self.terminal, text)

    def leaves(self) -> None:
        """The way out of ipmitool's console, which deactivates it."""
        self.types(b"\r~.")
        assert self.process.wait(10) == 0


@contextlib.contextmanager
def sol(rack: Rack, name: str, suite: int = 17) -> Iterator[Terminal]:
    bmc = rack.bmc(name)
    ours, theirs = pty.openpty()
    argv = ["ipmitool", "-I", "lanplus", "-C", str(suite), "-H", bmc["address"], "-U", bmc["username"], "-E"]
    process = subprocess.Popen(
        [*argv, "sol", "activate"], env={**os.environ, "IPMI_PASSWORD": bmc["password"]},
        stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True,
    )  # fmt: skip
    os.close(theirs)
    terminal = Terminal(process, ours)
    try:
        yield terminal
    finally:
        process.kill()
        process.wait()
        os.close(ours)


def test_the_console_by_ipmitool_shows_and_types_while_power_commands_go_on(rack: Rack, suite: int) -> None:
    told(rack, "a1", "power", "on", suite=suite)
    with sol(rack, "a1", suite) as terminal:
        until("activation", lambda: terminal.shows(b"SOL Session operational"))
        before = boots(rack, "a1")
        terminal.types(b"r")
        until("the reset that was typed", lambda: boots(rack, "a1") > before)
        until("the mark on the console", lambda: terminal.shows(MARK))
        count = terminal.shown.count(MARK)
        # Other sessions of this BMC: power, log, and a second console, which is refused.
        assert "is on" in told(rack, "a1", "power", "status", suite=suite)
        told(rack, "a1", "power", "cycle", suite=suite)
        second = tool(rack, "a1", "sol", "activate", suite=suite)
        assert second.returncode != 0
        assert "payload already active" in second.stderr
        until("the mark after a power cycle", lambda: terminal.shows(MARK) and terminal.shown.count(MARK) > count)
        terminal.leaves()
    with sol(rack, "a1", suite) as terminal:
        until("activation", lambda: terminal.shows(b"SOL Session operational"))
        terminal.leaves()


def test_a_console_is_freed_by_deactivate_and_when_its_session_is_lost(rack: Rack) -> None:
    with sol(rack, "a2") as terminal:
        until("activation", lambda: terminal.shows(b"SOL Session operational"))
    # Its client was killed, the session is still there.
    assert "payload already active" in tool(rack, "a2", "sol", "activate").stderr
    assert "already de-activated" not in told(rack, "a2", "sol", "deactivate")
    assert "already de-activated" in tool(rack, "a2", "sol", "deactivate").stderr
    with sol(rack, "a2") as terminal:
        until("activation", lambda: terminal.shows(b"SOL Session operational"))
    assert "Enabled" in told(rack, "a2", "sol", "info", "1")
    with sol(rack, "a2") as terminal:
        until("no session", lambda: terminal.shows(b"payload already active"))
        terminal.process.wait(10)
    gone = time.monotonic()

    def free() -> bool:
        return "operational" in shown_by_a_short_console(rack, "a2")

    until("the lost session's end", free, 90)
    assert time.monotonic() - gone > 40


def shown_by_a_short_console(rack: Rack, name: str) -> str:
    with sol(rack, name) as terminal:
        until("an answer", lambda: terminal.shows(b"operational") or terminal.shows(b"already active"))
        if b"operational" in terminal.shown:
            terminal.leaves()
    return terminal.shown.decode(errors="replace")


PYGHMI = """
import sys
from pyghmi.ipmi.console import Console
shown = b""
typed = False
def show(data):
    global shown
    if isinstance(data, dict):
        raise SystemExit(str(data))
    shown += data
console = Console(sys.argv[1], sys.argv[2], sys.stdin.readline().strip(), show)
while shown.count(b"BOOTED-FROM-DISK") < 1:
    if console.connected and not typed:
        console.send_data("r")
        typed = True
    console.wait_for_rsp(1)
console.close()
sys.stdout.buffer.write(shown)
"""


def test_the_console_by_pyghmi(rack: Rack) -> None:
    told(rack, "a1", "power", "on")
    before = boots(rack, "a1")
    until("boot", lambda: boots(rack, "a1") > before)
    bmc = rack.bmc("a1")
    done = subprocess.run(
        [sys.executable, "-c", PYGHMI, bmc["address"], bmc["username"]],
        input=bmc["password"].encode() + b"\n", capture_output=True, check=True, timeout=120,
    )  # fmt: skip
    # Nothing of it is lost or doubled: it is what the machine's own log has.
    assert len(done.stdout) > LARGEST_DATA, "several packets"
    assert done.stdout in console(rack, "a1")
    assert "already de-activated" in tool(rack, "a1", "sol", "deactivate").stderr
