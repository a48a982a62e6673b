# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from ansible_collections.tripleo.cloud.plugins.module_utils._run import events, lease, poll


def write(state: Path, stage: str, **details: object) -> None:
    events.append(os.fspath(state), "cloud", "r1", "a" * 64, "s0", "n1", stage, **details)


def test_lines_come_whole_and_once(tmp_path: Path) -> None:
    state = os.fspath(tmp_path)
    assert events.read(state, 0) == (b"", 0)
    write(tmp_path, "pxe")
    write(tmp_path, "failed", cause="no disk", percent=None)
    text, offset = events.read(state, 0)
    first, second = map(json.loads, text.splitlines())
    assert (first["stage"], second["cause"]) == ("pxe", "no disk")
    assert "percent" not in second
    assert offset == events.size(state)
    assert events.read(state, offset) == (b"", offset)
    assert os.stat(events.path(state)).st_mode & 0o777 == 0o600


def test_a_torn_line_waits_for_its_rest(tmp_path: Path) -> None:
    file = tmp_path / events.NAME
    file.write_bytes(b'{"a": 1}\n{"b": ')
    assert events.read(os.fspath(tmp_path), 0) == (b'{"a": 1}\n', 9)
    with file.open("ab") as stream:
        stream.write(b"2}\n")
    assert events.read(os.fspath(tmp_path), 9) == (b'{"b": 2}\n', 18)


def test_a_line_that_a_full_disk_tore_spoils_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, "pxe")
    with monkeypatch.context() as full:
        full.setattr(events.os, "write", lambda file, line, write=os.write: write(file, line[:10]))
        with pytest.raises(OSError, match=r"No space left.*events\.jsonl"):
            write(tmp_path, "ramdisk")
    write(tmp_path, "writing")
    lines = events.read(os.fspath(tmp_path), 0)[0].splitlines()
    assert [json.loads(line)["stage"] for line in (lines[0], lines[2])] == ["pxe", "writing"]
    assert len(lines) == 3


def test_a_poll_is_bounded_and_passes_over_a_line_that_is_too_long(tmp_path: Path) -> None:
    (tmp_path / events.NAME).write_bytes(b"x" * 25 + b"\nshort\n")
    state, offset, seen = os.fspath(tmp_path), 0, []
    for _number in range(6):
        text, offset = events.read(state, offset, limit=10)
        seen.append(text)
    assert b"".join(seen).endswith(b"short\n")
    assert max(map(len, seen)) <= 10


def test_a_large_file_is_put_aside(tmp_path: Path) -> None:
    with (tmp_path / events.NAME).open("wb") as stream:
        stream.truncate(events.LARGEST + 1)
    events.rotate(os.fspath(tmp_path))
    assert events.size(os.fspath(tmp_path)) == 0
    assert events.read(os.fspath(tmp_path), 500) == (b"", 0)


def test_a_poll_tells_of_a_lost_lease(tmp_path: Path) -> None:
    write(tmp_path, "pxe")
    header, _newline, lines = poll.poll(os.fspath(tmp_path), "cloud", "r1", 0).partition(b"\n")
    assert "has lost the stack cloud" in json.loads(header)["error"]
    assert json.loads(lines)["stage"] == "pxe"


def test_a_poll_renews_and_tells_that_nobody_serves(tmp_path: Path) -> None:
    state = os.fspath(tmp_path)
    lease.acquire(state, "cloud", "a" * 64, "someone", "r1", True, now=lease.time.time() - 30)
    header = poll.poll(state, "cloud", "r1", 0).partition(b"\n")[0]
    held = lease.read(state, "cloud")
    assert "the keeper has ended" in json.loads(header)["error"]
    assert held is not None
    assert lease.time.time() - held.renewed < 10


def test_a_poll_without_a_run_only_reads(tmp_path: Path) -> None:
    assert json.loads(poll.poll(os.fspath(tmp_path), "cloud", "", 0)) == {"offset": 0, "error": ""}


def test_times_begin_anew_with_power(tmp_path: Path) -> None:
    for stage in ("pxe", "failed", "powered", "pxe", "writing", "writing"):
        write(tmp_path, stage)
    events.append(os.fspath(tmp_path), "other", "r1", "a" * 64, "s0", "n1", "written")
    events.append(os.fspath(tmp_path), "cloud", "r1", "b" * 64, "s1", "n1", "written")
    times = events.times(os.fspath(tmp_path), "cloud", "a" * 64)
    assert list(times) == ["s0"]
    assert list(times["s0"]) == ["powered", "pxe", "writing"]
    assert sorted(times["s0"].values()) == list(times["s0"].values())
