# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A remote console written from the specification: opens a session, seals packets, proves and opens answers."""

from __future__ import annotations

import hmac
import os
import struct
from dataclasses import dataclass, field

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from tripleo_cloud.rack.rmcp import Endpoint

GUID = bytes(range(16))
HEADER = b"\x06\x00\xff\x07"
SUITES = {3: (1, 1, "sha1", 12), 17: (3, 4, "sha256", 16)}


class Refused(Exception):
    def __init__(self, status: int) -> None:
        super().__init__(hex(status))
        self.status = status


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Console:
    """The other side: opens a session, seals commands and opens answers."""

    endpoint: Endpoint
    suite: int = 17
    username: bytes = b"admin"
    password: bytes = b"secret"
    role: int = 4
    number: int = 0x11223344
    bmc: int = 0
    sequence: int = 0
    k1: bytes = b""
    k2: bytes = b""
    requests: int = field(default=0)

    def digest(self, key: bytes, *parts: bytes) -> bytes:
        return hmac.digest(key, b"".join(parts), SUITES[self.suite][2])

    def exchange(self, kind: int, payload: bytes) -> bytes:
        packet = HEADER + struct.pack("<BBIIH", 6, kind, 0, 0, len(payload)) + payload
        answer = self.endpoint.receive(packet)
        assert isinstance(answer, bytes)
        assert answer[5] == kind + 1
        body = answer[16:]
        if body[1]:
            raise Refused(body[1])
        return body

    def ask(self, authentication: int | None = None) -> bytes:
        auth, integrity = SUITES[self.suite][:2]
        auth = auth if authentication is None else authentication
        algorithms_ = b"".join(bytes([k, 0, 0, 8, v, 0, 0, 0]) for k, v in enumerate((auth, integrity, 1)))
        return self.exchange(0x10, bytes([7, self.role, 0, 0]) + struct.pack("<I", self.number) + algorithms_)

    def open(self) -> Console:
        body = self.ask()
        self.bmc = struct.unpack_from("<I", body, 8)[0]
        own = os.urandom(16)
        who = bytes([self.role, len(self.username)]) + self.username
        rakp1 = bytes([8, 0, 0, 0]) + struct.pack("<I", self.bmc) + own + bytes([self.role, 0, 0]) + who[1:]
        body = self.exchange(0x12, rakp1)
        theirs, guid, code = body[8:24], body[24:40], body[40:]
        numbers = struct.pack("<II", self.number, self.bmc)
        if code != self.digest(self.password, numbers, own, theirs, guid, who):
            # A real console would end here; this one goes on, so that the BMC must find out.
            pass
        rakp3 = self.digest(self.password, theirs, struct.pack("<I", self.number), who)
        body = self.exchange(0x14, bytes([9, 0, 0, 0]) + struct.pack("<I", self.bmc) + rakp3)
        key = self.digest(self.password, own, theirs, who)
        length = SUITES[self.suite][3]
        assert body[8:] == self.digest(key, own, struct.pack("<I", self.bmc), guid)[:length]
        self.k1, self.k2 = self.digest(key, b"\x01" * 20), self.digest(key, b"\x02" * 20)
        return self

    def message(self, netfn: int, command: int, data: bytes) -> bytes:
        self.requests = (self.requests + 1) % 64
        head, body = bytes([0x20, netfn << 2]), bytes([0x81, self.requests << 2, command]) + data
        return head + bytes([-sum(head) & 0xFF]) + body + bytes([-sum(body) & 0xFF])

    def seal(self, message: bytes, sequence: int | None = None, kind: int = 0) -> bytes:
        if sequence is None:
            self.sequence += 1
            sequence = self.sequence
        padding = -(len(message) + 1) % 16
        vector = os.urandom(16)
        encryptor = Cipher(algorithms.AES(self.k2[:16]), modes.CBC(vector)).encryptor()
        plain = message + bytes(range(1, padding + 1)) + bytes([padding])
        payload = vector + encryptor.update(plain) + encryptor.finalize()
        packet = struct.pack("<BBIIH", 6, 0xC0 | kind, self.bmc, sequence, len(payload)) + payload
        fill = -(len(packet) + 2) % 4
        packet += b"\xff" * fill + bytes([fill, 7])
        return HEADER + packet + self.digest(self.k1, packet)[: SUITES[self.suite][3]]

    def unseal(self, datagram: bytes) -> bytes:
        """Completion code and data of an answer."""
        return self.open_payload(datagram)[6:-1]

    def open_payload(self, datagram: bytes) -> bytes:
        """What a packet carries, proven and deciphered."""
        length = SUITES[self.suite][3]
        packet = datagram[4:]
        assert packet[-length:] == self.digest(self.k1, packet[:-length])[:length]
        assert struct.unpack_from("<I", packet, 2)[0] == self.number
        payload = packet[12 : 12 + struct.unpack_from("<H", packet, 10)[0]]
        decryptor = Cipher(algorithms.AES(self.k2[:16]), modes.CBC(payload[:16])).decryptor()
        plain = decryptor.update(payload[16:]) + decryptor.finalize()
        return plain[: -plain[-1] - 1]
