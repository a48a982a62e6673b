# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""RMCP+ of IPMI 2.0: packets, sessions with RAKP authentication, integrity and AES, as a BMC speaks them.

Datagrams come in and go out as bytes; what an IPMI command does is the caller's. A packet that is malformed or not
authentic gets no answer, as the specification wants.
"""

from __future__ import annotations

import hmac
import os
import struct
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

RMCP_HEADER = b"\x06\x00\xff\x07"
_ASF_CLASS = 0x06
_ASF_IANA = 4542
_PING, _PONG = 0x80, 0x40
_NO_SESSION, _RMCP_PLUS = 0x00, 0x06
_IPMI, _SOL, _OPEN, _OPENED, _RAKP1, _RAKP2, _RAKP3, _RAKP4 = 0x00, 0x01, 0x10, 0x11, 0x12, 0x13, 0x14, 0x15
_AES = 1
ADMINISTRATOR = 4
LARGEST_DATAGRAM = 1024
MOST_SESSIONS = 16
# Seconds without a packet: of an open session (60 +- 3 in the specification), and of one that is being opened.
IDLE_SECONDS, OPENING_SECONDS = 60.0, 10.0
_WINDOW = 16


class Malformed(Exception):
    """A packet that gets no answer."""


@dataclass(frozen=True)
class Suite:
    """A cipher suite: algorithms for authentication and integrity (confidentiality is AES-CBC-128 in all)."""

    number: int
    authentication: int
    integrity: int
    digest: str
    code_length: int


# In the order of preference.
SUITES = (Suite(17, 3, 4, "sha256", 16), Suite(3, 1, 1, "sha1", 12))


class Status:
    """Status codes of RMCP+ and RAKP."""

    OK = 0x00
    NO_RESOURCES = 0x01
    INVALID_SESSION = 0x02
    INVALID_ROLE = 0x09
    UNAUTHORISED_NAME = 0x0D
    BAD_INTEGRITY_CHECK = 0x0F
    NO_MATCHING_SUITE = 0x11


@dataclass(frozen=True)
class Request:
    """One IPMI command."""

    netfn: int
    command: int
    data: bytes
    lun: int
    sequence: int
    requester: int
    responder: int


@dataclass
class Session:
    """A session with a remote console; open once the console has proven that it knows the password."""

    number: int
    console: int
    suite: Suite
    role: int
    seen: float
    open: bool = False
    privilege: int = 2  # a session starts as "user"
    highest: int = ADMINISTRATOR
    name: bytes = b""
    console_random: bytes = b""
    own_random: bytes = b""
    key: bytes = b""
    integrity_key: bytes = b""
    cipher_key: bytes = b""
    highest_sequence: int = 0
    seen_sequences: int = 0
    sent: int = 0
    last_request: bytes = b""
    last_answer: bytes = b""
    address: Any = None  # where its last datagram came from

    def digest(self, key: bytes, *parts: bytes) -> bytes:
        """HMAC with the suite's algorithm."""
        return hmac.digest(key, b"".join(parts), self.suite.digest)

    def accept(self, sequence: int) -> bool:
        """False for a sequence number that was there before or is too old."""
        ahead = sequence - self.highest_sequence
        if ahead > 0:
            self.seen_sequences = (self.seen_sequences << min(ahead, _WINDOW) | 1) & 0xFFFFFFFF
            self.highest_sequence = sequence
            return True
        if sequence == 0 or -ahead >= _WINDOW or self.seen_sequences >> -ahead & 1:
            return False
        self.seen_sequences |= 1 << -ahead
        return True


@dataclass(frozen=True)
class Incoming:
    """A command that is to be carried out, and in which session (None: outside of any)."""

    request: Request
    session: Session | None


@dataclass(frozen=True)
class SolPacket:
    """A packet of serial-over-LAN, and the session that it came in."""

    payload: bytes
    session: Session


def checksum(data: bytes) -> int:
    """IPMI's two's complement checksum."""
    return -sum(data) & 0xFF


def parse_message(message: bytes) -> Request:
    """An IPMI request of the wire. Raises Malformed."""
    if len(message) < 7 or checksum(message[:2]) != message[2] or checksum(message[3:-1]) != message[-1]:
        raise Malformed
    return Request(message[1] >> 2, message[5], message[6:-1], message[1] & 3, message[4], message[3], message[0])


def build_answer(request: Request, answer: bytes) -> bytes:
    """The response to a request; answer is the completion code and the data."""
    head = bytes([request.requester, (request.netfn | 1) << 2 | request.sequence & 3])
    body = bytes([request.responder, request.sequence & 0xFC | request.lun, request.command]) + answer
    return head + bytes([checksum(head)]) + body + bytes([checksum(body)])


