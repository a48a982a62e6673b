# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The refresh phases: naming and order beside diskimage-builder's own dib-run-parts, environment, lock, failures."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path

import pytest
from ansible_collections.tripleo.cloud.plugins.module_utils._node import phases
from ansible_collections.tripleo.cloud.plugins.module_utils._node.errors import Busy, NodeError

NAMES = [
    "10-a", "9-b", "010-z", "10-B", "abc", "1", "1_2", "-5x", "ABC", "_x", "2-", "foo.sh", "5.sh", "x~", ".dot", "a b",
    "99", "0", "00", "20-os-apply-config",
]  # fmt: skip


def script(path: Path, text: str = "exit 0", mode: int = 0o755) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/bash\n{text}\n")
    path.chmod(mode)


class Recorder:
    """Runs the phases below a folder and keeps what was told."""

    def __init__(self, base: Path) -> None:
        self.base = base
        self.log = base / "log"
        self.steps: list[Mapping[str, object]] = []

    def apply(self) -> None:
        with (self.base / "out").open("a") as stream:
            stream.write("apply\n")

    def run(self, deadline: float | None = None) -> phases.ScriptFailure | None:
        environment = {"PATH": os.environ["PATH"], "OUT": str(self.base / "out"), "OS_CONFIG_FILES": "/a:/b"}
        return phases.run_phases(str(self.base), environment, str(self.log), self.steps.append, self.apply, deadline)

    def out(self) -> list[str]:
        return (self.base / "out").read_text().split("\n")[:-1]


@pytest.fixture
def recorder(tmp_path: Path) -> Recorder:
    return Recorder(tmp_path)


def test_names_and_order_are_those_of_dib_run_parts(tmp_path: Path) -> None:
    folder = tmp_path / "x.d"
    for name in NAMES:
        script(folder / name)
    script(folder / "30-not-executable", mode=0o644)
    (folder / "40-folder").mkdir()
    (folder / "50-dangling").symlink_to("nowhere")
    (folder / "60-link").symlink_to("10-a")
    (folder / "70-link-to-folder").symlink_to("40-folder")
    package = find_spec("diskimage_builder")
    assert package is not None and package.submodule_search_locations
    peer = Path(next(iter(package.submodule_search_locations))) / "lib" / "dib-run-parts"
    listed = subprocess.run(["bash", peer, "--list", folder], capture_output=True, text=True, check=True).stdout
    expected = [Path(line).name for line in listed.splitlines()]
    assert phases.list_scripts(str(folder)) == expected
    assert len(expected) == 16


def test_phases_run_in_order_and_rendering_has_its_place(recorder: Recorder) -> None:
    for phase in ("migration", "post-configure", "configure", "pre-configure"):
        script(recorder.base / f"{phase}.d" / "30-b", f'echo "{phase} b" >> "$OUT"')
        script(recorder.base / f"{phase}.d" / "10-a", f'echo "{phase} a" >> "$OUT"')
    script(recorder.base / "configure.d" / "20-os-apply-config", 'echo wrong >> "$OUT"')
    script(recorder.base / "other.d" / "10-a", 'echo wrong >> "$OUT"')
    assert recorder.run() is None
    assert recorder.out() == [
        "pre-configure a", "pre-configure b", "configure a", "apply", "configure b", "post-configure a",
        "post-configure b", "migration a", "migration b",
    ]  # fmt: skip
    told = [(step["step"], step["script"], step["status"]) for step in recorder.steps]
    assert told[:2] == [("pre-configure", "10-a", "started"), ("pre-configure", "10-a", "done")]


def test_rendering_happens_without_any_script(recorder: Recorder) -> None:
    assert recorder.run() is None
    assert recorder.out() == ["apply"]


