# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Serial-over-LAN packet by packet: numbers, acknowledgements, repetition, and who has the console."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from remote_console import GUID, Clock, Console

from tripleo_cloud.rack.qemu import CONSOLE_LOG, CONSOLE_SOCKET
from tripleo_cloud.rack.rmcp import IDLE_SECONDS, Endpoint, Incoming, Session, SolPacket
from tripleo_cloud.rack.sol import LARGEST_DATA, RETRIES, RETRY_SECONDS, SerialLine, Sol


class Line:
    def __init__(self) -> None:
        self.printed = b""
        self.typed = b""
        self.on = True
        self.closed = 0

    def listen(self) -> None:
        self.printed = b""

    def read(self, most: int) -> bytes:
        data, self.printed = self.printed[:most], self.printed[most:]
        return data

    def write(self, data: bytes) -> bool:
        if self.on:
            self.typed += data
        return self.on

    def close(self) -> None:
        self.closed += 1


class Peer:
    """A console with an open session that has activated SOL, and what it has received."""

    def __init__(self, suite: int) -> None:
        self.clock = Clock()
        self.endpoint = Endpoint("admin", "secret", GUID, self.clock)
        self.line = Line()
        self.sent: list[tuple[bytes, Any]] = []
        self.sol = Sol(self.endpoint, self.line, lambda data, to: self.sent.append((data, to)), self.clock)
        self.console = Console(self.endpoint, suite).open()
        self.session = self.endpoint.sessions[self.console.bmc]
        self.session.address = ("198.51.100.1", 40000)
        self.sol.activate(self.session)

    def tell(self, payload: str) -> None:
        packet = self.endpoint.receive(self.console.seal(bytes.fromhex(payload), kind=1))
        assert isinstance(packet, SolPacket)
        self.sol.receive(packet.session, packet.payload)

    def got(self) -> list[bytes]:
        """Payloads since the last call."""
        payloads = [self.console.open_payload(data) for data, _address in self.sent]
        assert all(data[5] == 0xC1 and address == self.session.address for data, address in self.sent)
        self.sent.clear()
        return payloads


@pytest.fixture(params=[3, 17])
def peer(request: pytest.FixtureRequest) -> Iterator[Peer]:
    async def make() -> Peer:
        return Peer(request.param)

    # The loop does not run during a test: only its own calls of tick() count.
    with asyncio.Runner() as runner:
        yield runner.run(make())


def test_output_comes_in_numbered_packets_one_at_a_time(peer: Peer) -> None:
    peer.line.printed = b"a" * LARGEST_DATA + b"bc"
    peer.sol.tick()
    peer.sol.tick()
    assert peer.got() == [b"\1\0\0\0" + b"a" * LARGEST_DATA]
    peer.tell(f"0001{LARGEST_DATA:02x}00")
    assert peer.got() == [b"\2\0\0\0bc"]
    peer.tell("00020200")
    peer.sol.tick()
    assert peer.got() == []


def test_numbers_go_from_fifteen_to_one(peer: Peer) -> None:
    numbers = []
    for _count in range(17):
        peer.line.printed = b"x"
        peer.sol.tick()
        numbers.append(peer.got()[0][0])
        peer.tell(f"00{numbers[-1]:02x}0100")
    assert numbers == [*range(1, 16), 1, 2]


def test_what_is_not_acknowledged_is_sent_again_and_at_last_dropped(peer: Peer) -> None:
    peer.line.printed = b"lost"
    for _count in range(RETRIES + 3):
        peer.sol.tick()
        peer.clock.now += RETRY_SECONDS
    assert peer.got() == [b"\1\0\0\0lost"] * (RETRIES + 1)
    peer.line.printed = b"next"
    peer.sol.tick()
    assert peer.got() == [b"\2\0\0\0next"]


def test_a_packet_that_was_taken_in_part_goes_on_under_a_new_number_after_a_pause(peer: Peer) -> None:
    peer.line.printed = b"abcd"
    peer.sol.tick()
    peer.tell("00010140")
    peer.sol.tick()
    assert peer.got() == [b"\1\0\0\0abcd"]
    peer.clock.now += RETRY_SECONDS
    peer.sol.tick()
    assert peer.got() == [b"\2\0\0\0bcd"]