class Endpoint:
    """The sessions of one BMC with one account."""

    def __init__(self, username: str, password: str, guid: bytes, clock: Callable[[], float] = time.monotonic) -> None:
        self.username = username.encode()
        self.guid = guid
        self.sessions: dict[int, Session] = {}
        self._password = password.encode()
        self._clock = clock
        self._next = int.from_bytes(os.urandom(3), "little") + 1

    def receive(self, datagram: bytes) -> bytes | Incoming | SolPacket | None:
        """Take a datagram: bytes are to be sent back, an Incoming is to be carried out, None is silence."""
        try:
            return self._receive(datagram)
        except (Malformed, struct.error, IndexError):
            return None

    def answer(self, incoming: Incoming, answer: bytes) -> bytes:
        """The datagram that answers a command."""
        message = build_answer(incoming.request, answer)
        session = incoming.session
        if session is None:
            return RMCP_HEADER + bytes([_NO_SESSION]) + bytes(8) + bytes([len(message)]) + message
        session.last_answer = message
        return self._seal(session, message)

    def sol(self, session: Session, payload: bytes) -> bytes:
        """The datagram of a packet of serial-over-LAN."""
        return self._seal(session, payload, _SOL)

    def close(self, number: int) -> bool:
        """End a session; False when there is none of this number."""
        return self.sessions.pop(number, None) is not None

    def expire(self) -> None:
        """Forget sessions that have been silent for too long."""
        now = self._clock()
        for number, session in list(self.sessions.items()):
            if now - session.seen > (IDLE_SECONDS if session.open else OPENING_SECONDS):
                del self.sessions[number]

    def _receive(self, datagram: bytes) -> bytes | Incoming | SolPacket | None:
        if len(datagram) > LARGEST_DATAGRAM or datagram[0] != 0x06:
            raise Malformed
        if datagram[3] & 0x1F == _ASF_CLASS:
            return _pong(datagram)
        if datagram[3] != RMCP_HEADER[3]:
            raise Malformed
        packet = datagram[4:]
        if packet[0] == _NO_SESSION:
            sequence, number, length = struct.unpack_from("<IIB", packet, 1)
            if sequence or number or len(packet) < 10 + length:
                raise Malformed
            return Incoming(parse_message(packet[10 : 10 + length]), None)
        if packet[0] != _RMCP_PLUS:
            raise Malformed
        kind, number, sequence, length = struct.unpack_from("<BIIH", packet, 1)
        payload = packet[12 : 12 + length]
        if len(payload) != length:
            raise Malformed
        self.expire()
        if kind == _OPEN:
            return self._opened(payload)
        if kind == _RAKP1:
            return self._rakp2(payload)
        if kind == _RAKP3:
            return self._rakp4(payload)
        if kind == _IPMI and number == 0:
            return Incoming(parse_message(payload), None)
        if kind not in (_IPMI | 0xC0, _SOL | 0xC0):
            raise Malformed
        return self._sealed(packet, number, sequence, payload)

    def _sealed(self, packet: bytes, number: int, sequence: int, payload: bytes) -> bytes | Incoming | SolPacket | None:
        session = self.sessions.get(number)
        if session is None or not session.open:
            raise Malformed
        length = session.suite.code_length
        expected = session.digest(session.integrity_key, packet[:-length])[:length]
        if not hmac.compare_digest(expected, packet[-length:]):
            raise Malformed
        fresh = session.accept(sequence)
        message = _decrypt(session.cipher_key, payload)
        session.seen = self._clock()
        if packet[1] & 0x3F == _SOL:
            # Its own numbers tell a packet that was sent again.
            return SolPacket(message, session) if fresh else None
        if message == session.last_request:
            # The same command again is a console that has lost the answer: nothing is done twice.
            return self._seal(session, session.last_answer) if session.last_answer else None
        if not fresh:
            raise Malformed
        request = parse_message(message)
        session.last_request, session.last_answer = message, b""
        return Incoming(request, session)

    def _opened(self, payload: bytes) -> bytes:
        tag, role, console = payload[0], payload[1] & 0x0F, payload[4:8]
        authentication, integrity, confidentiality = payload[12], payload[20], payload[28]

        def refuse(status: int) -> bytes:
            return _plain(_OPENED, bytes([tag, status, 0, 0]) + console)

        suites = [
            suite
            for suite in SUITES
            if (payload[11] == 0 or suite.authentication == authentication & 0x3F)
            and (payload[19] == 0 or suite.integrity == integrity & 0x3F)
            and (payload[27] == 0 or confidentiality & 0x3F == _AES)
        ]
        if not suites:
            return refuse(Status.NO_MATCHING_SUITE)
        if role > ADMINISTRATOR:
            return refuse(Status.INVALID_ROLE)
        if len(self.sessions) >= MOST_SESSIONS:
            return refuse(Status.NO_RESOURCES)
        suite = suites[0]
        self._next = self._next % 0xFFFFFFFE + 1
        number = self._next
        self.sessions[number] = Session(number, struct.unpack("<I", console)[0], suite, role, self._clock())
        algorithms_ = b"".join(
            bytes([kind, 0, 0, 8, value, 0, 0, 0])
            for kind, value in enumerate((suite.authentication, suite.integrity, _AES))
        )
        head = bytes([tag, Status.OK, role or ADMINISTRATOR, 0])
        return _plain(_OPENED, head + console + struct.pack("<I", number) + algorithms_)

    def _rakp2(self, payload: bytes) -> bytes:
        tag, number = payload[0], struct.unpack_from("<I", payload, 4)[0]
        session = self.sessions.get(number)
        if session is None or session.open:
            return _plain(_RAKP2, bytes([tag, Status.INVALID_SESSION, 0, 0]) + bytes(4))
        console = struct.pack("<I", session.console)
        role, length = payload[24], payload[27]
        session.name = payload[28 : 28 + length]

        def refuse(status: int) -> bytes:
            self.close(number)
            return _plain(_RAKP2, bytes([tag, status, 0, 0]) + console)

        if len(payload[8:24]) != 16 or len(session.name) != length:
            raise Malformed
        if role & 0x0F > ADMINISTRATOR:
            return refuse(Status.INVALID_ROLE)
        if session.name != self.username:
            return refuse(Status.UNAUTHORISED_NAME)
        session.role = role
        session.highest = role & 0x0F or ADMINISTRATOR
        session.console_random = payload[8:24]
        session.own_random = os.urandom(16)
        code = session.digest(
            self._password,
            console,
            struct.pack("<I", number),
            session.console_random,
            session.own_random,
            self.guid,
            bytes([role, length]),
            session.name,
        )
        return _plain(_RAKP2, bytes([tag, Status.OK, 0, 0]) + console + session.own_random + self.guid + code)

    def _rakp4(self, payload: bytes) -> bytes:
        tag, status, number = payload[0], payload[1], struct.unpack_from("<I", payload, 4)[0]
        session = self.sessions.get(number)
        if session is None or session.open or not session.own_random:
            return _plain(_RAKP4, bytes([tag, Status.INVALID_SESSION, 0, 0]) + bytes(4))
        console = struct.pack("<I", session.console)
        who = bytes([session.role, len(session.name)]) + session.name
        expected = session.digest(self._password, session.own_random, console, who)
        if status or not hmac.compare_digest(expected, payload[8:]):
            self.close(number)
            return _plain(_RAKP4, bytes([tag, Status.BAD_INTEGRITY_CHECK, 0, 0]) + console)
        session.key = session.digest(self._password, session.console_random, session.own_random, who)
        session.integrity_key = session.digest(session.key, b"\x01" * 20)
        session.cipher_key = session.digest(session.key, b"\x02" * 20)[:16]
        session.open = True
        session.seen = self._clock()
        check = session.digest(session.key, session.console_random, struct.pack("<I", number), self.guid)
        return _plain(_RAKP4, bytes([tag, Status.OK, 0, 0]) + console + check[: session.suite.code_length])

    def _seal(self, session: Session, message: bytes, kind: int = _IPMI) -> bytes:
        session.sent = session.sent % 0xFFFFFFFF + 1
        payload = _encrypt(session.cipher_key, message)
        packet = struct.pack("<BBIIH", _RMCP_PLUS, 0xC0 | kind, session.console, session.sent, len(payload)) + payload
        # The authenticated part is a multiple of four bytes long.
        padding = -(len(packet) + 2) % 4
        packet += b"\xff" * padding + bytes([padding, 0x07])
        return RMCP_HEADER + packet + session.digest(session.integrity_key, packet)[: session.suite.code_length]


