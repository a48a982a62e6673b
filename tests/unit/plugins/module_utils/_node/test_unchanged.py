# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""os-apply-config's short way: taken only when a whole run would say the same and write nothing."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from agent_node import Node

DOCUMENT = {"password": "old-password"}


class Applied:
    """A node on which os-apply-config has run, and what the next run does."""

    def __init__(self, node: Node) -> None:
        self.node = node
        self.record = node.folder / "state/unchanged"
        self.target = node.folder / "root/etc/app.conf"
        self.template = node.write("templates/etc/app.conf", "password = {{password}}\n")
        self.control = node.write("templates/etc/app.conf.oac", "{mode: 0640}")
        node.write("templates/etc/none", "{{nothing}}")
        node.write("templates/etc/none.oac", "{allow_empty: false}")
        self.document = node.write("m.json", json.dumps(DOCUMENT))
        self.list = node.write("list.json", json.dumps([str(self.document)]))
        self.arguments = ["os-apply-config", "--os-config-files", str(self.list)]
        self.run()

    def other(self) -> str:
        """Another document's path."""
        return str(self.node.write("n.json", '{"password": "x"}'))

    def run(self) -> tuple[int, str]:
        done = self.node.run(*self.arguments)
        return done.returncode, re.sub(r"^\[.*?\] ", "", done.stderr, flags=re.MULTILINE)

    def short(self) -> bool:
        """Run; whether that took the short way, which leaves the record alone."""
        before = self.record.stat().st_mtime_ns
        assert self.run()[0] == 0
        return self.record.stat().st_mtime_ns == before


@pytest.fixture
def applied(node: Node) -> Applied:
    return Applied(node)


def test_nothing_changed(applied: Applied) -> None:
    assert applied.run() == (0, f"[INFO] not creating empty {applied.node.folder}/root/etc/none\n[INFO] success\n")
    assert applied.short()
    assert applied.record.stat().st_mode & 0o777 == 0o600
    assert "password" not in applied.record.read_text()
    log = (applied.node.folder / "apply-log").read_text().splitlines()
    assert [line.split("] ", 1)[1] for line in log][-2:] == [
        f"[INFO] not creating empty {applied.node.folder}/root/etc/none", "[INFO] success",
    ]  # fmt: skip


CHANGES: dict[str, Callable[[Applied], object]] = {
    "document": lambda on: on.document.write_text('{"password": "new-password"}'),
    "document gone": lambda on: on.document.unlink(),
    "document broken": lambda on: on.document.write_text("{"),
    "another document": lambda on: on.list.write_text(json.dumps([str(on.document), on.other()])),
    "template": lambda on: on.template.write_text("password: {{password}}\n"),
    "template gone": lambda on: on.template.unlink(),
    "template added": lambda on: on.node.write("templates/opt/more", "more"),
    "template executable": lambda on: on.template.chmod(0o755),
    "template broken": lambda on: on.template.write_text("{{#a}}{{/b}}"),
    "template a link": lambda on: (on.template.unlink(), on.template.symlink_to(on.node.write("other", "other"))),
    "control": lambda on: on.control.write_text("{mode: 0600}"),
    "control gone": lambda on: on.control.unlink(),
    "control broken": lambda on: on.control.write_text("{mode: x}"),
    "target": lambda on: on.target.write_text("by hand"),
    "target gone": lambda on: on.target.unlink(),
    "target mode": lambda on: on.target.chmod(0o666),
    "target owner": lambda on: os.chown(on.target, 1, 1),
    "target a link": lambda on: (on.target.rename(f"{on.target}.old"), on.target.symlink_to(f"{on.target}.old")),
    "target a folder": lambda on: (on.target.unlink(), on.target.mkdir()),
    "target that should not be": lambda on: on.node.write("root/etc/none", "x"),
    "arguments": lambda on: on.arguments.extend(["-o", f"{on.node.folder}/elsewhere"]),
    "environment": lambda on: on.node.environment.update(OS_CONFIG_FILES=on.other()),
    "record torn": lambda on: on.record.write_bytes(on.record.read_bytes()[:-9]),
    "record damaged": lambda on: on.record.write_bytes(b"\xff\n\n\n"),
}  # fmt: skip


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_is_seen(applied: Applied, change: str) -> None:
    if change == "target owner" and os.geteuid() != 0:
        pytest.skip("owners need root")
    CHANGES[change](applied)
    state = applied.node.folder
    copy = Path(f"{state}.copy")
    shutil.copytree(state, copy, symlinks=True)
    with_record = applied.run()
    found = contents(state)
    shutil.rmtree(state)
    copy.rename(state)
    if change == "target owner":
        os.chown(applied.target, 1, 1)
    applied.record.unlink()
    assert with_record == applied.run()
    assert found == contents(state)


def contents(folder: Path) -> dict[str, object]:
    """What lies below the two roots."""
    found: dict[str, object] = {}
    for root in (folder / "root", folder / "elsewhere"):
        for path in root.rglob("*"):
            status = path.lstat()
            text = path.read_bytes() if path.is_file() else None
            found[str(path)] = (status.st_mode, status.st_uid, status.st_gid, text)
    return found


def test_an_executable_template_always_runs(applied: Applied) -> None:
    counter = applied.node.folder / "counter"
    applied.node.write("templates/etc/run", f"#!/bin/sh\necho >>{counter}\nwc -l <{counter}\n", 0o755)
    applied.record.unlink()
    for number in (1, 2, 3):
        applied.run()
        assert (applied.node.folder / "root/etc/run").read_text() == f"{number}\n"
    assert not applied.record.exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="owners need root")
def test_owners_that_this_host_knows(applied: Applied) -> None:
    applied.control.write_text("{owner: daemon, group: daemon}")
    applied.run()
    assert applied.short()


def test_another_agent_does_not_trust_the_record(applied: Applied) -> None:
    shutil.copyfile(applied.node.zipapp, applied.node.folder / "agent")
    applied.node.zipapp = applied.node.folder / "agent"
    assert applied.short()
    with applied.node.zipapp.open("r+b") as stream:
        content = stream.read()
        place = content.index(b'DIGEST = "') + 10
        stream.seek(place)
        stream.write(b"x" * 64)
    assert not applied.short()


def test_a_record_that_cannot_be_written_is_no_fault(node: Node) -> None:
    (node.folder / "state").write_text("")
    applied = Applied(node)
    assert applied.target.read_text() == "password = old-password\n"
    assert applied.run()[0] == 0


def test_a_preview_and_a_look_up_leave_no_record(applied: Applied) -> None:
    applied.record.unlink()
    for arguments in (["--validate"], ["--key", "password", "--type", "raw"], ["--print-templates"]):
        assert applied.node.run(*applied.arguments, *arguments).returncode == 0
    assert not applied.record.exists()
