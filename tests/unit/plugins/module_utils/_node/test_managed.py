# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files swapped in as one, kept in generations, brought back, and compared with what was applied."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path
from typing import Any, Callable

import pytest
from ansible_collections.tripleo.cloud.plugins.module_utils._node import files, journal
from ansible_collections.tripleo.cloud.plugins.module_utils._node.errors import NodeError
from ansible_collections.tripleo.cloud.plugins.module_utils._node.generations import Generation
from ansible_collections.tripleo.cloud.plugins.module_utils._node.managed import Managed


class Host:
    """Templates, an output root and a state folder."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "root"
        self.templates = folder / "templates"
        self.state = folder / "state"
        for path in ("a", "b", "c"):
            self.template(f"etc/{path}", f"{path} = {{{{{path}}}}}\n")
        self.root.mkdir()

    def template(self, path: str, text: str) -> Path:
        file = self.templates / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        return file

    @property
    def managed(self) -> Managed:
        return Managed(str(self.templates), str(self.root), str(self.state), 3)

    def apply(self, good: bool = True, **context: Any) -> Generation:
        managed = self.managed
        with managed.generations.held():
            made = managed.swap(managed.survey(context))
            if good:
                managed.generations.mark_good(made)
            return made

    def files(self) -> dict[str, str]:
        return {str(path.relative_to(self.root)): path.read_text() for path in self.root.rglob("*") if path.is_file()}


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path)


def roll_back(host: Host, number: int | None = None, check: bool = False) -> dict[str, str]:
    managed = host.managed
    with managed.generations.held():
        changes = managed.roll_back(number, check)
    return {os.path.relpath(change.path, host.root): change.kind for change in changes}


def test_a_generation_comes_back_with_content_mode_and_absence(host: Host) -> None:
    (host.root / "etc").mkdir()
    (host.root / "etc/d").write_text("from the package\n")
    first = host.apply(a=1, b=1, c=1)
    (host.root / "etc/a").chmod(0o640)
    host.apply(a=1, b=1, c=1)
    host.template("etc/d", "d = {{d}}\n")
    host.template("etc/e", "e\n")
    host.apply(a=2, b=1, c=1, d=5)
    assert host.files()["etc/d"] == "d = 5\n"
    assert roll_back(host, check=True) == {"etc/a": "change", "etc/d": "change", "etc/e": "delete"}
    assert host.files()["etc/a"] == "a = 2\n"
    assert roll_back(host) == {"etc/a": "change", "etc/d": "change", "etc/e": "delete"}
    assert host.files() == {"etc/a": "a = 1\n", "etc/b": "b = 1\n", "etc/c": "c = 1\n", "etc/d": "from the package\n"}
    assert stat.S_IMODE((host.root / "etc/a").stat().st_mode) == 0o640
    # Once is enough, and a number leads farther back.
    assert roll_back(host) == {}
    assert roll_back(host, first.number) == {"etc/a": "attributes"}
    with pytest.raises(NodeError, match="no generation 9 besides generation 1; kept are"):
        roll_back(host, 9)


def test_a_generation_that_was_not_good_is_passed_over(host: Host) -> None:
    host.apply(a=1)
    host.apply(good=False, a=2)
    host.apply(good=False, a=3)
    assert roll_back(host) == {"etc/a": "change"}
    assert host.files()["etc/a"] == "a = 1\n"
    assert host.apply(a=3).number == 4
    # What an operator goes back from is not good any more.
    host.apply(a=4)
    assert roll_back(host, 4) == {"etc/a": "change"}
    host.apply(good=False, a=5)
    assert roll_back(host) == {"etc/a": "change"} and host.files()["etc/a"] == "a = 3\n"


def test_failures_pile_nothing_up_and_a_damaged_manifest_is_none(host: Host) -> None:
    host.apply(a=1)
    for number in range(6):
        host.apply(good=False, a=2 + number % 2)
    assert host.managed.generations.numbers() == [1, 5, 6, 7]
    for path in host.state.glob("generations/*/7.json"):
        path.write_text('{"files": []}')
    assert host.managed.generations.current() is None
    assert host.apply(a=9).number == 8


def test_nothing_to_go_back_to(host: Host) -> None:
    with pytest.raises(NodeError, match="there is no generation of the files below"):
        roll_back(host)
    host.apply(a=1)
    with pytest.raises(NodeError, match="there is no good generation before generation 1"):
        roll_back(host)


def test_equal_files_make_no_generation_and_old_ones_go(host: Host) -> None:
    assert [host.apply(a=1).number for _number in range(3)] == [1, 1, 1]
    for number in range(2, 8):
        host.apply(good=number == 2, a=number)
    # The last good one stays, however old it is.
    assert host.managed.generations.numbers() == [2, 5, 6, 7]
    objects = next(host.state.glob("generations/*/objects"))
    assert {path.read_text() for path in objects.iterdir()} == {
        "b = \n", "c = \n", "a = 2\n", "a = 5\n", "a = 6\n", "a = 7\n",
    }  # fmt: skip
    assert {stat.S_IMODE(path.stat().st_mode) for path in objects.iterdir()} == {0o600}
    assert roll_back(host) == {"etc/a": "change"} and host.files()["etc/a"] == "a = 2\n"


def test_a_kept_content_that_was_changed_is_not_brought_back(host: Host) -> None:
    host.apply(a=1)
    host.apply(a=2)
    for path in host.state.glob("generations/*/objects/*"):
        if path.read_text() == "a = 1\n":
            path.write_text("evil")
    with pytest.raises(NodeError, match=r"the kept content of .*etc/a was changed"):
        roll_back(host)
    assert host.files()["etc/a"] == "a = 2\n"


def test_drift_is_what_differs_from_what_was_applied(host: Host) -> None:
    assert host.managed.generations.drift() == []
    host.apply(a=1, b=1, c=1)
    assert host.managed.generations.drift() == []
    (host.root / "etc/a").write_text("by hand\n")
    (host.root / "etc/b").unlink()
    (host.root / "etc/c").chmod(0o600)
    host.template("etc/a", "another template\n")
    found = host.managed.generations.drift()
    assert [(os.path.basename(change.path), change.kind, change.after) for change in found] == [
        ("a", "change", b"a = 1\n"), ("b", "create", b"b = 1\n"), ("c", "attributes", b"c = 1\n"),
    ]  # fmt: skip


def test_a_target_that_leads_out_of_the_root_is_refused(host: Host, tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (host.root / "etc").symlink_to("../outside")
    with pytest.raises(NodeError, match="etc/a leads out of"):
        host.apply(a=1)
    assert list((tmp_path / "outside").iterdir()) == []


class Cut(BaseException):
    """The machine stops."""


def _cut_off(change: Callable[[], Any], monkeypatch: pytest.MonkeyPatch, stop: int) -> bool:
    """Carry change out, but stop before the file system is changed for the stop-th time; whether it came to that."""
    done = 0

    def counted(call: Callable[..., Any]) -> Callable[..., Any]:
        def called(*arguments: Any, **options: Any) -> Any:
            nonlocal done
            done += 1
            if done >= stop:
                raise Cut
            return call(*arguments, **options)

        return called

    with monkeypatch.context() as patched:
        for name in ("rename", "unlink", "mkdir", "fsync"):
            patched.setattr(os, name, counted(getattr(os, name)))
        try:
            change()
        except Cut:
            return True
    return False


def test_a_run_that_is_cut_off_anywhere_leaves_each_file_old_or_new_and_the_next_one_finishes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = {"etc/a": "a = 1\n", "etc/b": "b = 1\n", "etc/c": "c = 1\n"}
    new = {"etc/a": "a = 2\n", "etc/b": "b = 2\n", "etc/c": "c = 1\n", "etc/sub/d": "d\n"}
    stop, was_cut = 0, True
    while was_cut:
        stop += 1
        folder = tmp_path / str(stop)
        folder.mkdir()
        host = Host(folder)
        host.apply(a=1, b=1, c=1)
        host.template("etc/sub/d", "d\n")
        was_cut = _cut_off(lambda host=host: host.apply(a=2, b=2, c=1), monkeypatch, stop)  # type: ignore[misc]
        seen = {path: text for path, text in host.files().items() if not path.endswith(".new")}
        assert all(text in (old.get(path), new[path]) for path, text in seen.items())
        assert set(old) <= set(seen)
        assert host.apply(a=2, b=2, c=1).number >= 2
        assert host.files() == new, f"cut off at {stop}"
        assert not list(host.state.glob("generations/*/journal.json"))
    assert stop > 20


def test_a_rename_that_fails_is_carried_on_with(host: Host) -> None:
    first = host.apply(a=1, b=1, c=1)
    survey = host.managed.survey({"a": 2, "b": 2, "c": 2})
    kept = host.managed.generations
    path = os.path.join(kept.folder, "journal.json")

    def never(number: int) -> None:
        raise AssertionError(number)

    (host.root / "etc/b").unlink()
    (host.root / "etc/b").mkdir()
    (host.root / "etc/b/x").write_text("in the way")
    with pytest.raises(NodeError, match=r"etc/b cannot be written: .*; the next run goes on with it"):
        journal.swap(survey.changes, path, first.number, never)
    with pytest.raises(NodeError, match="etc/b cannot be written"), kept.held():
        pass
    (host.root / "etc/b/x").unlink()
    (host.root / "etc/b").rmdir()
    with kept.held():
        pass
    assert host.files() == {"etc/a": "a = 2\n", "etc/b": "b = 2\n", "etc/c": "c = 2\n"}


def test_a_file_that_cannot_be_staged_leaves_all_as_it_was(host: Host) -> None:
    host.apply(a=1, b=1, c=1)
    survey = host.managed.survey({"a": 2, "b": 1, "c": 2})
    # Becomes true between the survey and the swap.
    (host.root / "etc").rename(host.root / "old")
    (host.root / "etc").write_text("a file")
    with pytest.raises(NodeError, match="etc/a cannot be written"):
        host.managed.swap(survey)
    assert not list(host.state.glob("generations/*/journal.json"))
    assert json.loads(next(host.state.glob("generations/*/current.json")).read_text()) == 1


def test_the_diff_of_kept_files_shows_no_content(host: Host) -> None:
    host.template("etc/key", "{{key}}")
    host.apply(key="opaque-1")
    (host.root / "etc/key").write_text("opaque-2")
    (entry,) = files.diff(host.managed.generations.drift(), None)
    assert "opaque" not in json.dumps(entry) and entry["before"] != entry["after"]
