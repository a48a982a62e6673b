# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""dib-run-parts and os-refresh-config as the agent runs them, without the originals beside them."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from ansible_collections.tripleo.cloud.plugins.module_utils._node import parts, refresh

ENVIRONMENT = {"PATH": "/usr/bin:/bin"}


def script(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/bash\n{text}\n")
    path.chmod(0o755)


def test_scripts_run_in_order_with_what_the_environment_exports(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    script(tmp_path / "x.d" / "10-b", "echo b $A; umask")
    script(tmp_path / "x.d" / "9-a", "echo a $A; export A=changed")
    (tmp_path / "environment.d").mkdir()
    (tmp_path / "environment.d" / "10-x").write_text("export A=1\numask 077\n")
    assert parts.run_parts(str(tmp_path / "x.d"), ENVIRONMENT) == parts.Parts(0)
    output, errors = capfd.readouterr()
    assert output == "a 1\nb 1\n0077\n"
    assert "Running" in errors and "PROFILING" in errors


@pytest.mark.parametrize(("text", "status"), [("exit 42", 42), ("kill -9 $$", 137)])
def test_the_script_that_failed_is_named(tmp_path: Path, text: str, status: int) -> None:
    script(tmp_path / "x.d" / "10-good", "true")
    script(tmp_path / "x.d" / "20-bad", text)
    script(tmp_path / "x.d" / "30-never", f"touch {tmp_path}/never")
    assert parts.run_parts(str(tmp_path / "x.d"), ENVIRONMENT) == parts.Parts(status, "20-bad")
    assert not (tmp_path / "never").exists()


def test_linked_folders_blanks_and_empty_environments(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    script(tmp_path / "a b" / "x.d" / "10-x", "echo ran")
    (tmp_path / "a b" / "environment.d").mkdir()
    (tmp_path / "link").symlink_to("a b/x.d")
    assert parts.run_parts(str(tmp_path / "link"), ENVIRONMENT).status == 0
    output, errors = capfd.readouterr()
    assert output == "ran\n" and "symbolic link" in errors


def test_at_the_time_limit_all_descendants_are_killed(tmp_path: Path) -> None:
    script(tmp_path / "x.d" / "10-x", f"(sleep 30; touch {tmp_path}/late) & echo $! >{tmp_path}/pid; sleep 30")
    ended = parts.run_parts(str(tmp_path / "x.d"), ENVIRONMENT, time.monotonic() + 1)
    assert ended == parts.Parts(-9, "10-x", True)
    child = int((tmp_path / "pid").read_text())
    for _try in range(100):
        if not os.path.exists(f"/proc/{child}") or "Z" in Path(f"/proc/{child}/stat").read_text().split()[2]:
            return
        time.sleep(0.05)
    raise AssertionError(f"process {child} lives")


def test_scripts_of_error_d_learn_what_failed(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    script(tmp_path / "configure.d" / "10-x", "exit 7")
    script(tmp_path / "migration.d" / "10-x", "echo never")
    name = "OS_REFRESH_CONFIG_FAILED"
    script(tmp_path / "error.d" / "10-x", f"echo ${name}_PHASE ${name}_SCRIPT ${name}_STATUS; exit 3")
    assert refresh.refresh(str(tmp_path), ENVIRONMENT, None) is False
    assert capfd.readouterr().out == "configure 10-x 7\n"