def test_an_acknowledgement_of_another_packet_counts_for_nothing(peer: Peer) -> None:
    peer.line.printed = b"ab"
    peer.sol.tick()
    peer.tell("00050200")
    peer.line.printed = b"cd"
    peer.sol.tick()
    assert peer.got() == [b"\1\0\0\0ab"]


def test_typed_text_is_acknowledged_and_not_typed_twice(peer: Peer) -> None:
    peer.tell("010000006f6b")
    peer.tell("010000006f6b")
    peer.tell("010000006f6b21")  # again, with more
    peer.tell("020000000d")
    assert peer.line.typed == b"ok!\r"
    assert peer.got() == [b"\0\1\2\0", b"\0\1\2\0", b"\0\1\3\0", b"\0\2\1\0"]


def test_typing_at_a_machine_that_is_off_is_refused(peer: Peer) -> None:
    peer.line.on = False
    peer.tell("0100000078")
    assert peer.got() == [b"\0\1\0\x60"]
    peer.line.on = True
    peer.tell("0100000078")
    assert peer.got() == [b"\0\1\1\0"]


def test_a_session_that_closes_or_times_out_frees_the_console(peer: Peer) -> None:
    peer.clock.now += IDLE_SECONDS + 1
    peer.line.printed = b"x"
    assert peer.sol.session() is None
    assert peer.line.closed == 1
    assert peer.got() == []


def test_traffic_keeps_the_session(peer: Peer) -> None:
    for _count in range(3):
        peer.clock.now += IDLE_SECONDS - 1
        peer.tell("00010100")
    assert peer.sol.session() is peer.session


def test_another_session_may_not_type_but_may_end_it(peer: Peer) -> None:
    other = Session(77, 1, peer.session.suite, 4, peer.clock.now, open=True)
    peer.endpoint.sessions[77] = other
    peer.sol.receive(other, b"\1\0\0\0x")
    assert peer.line.typed == b""
    peer.sol.deactivate()
    assert peer.got() == [b"\0\0\0\x10"]
    assert peer.sol.session() is None


@pytest.mark.parametrize("payload", ["", "01", "010000"])
def test_short_packets_are_passed_over(peer: Peer, payload: str) -> None:
    peer.tell(payload)
    assert peer.got() == []


def test_commands_go_on_beside_the_console(peer: Peer) -> None:
    peer.line.printed = b"x"
    peer.sol.tick()
    incoming = peer.endpoint.receive(peer.console.seal(peer.console.message(0x00, 0x01, b"")))
    assert isinstance(incoming, Incoming)
    assert peer.console.unseal(peer.endpoint.answer(incoming, b"\0\1")) == b"\0\1"


def test_the_line_reads_on_over_a_new_log(tmp_path: Path) -> None:
    log, line = tmp_path / CONSOLE_LOG, SerialLine(tmp_path)
    line.listen()
    assert line.read(10) == b""
    log.write_bytes(b"one")
    assert line.read(2) + line.read(10) + line.read(10) == b"one"
    log.rename(tmp_path / "old")
    log.write_bytes(b"two")
    assert line.read(10) == b"two"
    line.listen()
    with log.open("ab") as file:
        file.write(b"three")
    assert line.read(10) == b"three"
    log.write_bytes(b"cut")
    assert line.read(10) == b"cut"


def test_typing_without_a_machine_fails_and_takes_no_socket(tmp_path: Path) -> None:
    assert not SerialLine(tmp_path).write(b"x")


def test_the_line_types_into_each_machine_that_is_there(tmp_path: Path) -> None:
    line = SerialLine(tmp_path)
    for text in (b"one", b"two"):
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(os.fspath(tmp_path / CONSOLE_SOCKET))
            server.listen(1)
            assert line.write(text)
            machine = server.accept()[0]
            assert machine.recv(10) == text
            machine.sendall(b"echo")
            assert line.read(10) == b""  # it is read from the log, and taken from the socket
            machine.close()
        (tmp_path / CONSOLE_SOCKET).unlink()
    line.close()
