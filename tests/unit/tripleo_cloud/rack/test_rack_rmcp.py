# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The RMCP+ endpoint against a console written from the specification, packet by packet."""

from __future__ import annotations

import struct

import pytest
from remote_console import GUID, HEADER, Clock, Console, Refused

from tripleo_cloud.rack import rmcp
from tripleo_cloud.rack.rmcp import Endpoint, Incoming, Status

POWER_STATUS = (0x00, 0x01, b"")


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def endpoint(clock: Clock) -> Endpoint:
    return Endpoint("admin", "secret", GUID, clock)


@pytest.mark.parametrize("suite", [3, 17])
def test_a_session_carries_commands_and_answers(endpoint: Endpoint, suite: int) -> None:
    console = Console(endpoint, suite).open()
    incoming = endpoint.receive(console.seal(console.message(0x06, 0x3B, b"\x04")))
    assert isinstance(incoming, Incoming)
    assert (incoming.request.netfn, incoming.request.command, incoming.request.data) == (0x06, 0x3B, b"\x04")
    assert incoming.session is not None
    assert console.unseal(endpoint.answer(incoming, b"\x00\x04")) == b"\x00\x04"


@pytest.mark.parametrize("suite", [3, 17])
@pytest.mark.parametrize(
    ("account", "status"),
    [
        ({"password": b"wrong"}, Status.BAD_INTEGRITY_CHECK),
        ({"password": b""}, Status.BAD_INTEGRITY_CHECK),
        ({"username": b"nobody"}, Status.UNAUTHORISED_NAME),
        ({"username": b""}, Status.UNAUTHORISED_NAME),
        ({"role": 5}, Status.INVALID_ROLE),
    ],
)
def test_wrong_accounts_are_refused_and_leave_no_session(
    endpoint: Endpoint, suite: int, account: dict[str, bytes], status: int
) -> None:
    with pytest.raises(Refused) as refused:
        Console(endpoint, suite, **account).open()  # type: ignore[arg-type]
    assert refused.value.status == status
    assert not endpoint.sessions


@pytest.mark.parametrize("authentication", [0, 2])
def test_other_algorithms_are_refused(endpoint: Endpoint, authentication: int) -> None:
    with pytest.raises(Refused) as refused:
        Console(endpoint).ask(authentication)
    assert refused.value.status == Status.NO_MATCHING_SUITE


def test_sessions_are_limited(endpoint: Endpoint) -> None:
    for _number in range(rmcp.MOST_SESSIONS):
        Console(endpoint).open()
    with pytest.raises(Refused) as refused:
        Console(endpoint).open()
    assert refused.value.status == Status.NO_RESOURCES


def test_half_open_sessions_do_not_block_for_long(endpoint: Endpoint, clock: Clock) -> None:
    for _number in range(rmcp.MOST_SESSIONS):
        Console(endpoint).ask()
    clock.now += rmcp.OPENING_SECONDS + 1
    Console(endpoint).open()


def test_idle_sessions_end_and_used_ones_do_not(endpoint: Endpoint, clock: Clock) -> None:
    idle, used = Console(endpoint).open(), Console(endpoint).open()
    for _number in range(3):
        clock.now += rmcp.IDLE_SECONDS / 2
        assert isinstance(endpoint.receive(used.seal(used.message(*POWER_STATUS))), Incoming)
    assert endpoint.receive(idle.seal(idle.message(*POWER_STATUS))) is None


def test_a_repeated_command_gets_the_same_answer_and_is_not_done_again(endpoint: Endpoint) -> None:
    console = Console(endpoint).open()
    message = console.message(0x00, 0x02, b"\x02")
    incoming = endpoint.receive(console.seal(message))
    assert isinstance(incoming, Incoming)
    assert endpoint.receive(console.seal(message)) is None  # still at work
    endpoint.answer(incoming, b"\x00")
    again = endpoint.receive(console.seal(message))
    assert isinstance(again, bytes)
    assert console.unseal(again) == b"\x00"


def test_replayed_packets_are_ignored(endpoint: Endpoint) -> None:
    console = Console(endpoint).open()
    first = console.seal(console.message(0x00, 0x02, b"\x00"))
    for packet in (first, console.seal(console.message(*POWER_STATUS))):
        incoming = endpoint.receive(packet)
        assert isinstance(incoming, Incoming)
        endpoint.answer(incoming, b"\x00")
    assert endpoint.receive(first) is None


@pytest.mark.parametrize("place", [5, 9, 12, 20, -1, -20])
def test_changed_packets_are_ignored(endpoint: Endpoint, place: int) -> None:
    console = Console(endpoint).open()
    packet = bytearray(console.seal(console.message(*POWER_STATUS)))
    packet[place] ^= 1
    assert endpoint.receive(bytes(packet)) is None


def test_commands_outside_of_their_session_are_ignored(endpoint: Endpoint) -> None:
    console = Console(endpoint).open()
    packet = console.seal(console.message(*POWER_STATUS))
    endpoint.close(console.bmc)
    assert endpoint.receive(packet) is None


@pytest.mark.parametrize(
    "datagram",
    [
        b"",
        b"\x06",
        b"\x06\x00\xff\x07",
        HEADER + b"\x06",
        HEADER + struct.pack("<BBIIH", 6, 0x10, 0, 0, 32) + bytes(5),
        HEADER + struct.pack("<BBIIH", 6, 0x10, 0, 0, 0),
        HEADER + struct.pack("<BBIIH", 6, 0x12, 0, 0, 2) + bytes(2),
        HEADER + struct.pack("<BBIIH", 6, 0x00, 5, 1, 2) + bytes(2),
        HEADER + bytes(10),
        HEADER + bytes([0, 1]) + bytes(8),
        b"\x05" + bytes(40),
        b"\xa5" * 2000,
    ],
)
def test_malformed_packets_get_no_answer(endpoint: Endpoint, datagram: bytes) -> None:
    assert endpoint.receive(datagram) is None


def test_presence_ping_gets_a_pong(endpoint: Endpoint) -> None:
    answer = endpoint.receive(bytes.fromhex("0600ff06000011be80420000"))
    assert isinstance(answer, bytes)
    assert answer[:10] == bytes.fromhex("0600ff06000011be4042")


@pytest.mark.parametrize(
    ("numbers", "accepted"),
    [
        ([1, 2, 3], [True, True, True]),
        ([1, 1], [True, False]),
        ([5, 3, 3, 4, 5], [True, True, False, True, False]),
        ([100, 85, 84], [True, True, False]),
        ([0], [False]),
        ([1, 0xFFFFFFF0], [True, True]),
    ],
)
def test_sequence_window(numbers: list[int], accepted: list[bool]) -> None:
    session = rmcp.Session(1, 2, rmcp.SUITES[0], 4, 0.0)
    assert [session.accept(number) for number in numbers] == accepted
