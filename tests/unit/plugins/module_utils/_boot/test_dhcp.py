# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""DHCP frames: what is asked, and answers from hosts that nobody can trust."""

from __future__ import annotations

import random
import struct

import pytest
from ansible_collections.tripleo.cloud.plugins.module_utils._boot.dhcp import UEFI, Offer, answer, discover

XID, MAC, SENDER = 0x01020304, "52:54:00:aa:bb:01", "52:54:00:00:00:99"
ASKED = {XID: MAC}
TYPE, SERVER = b"\x35\x01\x02", b"\x36\x04\x0a\x00\x00\x02"
OFFER = Offer("10.0.0.2", "10.0.0.3", SENDER, "10.0.0.50", MAC)


def reply(
    options: bytes = TYPE + SERVER + b"\xff",
    *,
    xid: int = XID,
    mac: str = MAC,
    offered: bytes = bytes([10, 0, 0, 50]),
    operation: int = 2,
    cookie: bytes = b"\x63\x82\x53\x63",
    port: int = 68,
    ip_options: bytes = b"",
    protocol: int = 17,
    fragment: int = 0,
    kind: bytes = b"\x08\x00",
) -> bytes:
    client = bytes.fromhex(mac.replace(":", "")).ljust(16, b"\0")
    message = struct.pack("!4BI4x4x4s4x4x", operation, 1, 6, 0, xid, offered) + client + bytes(192) + cookie + options
    udp = struct.pack("!4H", 67, port, 8 + len(message), 0) + message
    version = 0x45 + len(ip_options) // 4
    ip = struct.pack("!2B3H2BH", version, 0, 20 + len(udp), 0, fragment, 64, protocol, 0)
    ip += bytes([10, 0, 0, 3]) + b"\xff" * 4 + ip_options
    return b"\xff" * 6 + bytes.fromhex(SENDER.replace(":", "")) + kind + ip + udp


def test_the_question_is_a_broadcast_of_a_pxe_client_in_another_machine_s_name() -> None:
    frame = discover(XID, MAC, SENDER, UEFI)
    assert frame[:14] == b"\xff" * 6 + bytes.fromhex("525400000099") + b"\x08\x00"
    assert frame[26:34] == bytes(4) + b"\xff" * 4
    assert struct.unpack("!2H", frame[34:38]) == (68, 67)
    message = frame[42:]
    assert len(message) >= 300
    assert message[:8] == b"\x01\x01\x06\x00" + struct.pack("!I", XID)
    assert message[10:12] == b"\x80\x00", "the broadcast flag"
    assert message[28:34] == bytes.fromhex("525400aabb01")
    assert message[236:243] == b"\x63\x82\x53\x63\x35\x01\x01"
    assert b"PXEClient:Arch:00007:UNDI" in message
    for part in (frame[14:34], bytes(4) + b"\xff" * 4 + struct.pack("!2H", 17, len(frame) - 34) + frame[34:]):
        words = part + b"\0" * (len(part) % 2)
        total = sum(struct.unpack(f"!{len(words) // 2}H", words))
        assert (total & 0xFFFF) + (total >> 16) == 0xFFFF, "the checksum"
    assert answer(frame, ASKED) is None, "a question is no answer"


@pytest.mark.parametrize(
    ("frame", "expected"),
    [
        (reply(), OFFER),
        (reply(ip_options=b"\x01" * 8), OFFER),
        (reply(b"\0\0\0" + SERVER + TYPE + b"\xff"), OFFER),
        (reply(b"\x35\x01\x05" + SERVER + b"\xff"), OFFER),
        (reply(TYPE + b"\xff"), Offer("", "10.0.0.3", SENDER, "10.0.0.50", MAC)),
        (reply(b""), Offer("", "10.0.0.3", SENDER, "10.0.0.50", MAC)),
        (
            reply(TYPE + SERVER + b"\x3c\x09PXEClient\xff", offered=bytes(4)),
            Offer("10.0.0.2", "10.0.0.3", SENDER, "", MAC),
        ),
    ],
    ids=["offer", "IP options", "padding", "rapid commit", "no identifier", "BOOTP", "ProxyDHCP"],
)
def test_answers(frame: bytes, expected: Offer) -> None:
    assert answer(frame, ASKED) == expected
    assert answer(frame + b"trailer", ASKED) == expected


@pytest.mark.parametrize(
    "frame",
    [
        reply(xid=XID + 1),
        reply(mac="52:54:00:aa:bb:02"),
        reply(operation=1),
        reply(cookie=bytes(4)),
        reply(port=67),
        reply(protocol=6),
        reply(fragment=0x2001),
        reply(kind=b"\x86\xdd"),
        reply(b"\x35\x01\x06" + SERVER + b"\xff"),
    ],
    ids=["xid", "machine", "question", "cookie", "port", "protocol", "fragment", "IPv6", "refusal"],
)
def test_what_is_no_answer(frame: bytes) -> None:
    assert answer(frame, ASKED) is None


@pytest.mark.parametrize(
    "options",
    [TYPE + b"\x36", TYPE + b"\x36\x04\x0a", TYPE + b"\x36\x03\x0a\x00\x00\xff", TYPE + b"\x36\xff\x0a\x00\x00\x02",
     TYPE + b"\x36\x00\xff", TYPE + b"\x0c\xff" + SERVER + b"\xff", TYPE + b"\0" * 60000],
    ids=["no length", "cut off", "too short", "overlong", "empty", "swallows the rest", "endless padding"],
)  # fmt: skip
def test_damaged_options_hide_no_server(options: bytes) -> None:
    assert answer(reply(options), ASKED) == Offer("", "10.0.0.3", SENDER, "10.0.0.50", MAC)


def test_no_frame_breaks_it() -> None:
    whole = reply(ip_options=b"\x01" * 4)
    for length in range(len(whole)):
        found = answer(whole[:length], ASKED)
        assert found is None or (found.asked, found.source) == (MAC, "10.0.0.3")
    source = random.Random(1)
    for _number in range(2000):
        damaged = bytearray(whole)
        for _change in range(source.randint(1, 8)):
            damaged[source.randrange(len(damaged))] = source.randrange(256)
        answer(bytes(damaged), ASKED)
