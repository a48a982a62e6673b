# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The node agent of a server, called through OpenSSH: lines of JSON come, and what they ask for goes."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Optional

from .errors import PushError

# What a line is answered with; None where there is nothing to say.
Talk = Callable[[Mapping[str, Any]], Optional[bytes]]

LONGEST_LINE = 4 * 1024 * 1024
MOST_STDERR = 4096
CONNECTION_FAILED = 255
MOST_BREAKS = 5
NO_COMMAND = 127
# What OpenSSH says when trying again cannot help, and what then can.
_FINAL = {
    "Host key verification failed": (
        "its host key is not the one that its deployment reported",
        "find out who answers at its address; tripleo.cloud.deploy pins the key of a server that it deploys",
    ),
    "Permission denied": (
        "it does not accept the stack's SSH key",
        "see /root/.ssh/authorized_keys on its console, or deploy the server again",
    ),
}


@dataclass(frozen=True)
class Access:
    """How the servers of a stack are reached. connect_seconds: how long a server may take to answer at all.

    control: folder of the kept connections; empty for none. keep_seconds: how long one stays that nobody uses.
    """

    key: str
    known_hosts: str
    user: str = "root"
    port: int = 22
    agent: str = "/usr/local/bin/node-agent"
    connect_seconds: float = 300.0
    control: str = ""
    keep_seconds: int = 0

    @classmethod
    def of_stack(cls, state_dir: str, stack: str, **options: Any) -> Access:
        """The access with the stack's own key and pinned host keys."""
        folder = os.path.join(state_dir, "secrets", stack)
        return cls(os.path.join(folder, "ssh_key"), os.path.join(folder, "known_hosts"), **options)

    def command(self, address: str, action: str) -> list[str]:
        """The argument vector of ssh; nothing of the user's own configuration counts."""
        options = {
            "IdentitiesOnly": "yes",
            "UserKnownHostsFile": self.known_hosts,
            "GlobalKnownHostsFile": "none",
            "StrictHostKeyChecking": "yes",
            "UpdateHostKeys": "no",
            "BatchMode": "yes",
            "ConnectTimeout": "15",
            "ServerAliveInterval": "15",
            "ServerAliveCountMax": "8",
            "LogLevel": "ERROR",
        }
        if self.control:
            options["ControlPath"] = os.path.join(self.control, address)
            options["ControlMaster"] = "auto" if self.keep_seconds else "no"
            options["ControlPersist"] = str(self.keep_seconds or "no")
        flags = [part for name, value in options.items() for part in ("-o", f"{name}={value}")]
        where = ["-p", str(self.port), f"{self.user}@{address}"]
        # However this process ends, ssh ends with it.
        start = ["setpriv", "--pdeathsig", "TERM", "ssh"]
        return [*start, "-F", "none", "-T", "-i", self.key, *flags, *where, self.agent, action]


async def call_agent(
    access: Access, server: str, address: str, action: str, opening: bytes, talk: Talk, seconds: float
) -> None:
    """Run an action of the agent: send it the opening, hand each line to talk, and send what that answers.

    One answer ends what is sent. A connection that cannot be made or breaks is tried again, of which talk hears as a
    step, until connect_seconds have gone without a line, or the agent has begun and been cut off MOST_BREAKS times; it
    takes the same push twice. seconds is the limit of the whole. Raises PushError.
    """
    deadline = time.monotonic() + seconds
    heard = time.monotonic()
    pause = 0.5
    breaks = 0

    def heeded(line: Mapping[str, Any]) -> Optional[bytes]:
        nonlocal heard
        heard = time.monotonic()
        return talk(line)

    while True:
        began = time.monotonic()
        try:
            status, stderr = await asyncio.wait_for(
                _once(access.command(address, action), opening, heeded), max(0.1, deadline - time.monotonic())
            )
        except asyncio.TimeoutError:
            raise PushError(
                f"it was not done after {seconds:.0f} s",
                node=server,
                operation=action,
                next_step="read /var/log/node-agent.log there; node_timeout is the limit",
            ) from None
        if status != CONNECTION_FAILED:
            return _check(status, stderr, server, action)
        for text, (cause, next_step) in _FINAL.items():
            if text in stderr:
                raise PushError(cause, node=server, operation=f"connect to {address}", next_step=next_step)
        if time.monotonic() - heard > access.connect_seconds:
            raise PushError(
                f"no answer from {address} for {access.connect_seconds:.0f} s: {stderr or 'the connection broke'}",
                node=server,
                operation=f"connect to {address}",
                next_step="look at its messages on its console",
            )
        # ssh says the same of a connection that broke and of an agent that was killed there.
        breaks += heard > began
        if breaks == MOST_BREAKS:
            raise PushError(
                f"its agent was cut off {breaks} times: {stderr or 'it is killed there, or the connection breaks'}",
                node=server,
                operation=action,
                next_step="read /var/log/node-agent.log and the kernel's messages there (is memory short?)",
            )
        talk({"step": "connect"})
        await asyncio.sleep(pause)
        pause = min(5.0, pause * 2)


def _check(status: int, stderr: str, server: str, action: str) -> None:
    # The agent's own failures are 1 with a result line; the caller looks at that.
    if status in (0, 1) and not stderr.startswith("node-agent:"):
        return
    next_step = "read /var/log/node-agent.log there"
    if status == NO_COMMAND:
        next_step = "build its image with the element node-agent"
    raise PushError(f"status {status}: {stderr}", node=server, operation=action, next_step=next_step)


def watch_by_descriptors() -> None:
    """Learn of a process's end by a descriptor, as newer Pythons do; before 3.12 asyncio starts a thread for each."""
    if sys.version_info < (3, 12) and hasattr(os, "pidfd_open"):
        watcher = asyncio.PidfdChildWatcher()
        watcher.attach_loop(asyncio.get_running_loop())
        asyncio.get_event_loop_policy().set_child_watcher(watcher)


async def _once(command: list[str], opening: bytes, talk: Talk) -> tuple[int, str]:
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        limit=LONGEST_LINE,
    )
    if not (process.stdin and process.stdout and process.stderr):
        raise AssertionError("a pipe that was asked for is missing")
    stderr = asyncio.ensure_future(_tail(process.stderr))
    feeds = [asyncio.ensure_future(_feed(process.stdin, opening, last=not opening))]
    try:
        async for line in process.stdout:
            with contextlib.suppress(ValueError):
                loaded = json.loads(line)
                answer = talk(loaded) if isinstance(loaded, dict) else None
                if answer is not None:
                    feeds.append(asyncio.ensure_future(_feed(process.stdin, answer, last=True)))
        return await process.wait(), await stderr
    finally:
        for task in (stderr, *feeds):
            task.cancel()
        await asyncio.gather(stderr, *feeds, return_exceptions=True)
        process.stdin.close()
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()


async def _feed(stream: asyncio.StreamWriter, content: bytes, *, last: bool) -> None:
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        stream.write(content)
        await stream.drain()
        if last:
            stream.close()


async def _tail(stream: asyncio.StreamReader) -> str:
    kept = b""
    while True:
        chunk = await stream.read(65536)
        if not chunk:
            return kept.decode("utf-8", "replace").strip()
        kept = (kept + chunk)[-MOST_STDERR:]
