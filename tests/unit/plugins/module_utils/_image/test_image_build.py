# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.tripleo.cloud.plugins.module_utils._image import build, builder, commands, frames, report
from ansible_collections.tripleo.cloud.plugins.module_utils._image.elements import Element
from ansible_collections.tripleo.cloud.plugins.module_utils._image.errors import ImageError
from ansible_collections.tripleo.cloud.plugins.module_utils._image.inputs import parse_spec
from ansible_collections.tripleo.cloud.plugins.module_utils._image.store import ImageStore

CONTENT = os.urandom(1024)


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> build.Settings:
    """Elements of one file; making a disk is replaced by packing a small file, and fails for an element ``bad``."""
    elements = tmp_path / "els"
    for name in ("base", "app", "bad", "tree-only"):
        (elements / name).mkdir(parents=True)
        (elements / name / "file").write_text(name)
    (elements / "base" / "element-provides").write_text("operating-system\n")

    def make(job: build.Job, settings: build.Settings, work: str, directory: str, run: Any, log: Any) -> dict[str, Any]:
        if "bad" in job.spec.elements:
            raise ImageError("it is bad", operation=f"image {job.spec.name}")
        raw = os.path.join(work, "disk.raw")
        Path(raw).write_bytes(CONTENT)
        packed = frames.pack(raw, directory)
        return {
            **build._common(job, os.urandom(16).hex()),
            "size": packed.size,
            "sha256": packed.sha256,
            "root_partition": 3,
            "stored": packed.stored,
            "chunk_size": frames.CHUNK_SIZE,
            "chunks": packed.chunks,
        }

    monkeypatch.setattr(build, "_make_disk", make)
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    return build.Settings(str(tmp_path / "state"), (str(elements),), str(tmp_path), "bookworm", ("deb a b c",))


def specs(*names: str, elements: tuple[str, ...] = ("base",)) -> list[Any]:
    return [parse_spec({"name": name, "elements": list(elements)}) for name in names]


def run(settings: build.Settings, wanted: list[Any]) -> tuple[list[tuple[str, str]], list[str]]:
    """(action and reason of each image, build ids afterwards)."""
    store = ImageStore(settings.state_dir)
    jobs = build.plan_jobs(wanted, settings, store)
    built = build.build_images(jobs, settings, store)
    return [(job.action, job.reason) for job in jobs], [outcome.image.build_id for outcome in built]


def test_unchanged_inputs_build_nothing(settings: build.Settings) -> None:
    first, ids = run(settings, specs("one", "two"))
    assert first == [("build", "there is no build of it")] * 2
    second, same = run(settings, specs("one", "two"))
    assert second == [("keep", "its inputs did not change")] * 2
    assert same == ids
    assert os.listdir(os.path.join(settings.state_dir, "build")) == []


def test_a_new_state_folder_is_private(settings: build.Settings) -> None:
    run(settings, specs("one"))
    assert os.stat(settings.state_dir).st_mode & 0o777 == 0o700


def test_a_changed_element_builds_the_images_that_have_it(settings: build.Settings) -> None:
    wanted = specs("one") + specs("two", elements=("base", "app"))
    _actions, before = run(settings, wanted)
    Path(settings.paths[0], "app", "file").write_text("new")
    store = ImageStore(settings.state_dir)
    jobs = build.plan_jobs(wanted, settings, store)
    assert [(job.action, job.changed) for job in jobs] == [("keep", ()), ("build", ("element app",))]
    assert [image.build_id for image in store.images()] == before
    entry = report.difference(jobs)[0]
    changed = set(entry["after"].splitlines()) - set(entry["before"].splitlines())
    assert [line.partition(":")[0] for line in changed] == ["element app"]
    _actions, after = run(settings, wanted)
    assert after[0] == before[0]
    assert after[1] != before[1]


def test_refresh_builds_anew_and_drops_the_cached_base(settings: build.Settings) -> None:
    _actions, before = run(settings, specs("one"))
    base = Path(settings.cache, "base")
    base.mkdir(parents=True)
    (base / "debian-base-1.tar").touch()
    again = build.Settings(**{**settings.__dict__, "refresh": True})
    actions, after = run(again, specs("one"))
    assert actions == [("build", "refresh is asked for")]
    assert after != before
    assert list(base.iterdir()) == []


