# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""DHCPv4 as Ethernet frames: the question of a machine that boots by network, and what its answers say."""

from __future__ import annotations

import ipaddress
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Optional

BIOS, UEFI = 0, 7
_BROADCAST = b"\xff" * 6
_COOKIE = b"\x63\x82\x53\x63"
_SERVER_PORT, _CLIENT_PORT = 67, 68
_HEADER = struct.Struct("!4BIHH4s4s4s4s16s192s4s")
_DISCOVER, _OFFER, _ACK = 1, 2, 5
_PAD, _MESSAGE, _SERVER_ID, _END = 0, 53, 54, 255
_WANTED = bytes([1, 3, 6, 12, 15, 28, 43, 54, 60, 66, 67, 97])
# Relays and the second server of a pair may answer only a machine that has been asking for a while.
_SECONDS_ASKED = 60


@dataclass(frozen=True)
class Offer:
    """An answer to one of our questions.

    server: its server identifier, "" without one. source, ethernet: where the packet came from. offered: the address,
    "" when there is only boot information (ProxyDHCP). asked: the hardware address that the question was for.
    """

    server: str
    source: str
    ethernet: str
    offered: str
    asked: str


def discover(xid: int, hardware: str, ethernet: str, architecture: int) -> bytes:
    """A broadcast DHCPDISCOVER of a PXE client that asks for a broadcast answer.

    xid: below 2**32. hardware: MAC address of the machine that asks. ethernet: of the interface that sends.
    architecture: of the client, RFC 4578.
    """
    client = _bytes(hardware)
    options = _options(
        (_MESSAGE, bytes([_DISCOVER])),
        (55, _WANTED),
        (57, struct.pack("!H", 1472)),
        (60, f"PXEClient:Arch:{architecture:05}:UNDI:002001".encode()),
        (93, struct.pack("!H", architecture)),
        (94, bytes([1, 2, 1])),
        (97, bytes(11) + client),
    )
    none = bytes(4)
    header = _HEADER.pack(1, 1, 6, 0, xid, _SECONDS_ASKED, 0x8000, none, none, none, none, client, b"", _COOKIE)
    message = (header + options).ljust(300, b"\0")
    length = 8 + len(message)
    addresses = none + b"\xff" * 4
    udp = struct.pack("!4H", _CLIENT_PORT, _SERVER_PORT, length, 0) + message
    total = _checksum(addresses + struct.pack("!2H", 17, length) + udp) or 0xFFFF
    udp = udp[:6] + struct.pack("!H", total) + udp[8:]
    ip = struct.pack("!2B3H2BH", 0x45, 0, 20 + length, 0, 0, 64, 17, 0) + addresses
    ip = ip[:10] + struct.pack("!H", _checksum(ip)) + ip[12:]
    return _BROADCAST + _bytes(ethernet) + b"\x08\x00" + ip + udp


def answer(frame: bytes, asked: Mapping[int, str]) -> Optional[Offer]:
    """What a received frame offers, None when it is no answer to what was asked.

    asked: hardware address by transaction id. Whatever answers our id for our hardware address counts, however damaged
    its options are: a machine's firmware may believe it.
    """
    if len(frame) < 34 or frame[12:14] != b"\x08\x00" or frame[14] >> 4 != 4 or frame[23] != 17:
        return None
    datagram = frame[14 + 4 * (frame[14] & 15) :]
    message = datagram[8:]
    if int.from_bytes(frame[20:22], "big") & 0x1FFF or len(message) < _HEADER.size:
        return None
    fields = _HEADER.unpack_from(message)
    operation, xid, offered, client, cookie = fields[0], fields[4], fields[8], fields[11], fields[13]
    to_client = datagram[2:4] == struct.pack("!H", _CLIENT_PORT)
    hardware = ":".join(f"{byte:02x}" for byte in client[:6])
    if operation != 2 or not to_client or cookie != _COOKIE or asked.get(xid) != hardware:
        return None
    options = _read_options(message[_HEADER.size :])
    if options.get(_MESSAGE, bytes([_OFFER])) not in (bytes([_OFFER]), bytes([_ACK])):
        return None
    server = options.get(_SERVER_ID, b"")
    return Offer(
        server=str(ipaddress.IPv4Address(server)) if len(server) == 4 else "",
        source=str(ipaddress.IPv4Address(frame[26:30])),
        ethernet=":".join(f"{byte:02x}" for byte in frame[6:12]),
        offered=str(ipaddress.IPv4Address(offered)) if any(offered) else "",
        asked=hardware,
    )


def _options(*options: tuple[int, bytes]) -> bytes:
    return b"".join(bytes([code, len(value)]) + value for code, value in options) + bytes([_END])


def _read_options(text: bytes) -> dict[int, bytes]:
    """The options up to the first one that is cut off; of one that comes twice the first."""
    found: dict[int, bytes] = {}
    at = 0
    while at < len(text) and text[at] != _END:
        if text[at] == _PAD:
            at += 1
            continue
        value = text[at + 2 : at + 2 + text[at + 1]] if at + 1 < len(text) else b""
        if at + 1 >= len(text) or len(value) < text[at + 1]:
            break
        found.setdefault(text[at], value)
        at += 2 + len(value)
    return found


def _bytes(mac: str) -> bytes:
    return bytes.fromhex(mac.replace(":", ""))


def _checksum(text: bytes) -> int:
    """The Internet checksum, RFC 1071."""
    even = text + b"\0" * (len(text) & 1)
    total: int = sum(struct.unpack(f"!{len(even) // 2}H", even))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF
