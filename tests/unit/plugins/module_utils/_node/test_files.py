# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Control files, the rendered tree, the swap and the diff."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Any, Optional

import pytest
from ansible_collections.tripleo.cloud.plugins.module_utils._node import files, mask
from ansible_collections.tripleo.cloud.plugins.module_utils._node.control import Control, parse_control
from ansible_collections.tripleo.cloud.plugins.module_utils._node.errors import NodeError
from ansible_collections.tripleo.cloud.plugins.module_utils._node.tree import render_tree

ERROR = None
# Each row was compared with os-apply-config 14.1.0 and PyYAML.
CONTROLS: list[tuple[str, Optional[Control]]] = [
    ("", Control()),
    ("# only a comment\n", Control()),
    ("---\nmode: 0600 # private\n", Control(mode=0o600)),
    ("mode: 0777", Control(mode=0o777)),
    ("mode: 0", Control()),
    ("mode: 0x180", Control(mode=0o600)),
    ('"mode": 0600', Control(mode=0o600)),
    ("mode: 600", ERROR),
    ('mode: "0600"', ERROR),
    ("mode: 0o600", ERROR),
    ("mode:", ERROR),
    ("mode: 01000", ERROR),
    ("mode: -1", ERROR),
    ("owner: root\ngroup: root", Control(uid=0, gid=0)),
    ("owner: 0\ngroup: 0", Control(uid=0, gid=0)),
    ('owner: "0"', ERROR),
    ("owner: 'root'", Control(uid=0)),
    ("owner: nosuchuser", ERROR),
    ("owner: yes", ERROR),
    ("owner: 99999999", ERROR),
    ("group: ~", ERROR),
    ("allow_empty: no", Control(allow_empty=False)),
    ("allow_empty: FALSE", Control(allow_empty=False)),
    ('allow_empty: "no"', ERROR),
    ("allow_empty: 0", ERROR),
    ("_mode: 448", ERROR),
    ("body: x", ERROR),
    ("- mode", ERROR),
    ("text", ERROR),
    ("owner: [root]", ERROR),
    ("owner: 'root", ERROR),
]


@pytest.mark.parametrize(("text", "expected"), CONTROLS)
def test_control_files(text: str, expected: Optional[Control]) -> None:
    if expected is None:
        with pytest.raises(NodeError, match=r"x\.oac"):
            parse_control(text, "x.oac")
    else:
        assert parse_control(text, "x.oac") == expected


class Tree:
    """A template tree and an output root in a temporary folder."""

    def __init__(self, folder: Path) -> None:
        self.templates = folder / "templates"
        self.root = folder / "root"
        self.templates.mkdir()

    def template(self, path: str, text: str, mode: int = 0o644, control: str = "") -> None:
        file = self.templates / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(text.encode())
        file.chmod(mode)
        if control:
            Path(f"{file}.oac").write_text(control)

    def changes(self, context: dict[str, Any], strict: bool = False) -> list[files.Change]:
        return files.compare(render_tree(str(self.templates), context, strict), str(self.root))

    def apply(self, context: dict[str, Any]) -> dict[str, str]:
        changes = self.changes(context)
        files.write(changes)
        return {os.path.relpath(change.path, self.root): change.kind for change in changes}


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    return Tree(tmp_path)


MY_CNF = "[client]\nuser = root\n{{#mysql.root-password}}\npassword = {{.}}\n{{/mysql.root-password}}\n"