def test_the_first_failure_ends_the_run_and_error_scripts_follow(recorder: Recorder) -> None:
    script(recorder.base / "pre-configure.d" / "10-a", "echo to the log; echo cause >&2; exit 99")
    script(recorder.base / "pre-configure.d" / "20-b", 'echo wrong >> "$OUT"')
    script(recorder.base / "error.d" / "10-e", 'echo error >> "$OUT"; exit 1')
    failure = recorder.run()
    assert failure == phases.ScriptFailure("pre-configure", "10-a", 99, "to the log\ncause\n")
    assert recorder.out() == ["error"]
    assert "to the log\ncause" in recorder.log.read_text()
    assert (recorder.log.stat().st_mode & 0o777) == 0o600


def test_a_failed_rendering_runs_error_scripts_too(recorder: Recorder, monkeypatch: pytest.MonkeyPatch) -> None:
    script(recorder.base / "error.d" / "10-e", 'echo error >> "$OUT"')

    def fail() -> None:
        raise NodeError("template")

    monkeypatch.setattr(recorder, "apply", fail)
    with pytest.raises(NodeError, match="template"):
        recorder.run()
    assert recorder.out() == ["error"]


def test_environment_files_are_sourced_and_only_exports_reach_scripts(recorder: Recorder) -> None:
    folder = recorder.base / "environment.d"
    folder.mkdir()
    (folder / "10-a.sh").write_text("echo noise\nexport A=1\nB=2\n")
    (folder / "20-b").write_text('export C="$A$B"\nexport LINES_OF="x\ny"\n')
    (folder / "30 blank").write_text("export A=wrong\n")
    script(recorder.base / "configure.d" / "10-a", 'echo "A=$A B=${B:-} C=$C $OS_CONFIG_FILES" >> "$OUT"; export D=1')
    script(
        recorder.base / "configure.d" / "15-b", 'echo "D=${D:-} ${LINES_OF#x}" | tr -d "\\n" >> "$OUT"; echo >> "$OUT"'
    )
    assert recorder.run() is None
    assert recorder.out() == ["A=1 B= C=12 /a:/b", "D= y", "apply"]


def test_a_failing_environment_file_names_itself(recorder: Recorder) -> None:
    script(recorder.base / "configure.d" / "10-a")
    (recorder.base / "environment.d").mkdir()
    (recorder.base / "environment.d" / "10-a").write_text("echo because >&2\nfalse\n")
    with pytest.raises(NodeError, match="because"):
        recorder.run()


def test_a_script_that_hangs_is_killed_with_its_children(recorder: Recorder) -> None:
    script(recorder.base / "configure.d" / "10-a", 'echo first; sleep 300 & echo $! > "$OUT"; wait')
    failure = recorder.run(deadline=time.monotonic() + 0.5)
    assert failure is not None
    assert (failure.status, failure.output) == (-9, "killed at the time limit\nfirst\n")
    child = int(recorder.out()[0])
    for _number in range(50):
        state = Path(f"/proc/{child}/stat")
        if not state.exists() or state.read_text().split()[2] == "Z":
            break
        time.sleep(0.1)
    else:
        pytest.fail("the child of the killed script still runs")


def test_a_service_that_a_script_leaves_behind_does_not_hold_the_run(recorder: Recorder) -> None:
    script(recorder.base / "configure.d" / "10-a", 'sleep 30 & echo $! >> "$OUT"')
    started = time.monotonic()
    assert recorder.run() is None
    assert time.monotonic() - started < 20
    os.kill(int(recorder.out()[0]), 9)


def test_a_script_without_an_interpreter(recorder: Recorder) -> None:
    path = recorder.base / "configure.d" / "10-a"
    path.parent.mkdir()
    path.write_text("#!/nonexistent\n")
    path.chmod(0o755)
    failure = recorder.run()
    assert failure is not None and failure.status == 126


def test_the_lock_admits_one_and_is_emptied(tmp_path: Path) -> None:
    path = str(tmp_path / "lock")
    waited: list[bool] = []
    with phases.locked(path):
        assert f"pid=={os.getpid()} " in Path(path).read_text()
        with pytest.raises(Busy, match="another run holds"), phases.locked(path, 0.3, lambda: waited.append(True)):
            pass
    assert Path(path).read_text() == ""
    assert waited == [True]
    with phases.locked(path):
        pass
