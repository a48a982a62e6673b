# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Checks of staged files: which are run, what they see, and what their failure says."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.tripleo.cloud.plugins.module_utils._node import checks
from ansible_collections.tripleo.cloud.plugins.module_utils._node.errors import NodeError
from ansible_collections.tripleo.cloud.plugins.module_utils._node.managed import Managed

ENVIRONMENT = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}


class Site:
    """A tree whose templates have checks."""

    def __init__(self, folder: Path, output: str) -> None:
        self.folder = folder
        self.output = output
        self.seen = folder / "seen"

    def template(self, path: str, text: str, check: str = "") -> None:
        file = self.folder / "templates" / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        if check:
            beside = Path(f"{file}.check")
            beside.write_text(f"#!/bin/sh -eu\n{check}\n")
            beside.chmod(0o755)

    def rules(self, text: str) -> None:
        (self.folder / "checks.yaml").write_text(text)

    def check(self, **context: Any) -> int:
        managed = Managed(str(self.folder / "templates"), self.output, str(self.folder / "state"))
        survey = managed.survey(context)
        number = managed.check(survey, {**ENVIRONMENT, "SEEN": str(self.seen)})
        managed.swap(survey)
        return number


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path, str(tmp_path / "root"))


def test_only_what_changes_is_checked(site: Site) -> None:
    site.template("etc/a.conf", "a = {{a}}\n", 'cat "$1" >> "$SEEN"; echo "${1#"$STAGED_ROOT"}" >> "$SEEN"')
    site.template("etc/b.conf", "b = {{b}}\n", 'echo b >> "$SEEN"')
    assert site.check(a=1, b=1) == 2
    assert site.seen.read_text() == "a = 1\n/etc/a.conf\nb\n"
    assert site.check(a=1, b=1) == 0
    assert site.check(a=1, b=2) == 1


def test_rules_by_path(site: Site) -> None:
    site.rules('"/etc/*.json": python3 -m json.tool {} /dev/null\n"/etc/*": touch /nonexistent/x # no file in it\n')
    site.template("etc/a.json", "{{{a}}}")
    site.template("etc/b.json", "[]")
    site.template("other/c", "c")
    with pytest.raises(
        NodeError, match=r"etc/a\.json does not pass its check \(.*checks\.yaml, /etc/\*\.json\): status 1"
    ):
        site.check(a="[")
    with pytest.raises(NodeError, match=r"checks\.yaml, /etc/\*\): status 1: touch: cannot touch"):
        site.check(a="[]")
    assert not (site.folder / "root").exists()
    site.rules('"/etc/*": "true"\n"/other/?": "false"')
    with pytest.raises(NodeError, match="other/c does not pass"):
        site.check(a="[]")


BROKEN_RULES = ["- a", '"/a": [x]', '"/a":', '"/a": \'x', '"/a": "it\'s"']


@pytest.mark.parametrize("rules", BROKEN_RULES)
def test_rules_that_cannot_be_read(site: Site, rules: str) -> None:
    site.rules(rules)
    site.template("etc/a", "a")
    with pytest.raises(NodeError, match=r"checks\.yaml"):
        site.check()


def test_a_check_that_hangs_is_killed_with_what_it_started(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "CHECK_SECONDS", 0.2)
    site.template("etc/a", "a", 'sleep 987654 & echo $! > "$SEEN"; wait')
    with pytest.raises(NodeError, match=r"etc/a does not pass .*: status -9: killed at the time limit"):
        site.check()
    assert not os.path.exists(f"/proc/{site.seen.read_text().strip()}/cwd")


def test_a_check_that_cannot_be_executed(site: Site) -> None:
    site.template("etc/a", "a", "true")
    (site.folder / "templates/etc/a.check").chmod(0o644)
    with pytest.raises(NodeError, match=r"a\.check\): status 126: cannot be executed: Permission denied"):
        site.check()


@pytest.mark.skipif(os.geteuid() != 0, reason="mount namespaces need root")
def test_checks_of_the_root_file_system_see_all_files_in_their_places(tmp_path: Path) -> None:
    site = Site(tmp_path, "/")
    place = tmp_path / "place"
    (place / "sub").mkdir(parents=True)
    (place / "sub/kept").write_text("kept")
    (place / "old").write_text("old")
    place.chmod(0o750)
    below = str(place).lstrip("/")
    look = f'cd {place}; stat -c %a . > "$SEEN"; cat main sub/* new/deep/file >> "$SEEN"; ! test -e old'
    site.template(f"{below}/main", "main {{a}}\n", look)
    site.template(f"{below}/sub/added", "added\n")
    site.template(f"{below}/new/deep/file", "deep\n")
    site.template(f"{below}/old", "")
    Path(f"{tmp_path}/templates/{below}/old.oac").write_text("allow_empty: false")
    assert site.check(a=1) == 1
    assert site.seen.read_text() == "750\nmain 1\nadded\nkeptdeep\n"
    with pytest.raises(NodeError, match="main does not pass"):
        site.template(f"{below}/main", "main {{a}}\n", "grep -q 'main 1' /proc/self/cwd/../$STAGED_ROOT/none")
        site.check(a=2)
    assert (place / "main").read_text() == "main 1\n"
    assert not [line for line in Path("/proc/mounts").read_text().splitlines() if str(tmp_path) in line]
