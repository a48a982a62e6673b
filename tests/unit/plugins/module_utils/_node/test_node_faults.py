# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Bad input and faults on a node: old files stay, the error names what is wrong, and the next run repairs."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from agent_node import SYSTEM_PYTHON, Node

OLD = {"password": "old-password", "lines": []}
NEW = {"password": "new-password", "lines": ["x" * 99] * 2000}
TEMPLATES = {
    "etc/a.conf": "password = {{password}}\n",
    "etc/large": "{{#lines}}{{.}}\n{{/lines}}",
    "etc/z.conf": "password = {{password}}\n",
}
root_only = pytest.mark.skipif(os.geteuid() != 0, reason="mounts need root")


class Configured:
    """A node that has OLD, by ``push`` or by ``os-apply-config``."""

    def __init__(self, node: Node, way: str) -> None:
        self.node = node
        self.way = way
        (node.folder / "templates/etc/app.conf").unlink()
        for path, text in TEMPLATES.items():
            node.write(f"templates/{path}", text)
        self.repaired(OLD)

    def run(self, document: Any, **limits: float) -> tuple[int, str]:
        """Exit status, and all that was said."""
        if self.way == "push":
            documents = [["metadata", {"a": "b"}], ["all", document]]
            payload = {"documents": documents, "digest": str(document == NEW), "limits": limits}
            done = self.node.run("push", given=json.dumps(payload))
            assert "Traceback" not in done.stderr, done.stderr
            return done.returncode, done.stdout + done.stderr
        text = document if isinstance(document, str) else json.dumps(document)
        file = self.node.write("m.json", text)
        done = self.node.run("os-apply-config", "-m", str(file))
        assert "Traceback" not in done.stderr, done.stderr
        return done.returncode, done.stderr

    def files(self) -> dict[str, str]:
        root = self.node.folder / "root"
        found = [path for path in sorted(root.rglob("*")) if path.is_file()]
        return {str(path.relative_to(root)): path.read_text() for path in found}

    def repaired(self, document: Any) -> None:
        """The next run has the files of document, and nothing else."""
        code, said = self.run(document)
        assert code == 0, said
        line = f"password = {document['password']}\n"
        large = "".join(f"{text}\n" for text in document["lines"])
        assert self.files() == {"etc/a.conf": line, "etc/large": large, "etc/z.conf": line}

    def refused(self, document: Any, *named: str, **limits: float) -> None:
        """A run fails, names these, and leaves every file as it was."""
        before = self.files()
        code, said = self.run(document, **limits)
        assert code == 1, said
        for name in named:
            assert name in said
        assert self.files() == before


@pytest.fixture(params=["push", "os-apply-config"])
def configured(request: pytest.FixtureRequest, node: Node) -> Configured:
    return Configured(node, request.param)


@pytest.fixture
def applied(node: Node) -> Configured:
    return Configured(node, "os-apply-config")


@pytest.fixture
def pushed(node: Node) -> Configured:
    return Configured(node, "push")


