# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.tripleo.cloud.plugins.module_utils._image import elements, inputs
from ansible_collections.tripleo.cloud.plugins.module_utils._image.errors import ImageError

Write = Callable[..., None]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write a file of an element below the folder ``els``."""

    def write_file(name: str, content: str = "", mode: int = 0o644) -> None:
        path = tmp_path / "els" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
        path.chmod(mode)

    write_file("base/element-provides", "operating-system\n")
    write_file("base/root.d/10-base", "true\n", 0o755)
    write_file("app/element-deps", "lib\n\npkg-map\n")
    write_file("app/install.d/50-app", "echo\n", 0o755)
    write_file("lib/element-deps", "app\nvirtual\n")
    write_file("other/element-provides", "virtual\n")
    return write_file


def digest(tmp_path: Path, **changes: Any) -> str:
    spec = inputs.parse_spec({"name": "an-image", "elements": ["base", "app", "other", "node-agent"], **changes})
    (tmp_path / "els" / inputs.TREE_ONLY).mkdir(exist_ok=True)
    (tmp_path / "els" / "node-agent").mkdir(exist_ok=True)
    agent = tmp_path / "agent.pyz"
    if not agent.exists():
        agent.write_text("agent")
    found, _elements = inputs.disk_inputs(
        spec, [str(tmp_path / "els")], node_agent=str(agent), release="bookworm", apt_lines=["deb a b c"]
    )
    return found.digest


def test_elements_come_with_what_they_depend_on(tmp_path: Path, write: Write) -> None:
    found = elements.expand(["base", "app", "other"], [str(tmp_path / "els")], image="an-image")
    assert [element.name for element in found] == ["app", "base", "lib", "other", "pkg-map"]
    assert found[-1].directory.endswith("diskimage_builder/elements/pkg-map")


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["base", "app"], "image an-image: element lib needs element 'virtual'"),
        (["base", "nothing"], "image an-image: the image needs element 'nothing'"),
        (["base", "../els/app"], r"the image needs element '\.\./els/app'"),
        (["other"], "provides an operating system"),
    ],
)
def test_what_is_missing_is_named(tmp_path: Path, write: Write, names: list[str], message: str) -> None:
    with pytest.raises(ImageError, match=message):
        elements.expand(names, [str(tmp_path / "els")], image="an-image")


def test_equal_inputs_in_another_folder_give_the_same_digest(tmp_path: Path, write: Write) -> None:
    first = digest(tmp_path)
    (tmp_path / "els" / "app" / "__pycache__").mkdir()
    (tmp_path / "els" / "app" / "__pycache__" / "x.pyc").write_text("x")
    (tmp_path / "els" / "unused").mkdir()
    assert digest(tmp_path) == first
    moved = tmp_path / "moved"
    moved.mkdir()
    (tmp_path / "els").rename(moved / "els")
    assert digest(moved) == first


@pytest.mark.parametrize(
    "change",
    [
        lambda write, path: write("app/install.d/50-app", "echo 2\n", 0o755),
        lambda write, path: write("app/install.d/50-app", "echo\n", 0o644),
        lambda write, path: write("app/install.d/51-app"),
        lambda write, path: write("lib/deep/er/file", "x"),
        lambda write, path: (path / "els" / "lib" / "link").symlink_to("element-deps"),
        lambda write, path: (path / "agent.pyz").write_text("another agent"),
    ],
)
def test_a_change_in_an_element_changes_the_digest(tmp_path: Path, write: Write, change: Any) -> None:
    first = digest(tmp_path)
    change(write, tmp_path)
    assert digest(tmp_path) != first


@pytest.mark.parametrize(
    "change",
    [{"packages": ["jq"]}, {"size": 2048}, {"environment": {"DIB_X": "1"}}, {"elements": ["base", "node-agent"]}],
)
def test_a_change_of_options_changes_the_digest(tmp_path: Path, write: Write, change: dict[str, Any]) -> None:
    assert digest(tmp_path, **change) != digest(tmp_path)


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"name": "../x", "elements": ["base"]}, "its name is not"),
        ({"name": "x"}, "a disk needs elements"),
        ({"name": "x", "elements": ["base"], "kind": "iso"}, "kind 'iso'"),
        ({"name": "x", "elements": ["base"], "arch": "s390x"}, "arch 's390x'"),
        ({"name": "x", "elements": ["base"], "packages": ["--purge"]}, "package '--purge'"),
        ({"name": "x", "elements": ["base"], "environment": {"a b": 1}}, "environment 'a b'"),
        ({"name": "x", "kind": "ramdisk", "modules": ["nvme"]}, "a ramdisk needs kernel_package"),
    ],
)
def test_a_wrong_entry_is_refused_by_name(entry: dict[str, Any], message: str) -> None:
    with pytest.raises(ImageError, match=message):
        inputs.parse_spec(entry)


def test_changes_names_what_differs() -> None:
    assert inputs.changes(None, {"a": 1}) == []
    assert inputs.changes({"a": 1, "b": 2, "c": 3}, {"a": 1, "b": 3, "d": 4}) == ["b", "c", "d"]


def test_where_diskimage_builder_is_not_installed_yet_a_preview_goes_without_its_elements(
    tmp_path: Path, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_builder = digest(tmp_path)
    monkeypatch.setattr(elements, "builder_elements", lambda: None)
    found = elements.expand(["base", "app", "other"], [str(tmp_path / "els")], image="an-image")
    assert [element.name for element in found] == ["app", "base", "lib", "other"]
    assert digest(tmp_path) != with_builder
