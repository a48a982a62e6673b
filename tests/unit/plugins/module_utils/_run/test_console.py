# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The end of a console in a file, and one recorder at a time."""

from __future__ import annotations

import os
import threading
from pathlib import Path

from ansible_collections.tripleo.cloud.plugins.module_utils._run.console import (
    LARGEST,
    Ring,
    Turn,
    console_log,
    forget,
    wait_end,
)


def test_a_console_is_kept_up_to_its_limit_and_cut_at_a_line(tmp_path: Path) -> None:
    path = tmp_path / "n1.log"
    ring = Ring(str(path))
    printed = b""
    for number in range(5000):
        line = b"line %d of many\r\n" % number
        printed += line
        ring.add(line)
        assert path.stat().st_size <= LARGEST
    ring.close()
    kept = path.read_bytes()
    assert len(kept) > LARGEST // 2 - 100
    assert printed.endswith(b"\n" + kept)
    assert path.stat().st_mode & 0o777 == 0o600
    assert os.listdir(tmp_path) == ["n1.log"]


def test_a_console_goes_on_where_the_one_before_ended(tmp_path: Path) -> None:
    path = tmp_path / "n1.log"
    for text in (b"x" * (LARGEST - 10), b"\nfirst\n", b"second\n"):
        ring = Ring(str(path))
        ring.add(text)
        ring.close()
    assert path.read_bytes().endswith(b"first\nsecond\n")
    assert path.stat().st_size <= LARGEST


def test_a_line_without_end_is_cut_too(tmp_path: Path) -> None:
    ring = Ring(str(tmp_path / "n1.log"))
    for _count in range(1000):
        ring.add(b"." * 200)
    assert LARGEST // 2 <= (tmp_path / "n1.log").stat().st_size <= LARGEST


def test_forgotten_consoles_are_gone(tmp_path: Path) -> None:
    for node in ("n1", "n2"):
        path = Path(console_log(str(tmp_path), node))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    forget(str(tmp_path), ["n1", "n3"])
    assert os.listdir(tmp_path / "run" / "console") == ["n2.log"]


def test_the_last_recorder_takes_over(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    state = str(tmp_path)
    assert wait_end(state, "cloud", 0)
    first = Turn(state, "cloud")
    assert first.begin(0)
    assert not wait_end(state, "cloud", 0)
    assert wait_end(state, "other", 0)
    second = Turn(state, "cloud")
    assert not first.mine()
    third = Turn(state, "cloud")
    begun: dict[str, bool] = {}
    waiting = [
        threading.Thread(target=lambda turn=turn, name=name: begun.update({name: turn.begin(10)}))  # type: ignore[misc]
        for name, turn in (("second", second), ("third", third))
    ]
    for thread in waiting:
        thread.start()
    first.end()
    waiting[0].join(0.5)
    second.end()
    for thread in waiting:
        thread.join()
    assert begun == {"second": False, "third": True}
    assert third.mine()
    third.end()
    assert wait_end(state, "cloud", 0)