def test_the_worked_example(tree: Tree) -> None:
    tree.template("root/.my.cnf", MY_CNF, control="mode: 0600\n")
    context = {"mysql": {"root-password": "Heifs23jk3"}}
    assert tree.apply(context) == {"root/.my.cnf": "create"}
    written = tree.root / "root/.my.cnf"
    assert written.read_text() == "[client]\nuser = root\npassword = Heifs23jk3\n"
    assert stat.S_IMODE(written.stat().st_mode) == 0o600
    before = written.stat()
    assert tree.apply(context) == {}
    assert (written.stat().st_ino, written.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    assert tree.apply({"mysql": {"root-password": "another1"}}) == {"root/.my.cnf": "change"}
    assert "password = another1" in written.read_text()
    assert [path.name for path in written.parent.iterdir()] == [".my.cnf"]


def test_kinds_of_templates(tree: Tree) -> None:
    tree.template("etc/dos", "a\r\nb\rc\n")
    tree.template("etc/.hidden~", "x")
    tree.template("etc/script", "#!/bin/sh\ncat\n", mode=0o755)
    tree.template("etc/deaf", "#!/bin/sh\necho deaf\n", mode=0o700)
    tree.template("etc/alone.oac", "mode: 0600")
    (tree.templates / "etc/link").symlink_to("dos")
    (tree.templates / "linked").symlink_to("etc")
    (tree.templates / "empty").mkdir()
    tree.apply({"a": "é" * 100000})
    assert sorted(path.name for path in (tree.root / "etc").iterdir()) == [".hidden~", "deaf", "dos", "link", "script"]
    assert (tree.root / "etc/dos").read_text() == "a\nb\nc\n"
    assert (tree.root / "etc/script").read_text() == '{"a": "' + "\\u00e9" * 100000 + '"}'
    assert stat.S_IMODE((tree.root / "etc/script").stat().st_mode) == 0o644
    assert [path.name for path in tree.root.iterdir()] == ["etc"]


BROKEN_TEMPLATES = [
    ("{{#a}}{{/b}}", 0o644, "", "mismatch"),
    ("x", 0o644, "mode: 600", "out of range"),
    ("#!/bin/sh\necho out; echo err >&2; exit 3\n", 0o755, "", "status 3, with output: out\nerr"),
    ("#!/nonexistent\n", 0o755, "", "cannot be executed"),
    ("#!/bin/sh\nprintf '\\377'\n", 0o755, "", "codec"),
]


@pytest.mark.parametrize(("text", "mode", "control", "message"), BROKEN_TEMPLATES)
def test_one_broken_template_leaves_every_file_untouched(
    tree: Tree, text: str, mode: int, control: str, message: str
) -> None:
    tree.template("etc/a", "{{a}}")
    tree.apply({"a": "old"})
    tree.template("etc/z", text, mode, control)
    with pytest.raises(NodeError, match=message) as caught:
        tree.apply({"a": "new"})
    assert "etc/z" in str(caught.value)
    assert (tree.root / "etc/a").read_text() == "old"


def test_templates_that_cannot_be_read(tree: Tree) -> None:
    (tree.templates / "dangling").symlink_to("nowhere")
    with pytest.raises(NodeError, match="dangling"):
        tree.apply({})
    (tree.templates / "dangling").unlink()
    os.mkfifo(tree.templates / "fifo")
    with pytest.raises(NodeError, match="not a regular file"):
        tree.apply({})
    (tree.templates / "fifo").unlink()
    (tree.templates / "latin").write_bytes(b"\xff")
    with pytest.raises(NodeError, match="latin"):
        tree.apply({})


def test_strict_names_every_template_and_key(tree: Tree) -> None:
    tree.template("etc/a", "{{no.such}}{{other}}")
    tree.template("etc/b", "{{third}}")
    with pytest.raises(NodeError) as caught:
        tree.changes({}, strict=True)
    told = str(caught.value).split("; ")
    assert [line.split("'")[1] for line in told] == ["no.such", "other", "third"]
    assert "etc/a" in told[1] and "etc/b" in told[2]


def test_a_check_is_no_template_unless_it_stands_alone(tree: Tree) -> None:
    tree.template("etc/a", "a")
    tree.template("etc/a.check", "#!/bin/sh\n", mode=0o755)
    tree.template("etc/alone.check", "b")
    assert tree.apply({}) == {"etc/a": "create", "etc/alone.check": "create"}


def test_a_template_that_leads_out_of_the_tree_is_refused_where_it_is_confined(tree: Tree, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("x")
    tree.template("etc/a", "a")
    (tree.templates / "etc/b").symlink_to(tmp_path / "secret")
    assert [item.path for item in render_tree(str(tree.templates), {})] == ["etc/a", "etc/b"]
    with pytest.raises(NodeError, match="etc/b leads out of"):
        render_tree(str(tree.templates), {}, confined=True)


def test_allow_empty(tree: Tree) -> None:
    tree.template("etc/a", "{{a}}", control="allow_empty: false")
    tree.template("etc/b", "{{a}}")
    assert tree.apply({}) == {"etc/b": "create"}
    assert tree.apply({"a": " "}) == {"etc/a": "create", "etc/b": "change"}
    assert tree.apply({}) == {"etc/a": "delete", "etc/b": "change"}
    assert not (tree.root / "etc/a").exists()
    assert tree.apply({}) == {}


def test_mode_and_owner_are_kept_unless_the_control_file_says_otherwise(tree: Tree) -> None:
    tree.template("a", "{{a}}")
    tree.apply({"a": 1})
    (tree.root / "a").chmod(0o640)
    os.chown(tree.root / "a", 1, 2)
    assert tree.apply({"a": 2}) == {"a": "change"}
    status = (tree.root / "a").stat()
    assert (stat.S_IMODE(status.st_mode), status.st_uid, status.st_gid) == (0o640, 1, 2)
    tree.template("a", "{{a}}", control="mode: 0600\nowner: root\n")
    assert tree.apply({"a": 2}) == {"a": "attributes"}
    status = (tree.root / "a").stat()
    assert (stat.S_IMODE(status.st_mode), status.st_uid, status.st_gid) == (0o600, 0, 2)


def test_a_link_becomes_a_file_and_what_it_pointed_to_stays(tree: Tree) -> None:
    tree.template("a", "new")
    tree.root.mkdir()
    (tree.root / "target").write_text("old")
    (tree.root / "target").chmod(0o600)
    (tree.root / "a").symlink_to("target")
    assert tree.apply({}) == {"a": "change"}
    assert not (tree.root / "a").is_symlink()
    assert stat.S_IMODE((tree.root / "a").stat().st_mode) == 0o600
    assert (tree.root / "target").read_text() == "old"


def test_a_folder_in_the_way_is_an_error_before_anything_is_written(tree: Tree) -> None:
    tree.template("a", "new")
    tree.template("b", "new")
    (tree.root / "b").mkdir(parents=True)
    with pytest.raises(NodeError, match="/b is in the way"):
        tree.apply({})
    assert not (tree.root / "a").exists()
    tree.template("c/d", "new")
    (tree.root / "b").rmdir()
    (tree.root / "c").write_text("a file where a folder has to be")
    with pytest.raises(NodeError, match="c/d"):
        tree.apply({})


def test_diff_shows_that_a_secret_changed_but_not_what_it_is(tree: Tree) -> None:
    tree.template("root/.my.cnf", MY_CNF)
    tree.template("blob", "#!/bin/sh\nprintf 'a\\000b'\n", mode=0o755)
    tree.apply({"mysql": {"root-password": "oldsecret"}})
    context = {"mysql": {"root-password": "newsecret"}}
    (entry,) = files.diff(tree.changes(context), mask.secrets_of(context))
    assert entry["before_header"] == entry["after_header"] == str(tree.root / "root/.my.cnf")
    assert entry["before"] != entry["after"]
    assert "user = root" in entry["after"]
    assert mask.MASK in entry["before"]
    assert "secret" not in entry["before"] + entry["after"]


SECRET_KEYS = [
    ("password", True),
    ("root-password", True),
    ("admin_token", True),
    ("fernet-keys", True),
    ("ssh_private_key", True),
    ("secret", True),
    ("keystone", False),
    ("keyboard", False),
    ("public_key", False),
    ("authorized_keys", False),
    ("passive", False),
    ("compass", False),
]


@pytest.mark.parametrize(("key", "secret"), SECRET_KEYS)
def test_which_keys_are_secret(key: str, secret: bool) -> None:
    assert mask.is_secret_key(key) is secret


def test_mask() -> None:
    context = {"fernet-keys": {"0": "aaaabbbb", "1": ["ccccdddd", 12345, True, None, "no"]}, "host": "controller"}
    secrets = mask.secrets_of(context)
    assert set(secrets) == {"aaaabbbb", "ccccdddd", "12345"}
    text = "key=aaaabbbb url=mysql://root:pa:ss@controller/x\nauth_password = 'zzz', next\nport = 12345\n"
    masked = mask.mask(text, secrets)
    for gone in ("aaaabbbb", "pa:ss", "zzz", "12345"):
        assert gone not in masked
    for kept in ("mysql://root:", "@controller/x", "auth_password = '", "', next"):
        assert kept in masked