def _plain(kind: int, payload: bytes) -> bytes:
    return RMCP_HEADER + struct.pack("<BBIIH", _RMCP_PLUS, kind, 0, 0, len(payload)) + payload


def _pong(datagram: bytes) -> bytes | None:
    iana, kind, tag = struct.unpack_from(">IBB", datagram, 4)
    if iana != _ASF_IANA or kind != _PING:
        return None
    body = struct.pack(">IIBB6x", _ASF_IANA, 0, 0x81, 0)
    return b"\x06\x00\xff\x06" + struct.pack(">IBBBB", _ASF_IANA, _PONG, tag, 0, len(body)) + body


def _encrypt(key: bytes, message: bytes) -> bytes:
    padding = -(len(message) + 1) % 16
    plain = message + bytes(range(1, padding + 1)) + bytes([padding])
    vector = os.urandom(16)
    encryptor = Cipher(algorithms.AES(key), modes.CBC(vector)).encryptor()
    return vector + encryptor.update(plain) + encryptor.finalize()


def _decrypt(key: bytes, payload: bytes) -> bytes:
    if len(payload) < 32 or len(payload) % 16:
        raise Malformed
    decryptor = Cipher(algorithms.AES(key), modes.CBC(payload[:16])).decryptor()
    plain = decryptor.update(payload[16:]) + decryptor.finalize()
    padding = plain[-1]
    if padding > 15 or plain[-padding - 1 : -1] != bytes(range(1, padding + 1)):
        raise Malformed
    return plain[: -padding - 1]
