# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The end of a console as it is shown: no control sequence, no secret, a few lines."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.tripleo.cloud.plugins.module_utils._run.console import console_log
from ansible_collections.tripleo.cloud.plugins.module_utils._run.evidence import (
    CONSOLE_LINES,
    evidence,
    last_words,
    screen,
)

SECRET = "0123456789abcdef" * 4


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("one\r\n\r\n  \r\ntwo\r\n", ["one", "two"]),
        ("\x1b[2J\x1b[1;1H\x1b[31mKernel panic\x1b[0m - not syncing\n", ["Kernel panic - not syncing"]),
        ("\x1b]0;title\x07shown \x1b(Bon\x1b=\n", ["shown on"]),
        ("\x1b]0;never ended", []),
        ("10 %\r20 %\r\n", ["20 %"]),
        ("a\x00b\x9b31mc\u202ed\n", ["a b 31mc d"]),
        ("x" * 1000, ["x" * 256]),
        (f"http://10.0.0.1:8088/{SECRET}/boot.ipxe... ok", ["http://10.0.0.1:8088/(hidden)/boot.ipxe... ok"]),
        (f"http://10.0.0.1:8088/{SECRET[:40]}\r\n{SECRET[40:]}/x", ["http://10.0.0.1:8088/(hidden)", "(hidden)/x"]),
        (f"{SECRET[:20]}\x1b[7m{SECRET[20:]}", ["(hidden)"]),
        ("RIP: 0010:ffffffff81000000 RAX: 0000000000000000", ["RIP: 0010:ffffffff81000000 RAX: 0000000000000000"]),
    ],
)
def test_screen(text: str, lines: list[str]) -> None:
    assert screen(text) == lines


def test_only_the_last_lines_are_shown_and_their_file_is_named(tmp_path: Path) -> None:
    log = Path(console_log(str(tmp_path), "n1"))
    assert log == tmp_path / "run" / "console" / "n1.log"
    log.parent.mkdir(parents=True)
    assert evidence(str(tmp_path), "-", "", "n1") == ["no DHCP request of it was seen"]
    log.write_bytes(b"".join(b"line %d\r\n" % number for number in range(100)) + b"\xff torn")
    shown = evidence(str(tmp_path), "-", "", "n1")
    assert shown[:2] == ["no DHCP request of it was seen", f"console, the end of {log}:"]
    assert shown[2:] == [f"| line {number}" for number in range(101 - CONSOLE_LINES, 100)] + ["| \ufffd torn"]


DHCP = "1 DHCPDISCOVER(br0) 52:54:00:00:00:00 no address available"


@pytest.mark.parametrize(
    ("lines", "stage", "words"),
    [
        ([], "powered", ""),
        ([DHCP], "powered", f"; the boot services' log says: {DHCP}"),
        ([DHCP], "pxe", ""),
        ([DHCP, "console:", "| panic", "| DHCP"], "pxe", "; its console ends with: DHCP"),
        ([DHCP, "console:", "| DHCP"], "powered",
         f"; the boot services' log says: {DHCP}; its console ends with: DHCP"),
    ],
)  # fmt: skip
def test_last_words(lines: list[str], stage: str, words: str) -> None:
    assert last_words(lines, stage) == words