def mounted(folder: Path, *options: str) -> Iterator[Path]:
    folder.mkdir(parents=True, exist_ok=True)
    subprocess.run(["mount", *options, str(folder)], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


# Documents


@pytest.mark.parametrize("text", ["", "{", '{"a": 1,}', "{'a': 1}", "\ufeff{}", "[" * 100000])
def test_a_document_that_is_no_json(applied: Configured, text: str) -> None:
    applied.refused(text, str(applied.node.folder / "m.json"))
    applied.repaired(NEW)


def test_a_document_that_is_not_utf8(applied: Configured) -> None:
    file = applied.node.folder / "latin.json"
    file.write_bytes('{"password": "grün"}'.encode("latin-1"))
    done = applied.node.run("os-apply-config", "-m", str(file))
    assert done.returncode == 1 and f"{file} is not UTF-8" in done.stderr
    applied.repaired(NEW)


def test_a_document_above_the_limit(applied: Configured) -> None:
    file = applied.node.folder / "huge.json"
    with file.open("wb") as stream:
        stream.truncate(64 * 1024 * 1024 + 1)
    done = applied.node.run("os-apply-config", "-m", str(file))
    assert done.returncode == 1 and str(file) in done.stderr and "limit" in done.stderr
    applied.repaired(NEW)


def test_a_payload_above_the_limit(pushed: Configured) -> None:
    before = pushed.files()
    done = pushed.node.run("push", given=" " * (64 * 1024 * 1024 + 1))
    assert done.returncode == 1 and "the payload" in done.stderr and "limit" in done.stderr
    assert pushed.files() == before and pushed.node.status()["healthy"] is True
    pushed.repaired(NEW)


def test_a_deeply_nested_document(configured: Configured) -> None:
    deep: Any = "x"
    for _level in range(101):
        deep = [{"below": deep}]
    name = "the payload" if configured.way == "push" else "m.json"
    configured.refused({**NEW, "service": {"deep": deep}}, name, "service.deep", "levels deep")
    configured.repaired(NEW)


def test_metadata_that_goes_away_while_it_is_applied(pushed: Configured) -> None:
    script = pushed.node.write("phases/configure.d/10-a", '#!/bin/sh\nrm "$NODE_AGENT_CACHE/all.json"\n', 0o755)
    pushed.refused(NEW, "cache/all.json")
    script.unlink()
    pushed.repaired(NEW)


@pytest.mark.slow
@pytest.mark.parametrize("damage", ["unlink", "empty", "torn", "folder"])
@pytest.mark.parametrize("name", ["all.json", "all.json.last", "metadata.json", "os_config_files.json"])
def test_metadata_that_went_away_between_two_runs(pushed: Configured, name: str, damage: str) -> None:
    file = pushed.node.folder / "cache" / name
    text = file.read_text()
    file.unlink()
    if damage == "folder":
        file.mkdir()
        code, said = pushed.run(NEW)
        assert code == 1 and str(file) in said
        file.rmdir()
    elif damage != "unlink":
        file.write_text(text[: len(text) // 2] if damage == "torn" else "")
    status = pushed.node.status()
    assert status["healthy"] is (name == "all.json.last" and damage != "folder")
    pushed.repaired(NEW)
    assert pushed.node.status()["healthy"] is True


@pytest.mark.slow
@pytest.mark.parametrize("name", ["state.json", "changed"])
@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b"[]", b"null"])
def test_a_state_that_was_damaged(pushed: Configured, name: str, content: bytes) -> None:
    (pushed.node.folder / "state" / name).write_bytes(content)
    pushed.node.status()
    pushed.repaired(NEW)
    assert pushed.node.status()["healthy"] is True


# Templates


def test_a_template_that_is_not_utf8(configured: Configured) -> None:
    bad = configured.node.folder / "templates/etc/m"
    bad.write_bytes(b"\xff\xfe")
    configured.refused(NEW, str(bad))
    bad.unlink()
    configured.repaired(NEW)


def test_a_control_file_that_is_not_utf8(configured: Configured) -> None:
    bad = configured.node.folder / "templates/etc/a.conf.oac"
    bad.write_bytes(b"mode: \xff\xfe")
    configured.refused(NEW, str(bad))
    bad.unlink()
    configured.repaired(NEW)


def test_output_of_a_template_that_is_not_utf8(configured: Configured) -> None:
    bad = configured.node.write("templates/etc/m", "#!/bin/sh\nprintf '\\377'\n", 0o755)
    configured.refused(NEW, str(bad))
    bad.unlink()
    configured.repaired(NEW)


def test_a_template_above_the_limit(configured: Configured) -> None:
    bad = configured.node.folder / "templates/etc/m"
    with bad.open("wb") as stream:
        stream.truncate(64 * 1024 * 1024 + 1)
    configured.refused(NEW, str(bad), "limit")
    bad.unlink()
    configured.repaired(NEW)


@pytest.mark.parametrize(
    "text",
    [
        "{{#lines}}" * 6 + "x" + "{{/lines}}" * 6,
        "{{#lines}}" * 6 + "{{password}}" + "{{/lines}}" * 6,
        "{{#lines}}" * 6 + "{{^password}}{{/password}}" + "{{/lines}}" * 6,
        "{{#lines}}" * 2 + "y" * 999 + "{{/lines}}" * 2,
    ],
)
def test_a_template_that_multiplies_itself(configured: Configured, text: str) -> None:
    bad = configured.node.write("templates/etc/m", text)
    configured.node.environment["NODE_AGENT_TEMPLATE_SECONDS"] = "1"
    configured.refused(NEW, str(bad), "limit")
    bad.unlink()
    configured.repaired(NEW)


def test_a_template_that_hangs(configured: Configured) -> None:
    bad = configured.node.write("templates/etc/m", "#!/bin/sh\nsleep 47 &\nwhile :; do sleep 1; done\n", 0o755)
    configured.node.environment["NODE_AGENT_TEMPLATE_SECONDS"] = "1"
    started = time.monotonic()
    configured.refused(NEW, str(bad), "limit")
    assert time.monotonic() - started < 20
    assert not subprocess.run(["pgrep", "-fx", "sleep 47"], capture_output=True, check=False).stdout
    bad.unlink()
    configured.repaired(NEW)


def test_a_template_that_prints_for_ever(configured: Configured) -> None:
    bad = configured.node.write("templates/etc/m", "#!/bin/sh\nexec cat /dev/zero\n", 0o755)
    configured.refused(NEW, str(bad), "limit")
    bad.unlink()
    configured.repaired(NEW)


# What lies in the way


def test_a_folder_in_the_way_of_a_file(configured: Configured) -> None:
    target = configured.node.folder / "root/etc/z.conf"
    target.unlink()
    target.mkdir()
    configured.refused(NEW, str(target), "directory")
    target.rmdir()
    configured.repaired(NEW)


def test_a_file_in_the_way_of_a_folder(configured: Configured) -> None:
    configured.node.write("templates/etc/sub/file", "{{password}}")
    (configured.node.folder / "root/etc/sub").write_text("in the way")
    configured.refused(NEW, str(configured.node.folder / "root/etc/sub/file"))
    (configured.node.folder / "root/etc/sub").unlink()
    (configured.node.folder / "templates/etc/sub/file").unlink()
    configured.repaired(NEW)


@pytest.mark.parametrize("name", ["state", "cache", "state/state.json", "state/changed", "lock"])
def test_something_in_the_way_of_the_agents_own(pushed: Configured, name: str) -> None:
    path = pushed.node.folder / name
    aside = pushed.node.folder / "aside"
    path.rename(aside)
    if aside.is_dir():
        path.write_text("")
    else:
        path.mkdir()
    pushed.refused(NEW, str(path))
    path.unlink() if path.is_file() else path.rmdir()
    aside.rename(path)
    pushed.repaired(NEW)


# The disk


@root_only
@pytest.mark.parametrize("place", ["root", "cache", "state"])
def test_a_full_disk(pushed: Configured, place: str) -> None:
    folder = pushed.node.folder / place
    kept = pushed.node.folder / f"{place}.kept"
    folder.rename(kept)
    for mount in mounted(folder, "-t", "tmpfs", "-o", "size=96k", "none"):
        subprocess.run(["cp", "-a", f"{kept}/.", str(mount)], check=True)
        filler = mount / "filler"
        with filler.open("wb", buffering=0) as stream:
            for size in (4096, 1):
                try:
                    while stream.write(b"x" * size):
                        pass
                except OSError:
                    pass
        large = {**NEW, "lines": NEW["lines"][:800]}
        before = pushed.files()
        code, said = pushed.run(large)
        assert code == 1 and "No space left" in said and str(folder) in said
        assert pushed.files() == before
        pushed.node.status()
        filler.unlink()
        subprocess.run(["mount", "-o", "remount,size=8m", str(mount)], check=True)
        pushed.repaired(large)


@root_only
@pytest.mark.parametrize("place", ["root", "cache", "state"])
def test_a_read_only_file_system(pushed: Configured, place: str) -> None:
    folder = pushed.node.folder / place
    for mount in mounted(folder, "--bind", str(folder)):
        subprocess.run(["mount", "-o", "remount,bind,ro", str(mount)], check=True)
        pushed.refused(NEW, "Read-only file system", str(folder))
        pushed.node.status()
    pushed.repaired(NEW)


@root_only
def test_a_full_disk_below_the_lock_and_the_log(pushed: Configured) -> None:
    for mount in mounted(pushed.node.folder / "small", "-t", "tmpfs", "-o", "size=16k", "none"):
        (mount / "filler").write_bytes(b"x" * 16384)
        for name in ("LOCK", "LOG"):
            pushed.node.environment[f"NODE_AGENT_{name}"] = str(mount / name.lower())
        pushed.node.write("phases/post-configure.d/50-a", "#!/bin/sh\necho something\n", 0o755)
        code, said = pushed.run(NEW)
        assert code == 1 and "50-a" in said
        (mount / "filler").unlink()
        pushed.repaired(NEW)


# Links


def test_a_link_in_place_of_a_file_is_replaced_and_its_target_is_left(configured: Configured) -> None:
    other = configured.node.write("other", "mine")
    target = configured.node.folder / "root/etc/a.conf"
    target.unlink()
    target.symlink_to(other)
    configured.repaired(NEW)
    assert other.read_text() == "mine" and not target.is_symlink()


def test_a_template_tree_with_a_link_to_a_folder_outside(configured: Configured) -> None:
    configured.node.write("outside/secret", "secret")
    link = configured.node.folder / "templates/etc/sub"
    link.symlink_to(configured.node.folder / "outside")
    configured.repaired(NEW)


def test_a_ring_of_links(configured: Configured) -> None:
    link = configured.node.folder / "templates/etc/m"
    link.symlink_to(link)
    configured.refused(NEW, str(link))
    link.unlink()
    target = configured.node.folder / "root/etc/a.conf"
    target.unlink()
    target.symlink_to(target)
    configured.repaired(NEW)


# Time and company


def test_two_pushes_at_once(pushed: Configured) -> None:
    script = 'mkdir "$NODE_AGENT_STATE/inside"\nsleep 0.5\nrmdir "$NODE_AGENT_STATE/inside"\n'
    pushed.node.write("phases/post-configure.d/50-a", f"#!/bin/bash -eu\n{script}", 0o755)
    command = [SYSTEM_PYTHON, "-IS", str(pushed.node.zipapp), "push"]
    runs = []
    for number in range(4):
        process = subprocess.Popen(
            command, env=pushed.node.environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert process.stdin
        document = {**NEW, "password": f"password-{number}"}
        process.stdin.write(json.dumps({"documents": [["all", document]], "digest": str(number)}))
        process.stdin.close()
        runs.append(process)
    for process in runs:
        assert process.stdout
        said = process.stdout.read()
        assert process.wait() == 0, said
    status = pushed.node.status()
    assert status["healthy"] is True
    assert pushed.files()["etc/a.conf"] == f"password = password-{status['digest']}\n"


def test_two_os_apply_config_at_once(applied: Configured) -> None:
    documents = [applied.node.write(f"m{number}.json", json.dumps({**NEW, "password": number})) for number in range(8)]
    command = [SYSTEM_PYTHON, "-IS", str(applied.node.zipapp), "os-apply-config", "-m"]
    runs = [subprocess.Popen([*command, str(file)], env=applied.node.environment) for file in documents]
    assert [process.wait() for process in runs] == [0] * 8
    lines = set(applied.files()["etc/a.conf"].splitlines())
    assert len(lines) == 1 and lines < {f"password = {number}" for number in range(8)}
    applied.repaired(NEW)


@pytest.mark.parametrize("moment", [0, 4102444800])
def test_a_clock_that_jumped(pushed: Configured, moment: int) -> None:
    for path in pushed.node.folder.rglob("*"):
        os.utime(path, (moment, moment), follow_symlinks=False)
    assert pushed.node.status()["healthy"] is True
    code, lines = pushed.node.push(OLD, "False")
    assert code == 0 and lines[-1]["result"]["changed"] is False
    pushed.repaired(NEW)
