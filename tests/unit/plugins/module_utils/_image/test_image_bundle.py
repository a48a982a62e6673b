# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import io
import tarfile
from pathlib import Path

import pytest
from ansible_collections.tripleo.cloud.plugins.module_utils._image import bundle
from ansible_collections.tripleo.cloud.plugins.module_utils._image.errors import ImageError


def test_a_bundle_brings_folders_in_order_and_execute_bits(tmp_path: Path) -> None:
    for folder in ("mine", "shipped", "core"):
        (tmp_path / folder / "el" / "install.d").mkdir(parents=True)
        (tmp_path / folder / "el" / "file").write_text(folder)
    script = tmp_path / "mine" / "el" / "install.d" / "50-x"
    script.write_text("#!/bin/sh\n")
    script.chmod(0o700)
    (tmp_path / "mine" / "el" / "link").symlink_to("file")
    folders = [str(tmp_path / "mine"), str(tmp_path / "shipped")]
    content = bundle.pack(folders, str(tmp_path / "core"), b"zip")
    script.touch()
    assert bundle.pack(folders, str(tmp_path / "core"), b"zip") == content

    packed, target = tmp_path / "bundle.tar", tmp_path / "target"
    packed.write_bytes(content)
    target.mkdir()
    found = bundle.unpack(str(packed), str(target))
    assert [(Path(path) / "el" / "file").read_text() for path in found.paths] == ["mine", "shipped"]
    assert (Path(found.paths[0]) / "el" / "link").read_text() == "mine"
    assert (Path(found.paths[0]) / "el" / "install.d" / "50-x").stat().st_mode & 0o111
    assert (Path(found.core_dir) / "el" / "file").read_text() == "core"
    assert Path(found.node_agent).read_bytes() == b"zip"


def test_only_the_collection_brings_the_elements_of_the_original_programs(tmp_path: Path) -> None:
    for folder in ("theirs", "shipped"):
        for name in ("os-apply-config", "os-refresh-config", "os-collect-config", "os-svc-install/os-apply-config"):
            (tmp_path / folder / name).mkdir(parents=True)
            (tmp_path / folder / name / "element-deps").write_text(folder)
    (tmp_path / "core").mkdir()
    packed, target = tmp_path / "bundle.tar", tmp_path / "target"
    packed.write_bytes(bundle.pack([str(tmp_path / "theirs"), str(tmp_path / "shipped")], str(tmp_path / "core"), b""))
    target.mkdir()
    theirs, shipped = (Path(path) for path in bundle.unpack(str(packed), str(target)).paths)
    assert [path.name for path in theirs.iterdir()] == ["os-svc-install"]
    assert (theirs / "os-svc-install" / "os-apply-config" / "element-deps").read_text() == "theirs"
    assert sorted(path.name for path in shipped.iterdir()) == [
        *("os-apply-config", "os-collect-config", "os-refresh-config", "os-svc-install")
    ]


def entry(name: str, kind: bytes = tarfile.REGTYPE) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        member = tarfile.TarInfo(name)
        member.type = kind
        member.linkname = "/etc/passwd"
        archive.addfile(member)
    return buffer.getvalue()


@pytest.mark.parametrize(
    "content",
    [entry("../x"), entry("/x"), entry("a/../../x"), entry("x", tarfile.SYMTYPE), entry("x", tarfile.CHRTYPE), b"no"],
)
def test_what_is_no_plain_file_below_the_folder_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "bundle.tar").write_bytes(content)
    (tmp_path / "target").mkdir()
    with pytest.raises(ImageError):
        bundle.unpack(str(tmp_path / "bundle.tar"), str(tmp_path / "target"))
    assert not (tmp_path / "x").exists()


def test_a_missing_folder_and_too_much_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ImageError, match="is no folder"):
        bundle.pack([str(tmp_path / "none")], str(tmp_path), b"")
    (tmp_path / "large").write_bytes(bytes(20000))
    monkeypatch.setattr(bundle, "LIMIT", 10000)
    with pytest.raises(ImageError, match="larger than 10000 bytes"):
        bundle.pack([str(tmp_path)], str(tmp_path), b"")
