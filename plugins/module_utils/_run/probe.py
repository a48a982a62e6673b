# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Asks the provisioning network for DHCP servers that are not ours, as the machines that are to boot would."""

from __future__ import annotations

import contextlib
import ctypes
import os
import re
import secrets
import select
import socket
import struct
import subprocess
import time
from collections.abc import Mapping
from typing import Any

from .._boot import dhcp
from .._errors import TripleoError
from .reports import clean

OPERATION = "look for other DHCP servers"
_NEXT = "then run the same playbook again; provision_dhcp_probe_seconds=0 skips this look"
# Once as each kind of firmware; most servers answer both.
TRIES = (dhcp.BIOS, dhcp.UEFI)
_PAUSE_SECONDS = 1.0
_GAP_SECONDS = 0.002
_MOST_OFFERS, _MOST_SERVERS = 4096, 8
_IPV4 = 0x0800
_SOL_PACKET, _ADD_MEMBERSHIP, _PROMISCUOUS, _ATTACH_FILTER = 263, 1, 1, 26
# tcpdump's "udp dst port 68": else the socket's buffer would overflow while other machines fetch their images.
_FILTER = (
    (0x28, 0, 0, 12), (0x15, 0, 8, _IPV4), (0x30, 0, 0, 23), (0x15, 0, 6, 17), (0x28, 0, 0, 20), (0x45, 4, 0, 0x1FFF),
    (0xB1, 0, 0, 14), (0x48, 0, 0, 16), (0x15, 0, 1, 68), (0x06, 0, 0, 0xFFFF), (0x06, 0, 0, 0),
)  # fmt: skip


class OtherDhcpServers(TripleoError):
    """Somebody else answers. servers: who, as the result of boot_services has it."""

    def __init__(self, message: str, servers: list[dict[str, str]], *, next_step: str) -> None:
        super().__init__(message, operation=OPERATION, next_step=next_step)
        self.servers = servers


def alone(interface: str, own: str, nodes: Mapping[str, str], seconds: float, ours: str) -> None:
    """Raise OtherDhcpServers when a DHCP or ProxyDHCP server other than ours answers on an interface.

    own: our server identifier. nodes: name of the node by its MAC address: a server may answer known machines only.
    seconds: how long to listen after the last question. ours: path of our dnsmasq's configuration.
    """
    here = _on_this_host(interface, ours)
    if here:
        raise OtherDhcpServers(
            f"another DHCP server listens on {interface} of this host: {', '.join(here)}",
            [{"server": own, "source": own, "ethernet": "", "offered": "", "node": ""}],
            next_step=f"keep it from {interface}, {_NEXT}",
        )
    try:
        offers = _ask(interface, list(nodes), seconds)
    except OSError as error:
        raise TripleoError(
            f"{interface}: {error.strerror or error}",
            operation=OPERATION,
            next_step="set tripleo_become to true"
            if isinstance(error, PermissionError)
            else "correct tripleo_provisioning_interface, or bring the interface up",
        ) from error
    others: dict[tuple[str, str], dict[str, str]] = {}
    for offer in sorted(offers, key=lambda offer: offer.asked in nodes):
        if offer.server != own and len(others) < _MOST_SERVERS:
            others.setdefault(
                (offer.server or offer.source, offer.ethernet),
                {
                    "server": offer.server or offer.source,
                    "source": offer.source,
                    "ethernet": offer.ethernet,
                    "offered": offer.offered,
                    "node": nodes.get(offer.asked, ""),
                },
            )
    if others:
        servers = list(others.values())
        raise OtherDhcpServers(
            f"another DHCP server answers on {interface}: {'; '.join(map(_words, servers))}",
            servers,
            next_step=f"take it off the provisioning network, or have it ignore these machines, {_NEXT}",
        )


def _on_this_host(interface: str, ours: str) -> list[str]:
    """Processes that listen for DHCP on this interface, but for our dnsmasq: they would not hear the question."""
    command = ["ss", "--no-header", "--udp", "--listening", "--numeric", "--processes", "sport = :67"]
    sockets = subprocess.run(command, check=True, capture_output=True, text=True, errors="replace").stdout
    found = []
    for line in sockets.splitlines():
        for name, pid in re.findall(r'"([^"]*)",pid=([0-9]+)', line if f"%{interface}:67 " in line else ""):
            with contextlib.suppress(OSError), open(f"/proc/{pid}/cmdline", "rb") as stream:
                words = map(os.path.realpath, stream.read().split(b"\0"))
                if os.fsencode(os.path.realpath(ours)) not in words:
                    found.append(f"{clean(name)} (process {pid})")
    return found


def _words(server: Mapping[str, str]) -> str:
    what = f"an offer of {server['offered']}" if server["offered"] else "boot information without an address"
    whom = f"node {server['node']}" if server["node"] else "a machine that nobody knows"
    return f"{server['server']} (from {server['source']}, Ethernet {server['ethernet']}, {what} to {whom})"


def _ask(interface: str, macs: list[str], seconds: float) -> list[dhcp.Offer]:
    """Every answer to the questions of an unknown machine and of these."""
    # Locally administered, unicast.
    unknown = ":".join(["02", *(f"{byte:02x}" for byte in os.urandom(5))])
    asked = {secrets.randbits(32): mac for mac in (unknown, *macs)}
    offers: list[dhcp.Offer] = []

    def listen(wire: socket.socket, duration: float) -> None:
        end = time.monotonic() + duration
        while (left := end - time.monotonic()) > 0:
            if select.select([wire], [], [], left)[0]:
                offer = dhcp.answer(wire.recv(65536), asked)
                if offer and len(offers) < _MOST_OFFERS:
                    offers.append(offer)

    with _open(interface) as wire:
        ethernet = ":".join(f"{byte:02x}" for byte in wire.getsockname()[4])
        for architecture in TRIES:
            for xid, mac in asked.items():
                wire.send(dhcp.discover(xid, mac, ethernet, architecture))
                listen(wire, _GAP_SECONDS)
            listen(wire, _PAUSE_SECONDS)
        listen(wire, seconds)
    return offers


def _open(interface: str) -> socket.socket:
    """A socket on the wire itself: what it sends is not heard by services of this host.

    It hears answers to other hardware addresses as well: not every server honours the broadcast flag.
    """
    wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_CLOEXEC, 0)
    try:
        code = b"".join(struct.pack("=HBBI", *instruction) for instruction in _FILTER)
        buffer = ctypes.create_string_buffer(code, len(code))
        program: Any = struct.pack("@HP", len(_FILTER), ctypes.addressof(buffer))
        wire.setsockopt(socket.SOL_SOCKET, _ATTACH_FILTER, program)
        wire.bind((interface, _IPV4))
        everything = struct.pack("@iHH8s", socket.if_nametoindex(interface), _PROMISCUOUS, 0, b"")
        wire.setsockopt(_SOL_PACKET, _ADD_MEMBERSHIP, everything)
    except BaseException:
        wire.close()
        raise
    return wire