def test_a_lost_file_is_built_again(settings: build.Settings) -> None:
    run(settings, specs("one"))
    image = ImageStore(settings.state_dir).get("one")
    assert image is not None
    os.truncate(image.path("stored"), 3)
    actions, _builds = run(settings, specs("one"))
    assert actions == [("build", "a file of its build is missing or has another size")]


def test_a_failed_image_is_named_and_the_others_are_kept(settings: build.Settings) -> None:
    wanted = specs("one") + specs("broken", elements=("base", "bad")) + specs("two")
    with pytest.raises(ImageError, match="image broken: it is bad"):
        run(settings, wanted)
    assert [image.name for image in ImageStore(settings.state_dir).images()] == ["one", "two"]
    assert not [name for name in os.listdir(os.path.join(settings.state_dir, "images")) if "adding" in name]


def test_the_same_name_twice_is_refused(settings: build.Settings) -> None:
    with pytest.raises(ImageError, match="more than once: one"):
        run(settings, specs("one", "one"))


def test_the_failing_element_phase_and_script_are_named(tmp_path: Path) -> None:
    (tmp_path / "app" / "install.d").mkdir(parents=True)
    (tmp_path / "app" / "install.d" / "50-app").touch()
    log = tmp_path / "log"
    stamp = "2026-11-25 05:57:01.309 | dib-run-parts"
    log.write_text(
        f"{stamp} Running /tmp/in_target.d/install.d/40-fine\n{stamp} 40-fine completed\n"
        f"{stamp} Running /tmp/in_target.d/install.d/50-app\nE: no such package\n"
    )
    error = builder.explain("an-image", [Element("app", str(tmp_path / "app"))], str(log))
    assert error is not None
    assert str(error).startswith("image an-image: element app, phase install: script 50-app failed")
    assert "E: no such package" in str(error)
    log.write_text(f"{stamp} Running /x/root.d/1-a\n{stamp} 1-a completed\nother\n")
    assert builder.explain("an-image", [], str(log)) is None


def test_a_program_that_fails_is_named_with_the_end_of_the_log(tmp_path: Path) -> None:
    with open(tmp_path / "log", "w", encoding="utf-8") as log:
        run_program = commands.runner("an-image", log)
        with pytest.raises(ImageError, match=r"image an-image: unpack: sh ended with status 3.*\n.*why"):
            run_program(["sh", "-c", "echo why; exit 3"], step="unpack")
        with pytest.raises(ImageError, match="no-such-program cannot be started"):
            run_program(["no-such-program"])


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root for namespaces")
def test_a_contained_program_dies_with_the_process_that_started_it(tmp_path: Path) -> None:
    marker = f"6{os.getpid()}"
    script = tmp_path / "parent.py"
    script.write_text(f"import subprocess; subprocess.run({commands.contained(['sleep', marker])!r})\n")
    parent = os.spawnv(os.P_NOWAIT, sys.executable, [sys.executable, str(script)])

    def sleepers() -> list[str]:
        found = []
        for name in filter(str.isdigit, os.listdir("/proc")):
            try:
                line = Path("/proc", name, "cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            if line[:2] == [b"sleep", marker.encode()]:
                found.append(name)
        return found

    wait_until(lambda: bool(sleepers()))
    os.kill(parent, 9)
    os.waitpid(parent, 0)
    wait_until(lambda: not sleepers())


def wait_until(condition: Any) -> None:
    for _number in range(200):
        if condition():
            return
        time.sleep(0.05)
    raise AssertionError("it did not come true in 10 s")


def test_inputs_are_stored_beside_the_manifest(settings: build.Settings) -> None:
    run(settings, specs("one"))
    image = ImageStore(settings.state_dir).get("one")
    assert image is not None
    parts = json.loads(Path(image.directory, build.INPUTS_FILE).read_text())
    assert parts["release"] == "bookworm"
    assert parts["apt_lines"] == ["deb a b c"]
