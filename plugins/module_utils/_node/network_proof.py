# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Proof that a host answers through the network as it is now: an ICMP echo, any answer to TCP, or to ARP and ND."""

from __future__ import annotations

import contextlib
import errno
import os
import select
import socket
import struct
import subprocess
import time
from collections.abc import Sequence
from typing import NamedTuple, Optional, Union

ROUND_SECONDS = 2.0
_BIND_TO_DEVICE = 25
_ANSWERED = (0, errno.ECONNREFUSED, errno.ECONNRESET)


class Target(NamedTuple):
    """Who has to answer. device: through this interface only, when it is not empty."""

    what: str
    address: str
    device: str = ""
    ports: tuple[int, ...] = (22,)

    def __str__(self) -> str:
        return f"{self.what} {self.address}{f' on {self.device}' if self.device else ''}"


def silent(targets: Sequence[Target], seconds: float) -> list[Target]:
    """Those that have not answered when seconds have gone."""
    deadline = time.monotonic() + seconds
    missing = list(targets)
    for target in missing:
        # What the kernel knew before is no answer.
        _ip("neigh", "flush", "to", target.address)
    while True:
        missing = [target for target in missing if not _answers(target, min(ROUND_SECONDS, max(0.2, seconds)))]
        if not missing or time.monotonic() >= deadline:
            return missing
        time.sleep(0.2)


def _answers(target: Target, seconds: float) -> bool:
    family = socket.AF_INET6 if ":" in target.address else socket.AF_INET
    with contextlib.ExitStack() as stack:
        waiting = {}
        for port in target.ports:
            channel = _socket(stack, family, socket.SOCK_STREAM, 0, target.device)
            if channel is None:
                continue
            status = channel.connect_ex(_place(family, target, port))
            if status in _ANSWERED:
                return True
            if status == errno.EINPROGRESS:
                waiting[channel.fileno()] = (channel, select.POLLOUT)
        echo = _echo(stack, family, target)
        if echo:
            waiting[echo.fileno()] = (echo, select.POLLIN)
        poller = select.poll()
        for descriptor, (_channel, event) in waiting.items():
            poller.register(descriptor, event)
        deadline = time.monotonic() + seconds
        while waiting and time.monotonic() < deadline:
            for descriptor, _event in poller.poll(200):
                channel, event = waiting[descriptor]
                if event == select.POLLIN:
                    if _is_reply(channel, family, target.address):
                        return True
                    continue
                if channel.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) in _ANSWERED:
                    return True
                poller.unregister(descriptor)
                del waiting[descriptor]
            if _is_neighbour(target):
                return True
    return False


def _socket(stack: contextlib.ExitStack, family: int, kind: int, protocol: int, device: str) -> Optional[socket.socket]:
    try:
        channel = stack.enter_context(socket.socket(family, kind | socket.SOCK_NONBLOCK, protocol))
        if device:
            channel.setsockopt(socket.SOL_SOCKET, _BIND_TO_DEVICE, device.encode() + b"\0")
    except OSError:
        return None
    return channel


def _place(family: int, target: Target, port: int) -> Union[tuple[str, int], tuple[str, int, int, int]]:
    if family == socket.AF_INET:
        return target.address, port
    try:
        scope = socket.if_nametoindex(target.device) if target.device else 0
    except OSError:
        scope = 0
    return target.address, port, 0, scope


def _echo(stack: contextlib.ExitStack, family: int, target: Target) -> Optional[socket.socket]:
    six = family == socket.AF_INET6
    protocol = socket.IPPROTO_ICMPV6 if six else socket.IPPROTO_ICMP
    channel = _socket(stack, family, socket.SOCK_RAW, protocol, target.device)
    if channel is None:
        return None
    head = struct.pack("!BBHHH", 128 if six else 8, 0, 0, os.getpid() & 0xFFFF, 1)
    if not six:
        # For IPv6 the kernel fills the checksum in.
        head = head[:2] + struct.pack("!H", _checksum(head)) + head[4:]
    try:
        channel.sendto(head, _place(family, target, 0))
    except OSError:
        return None
    return channel


def _is_reply(channel: socket.socket, family: int, address: str) -> bool:
    try:
        packet, sender = channel.recvfrom(2048)
    except OSError:
        return False
    body = packet if family == socket.AF_INET6 else packet[(packet[0] & 15) * 4 :]
    same = socket.inet_pton(family, sender[0].partition("%")[0]) == socket.inet_pton(family, address)
    wanted = 129 if family == socket.AF_INET6 else 0
    return same and len(body) >= 8 and body[0] == wanted and body[4:6] == struct.pack("!H", os.getpid() & 0xFFFF)


def _is_neighbour(target: Target) -> bool:
    shown = _ip("neigh", "show", "to", target.address, *(("dev", target.device) if target.device else ()))
    return any("lladdr" in line and line.split()[-1] in ("REACHABLE", "STALE", "DELAY") for line in shown.splitlines())


def _ip(*words: str) -> str:
    done = subprocess.run(["ip", *words], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=False)
    return done.stdout


def _checksum(data: bytes) -> int:
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    total = (total >> 16) + (total & 0xFFFF)
    return ~(total + (total >> 16)) & 0xFFFF
