# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.tripleo.cloud.plugins.module_utils._image.errors import ImageError
from ansible_collections.tripleo.cloud.plugins.module_utils._image.store import ImageStore, StoredImage

CONTENT = b"frames"


def manifest(build_id: str, name: str = "compute-image", **changes: Any) -> dict[str, Any]:
    return {
        "schema": 1,
        "kind": "disk",
        "name": name,
        "build_id": build_id,
        "size": 512,
        "root_partition": 3,
        "chunks": [],
        "stored": {"file": "disk.zst", "size": len(CONTENT), "sha256": hashlib.sha256(CONTENT).hexdigest()},
        **changes,
    }


def add(store: ImageStore, build_id: str, name: str = "compute-image") -> StoredImage:
    with store.staging(name) as directory:
        (Path(directory) / "disk.zst").write_bytes(CONTENT)
        return store.add(directory, manifest(build_id, name))


def test_a_new_build_becomes_current_and_the_old_one_stays(tmp_path: Path) -> None:
    store = ImageStore(str(tmp_path))
    assert store.get("compute-image") is None
    assert store.images() == []
    first = add(store, "1" * 32)
    second = add(store, "2" * 32)
    assert store.get("compute-image") == second
    assert store.build("compute-image", "1" * 32) == first
    assert [image.build_id for image in store.images()] == ["2" * 32]
    assert Path(second.path("stored")).read_bytes() == CONTENT
    raw = (Path(second.directory) / "manifest.json").read_bytes()
    assert second.manifest_sha256 == hashlib.sha256(raw).hexdigest()
    store.verify(second)


def test_a_failed_add_leaves_the_old_build_and_no_rest(tmp_path: Path) -> None:
    store = ImageStore(str(tmp_path))
    old = add(store, "1" * 32)
    with pytest.raises(ImageError, match="another size"), store.staging("compute-image") as directory:
        (Path(directory) / "disk.zst").write_bytes(CONTENT[:-1])
        store.add(directory, manifest("2" * 32))
    assert store.get("compute-image") == old
    assert sorted(os.listdir(tmp_path / "images")) == ["compute-image"]


def test_the_lock_is_for_one_builder_and_removes_what_a_killed_one_left(tmp_path: Path) -> None:
    store = ImageStore(str(tmp_path))
    rest = tmp_path / "images" / ".adding-compute-image-x"
    rest.mkdir(parents=True)
    with store.lock():
        assert not rest.exists()
        with pytest.raises(ImageError, match="another run builds images"), ImageStore(str(tmp_path)).lock():
            pass


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: path.write_bytes(b"frameZ"),
        lambda path: path.write_bytes(CONTENT + b"x"),
        lambda path: path.unlink(),
        lambda path: (path.rename(path.with_name("other")), path.symlink_to("other")),
    ],
)
def test_verify_names_the_image_and_the_file_that_changed(tmp_path: Path, damage: Any) -> None:
    store = ImageStore(str(tmp_path))
    image = add(store, "1" * 32)
    damage(Path(image.path("stored")))
    with pytest.raises(ImageError, match=r"image compute-image: .*disk\.zst"):
        store.verify(image)


@pytest.mark.parametrize(
    "wrong",
    [
        {"schema": 2},
        {"kind": "tar"},
        {"stored": None},
        {"size": 511},
        {"root_partition": 0},
        {"chunks": [{"offset": 0, "length": 512}]},
        {"stored": {"file": "../x", "size": 1, "sha256": "0" * 64}},
        {"kind": "ramdisk", "files": {"kernel": {"file": "kernel", "size": 1, "sha256": "0" * 64}}},
        {"name": "../etc"},
        {"name": "other"},
        {"build_id": "../" + "1" * 29},
    ],
)
def test_a_manifest_that_was_not_written_here_is_refused(tmp_path: Path, wrong: dict[str, Any]) -> None:
    store = ImageStore(str(tmp_path))
    image = add(store, "1" * 32)
    (Path(image.directory) / "manifest.json").write_text(json.dumps(manifest("1" * 32, **{}) | wrong))
    with pytest.raises(ImageError):
        store.get("compute-image")


@pytest.mark.parametrize("link", ["../../etc", "2" * 32, "/etc"])
def test_a_link_out_of_the_store_is_refused(tmp_path: Path, link: str) -> None:
    store = ImageStore(str(tmp_path))
    image = add(store, "1" * 32)
    current = Path(image.directory).parent / "current"
    current.unlink()
    current.symlink_to(link)
    with pytest.raises(ImageError):
        store.get("compute-image")
