# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The writer on a plain file in place of a disk; frames come from the packer of the room _image."""

from __future__ import annotations

import json
import random
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.tripleo.cloud.plugins.module_utils._deploy import manifest as manifests
from ansible_collections.tripleo.cloud.plugins.module_utils._deploy.device import Device
from ansible_collections.tripleo.cloud.plugins.module_utils._deploy.errors import DeployError
from ansible_collections.tripleo.cloud.plugins.module_utils._deploy.frames import Buffer, Codec
from ansible_collections.tripleo.cloud.plugins.module_utils._deploy.manifest import Chunk, Manifest
from ansible_collections.tripleo.cloud.plugins.module_utils._deploy.writer import finish_disk, write_image
from ansible_collections.tripleo.cloud.plugins.module_utils._image import frames

MIB = 1024 * 1024


class Image:
    """A packed image: its raw bytes, its manifest, and its stored file."""

    def __init__(self, folder: Path) -> None:
        path = folder / "image.raw"
        source = random.Random(3)
        with open(path, "wb") as stream:
            stream.truncate(80 * MIB)
            for start, length in ((2 * MIB, 70000), (40 * MIB + 512, 2 * MIB), (79 * MIB, 4096)):
                stream.seek(start)
                stream.write(source.randbytes(length))
        table = "label: gpt\nstart=2048, size=2048\nstart=4096, name=root\n"
        subprocess.run(["/sbin/sfdisk", "-q", path], input=table, text=True, check=True)
        self.raw = path.read_bytes()
        packed = frames.pack(str(path), str(folder))
        self.document: dict[str, Any] = {
            "schema": 1,
            "kind": "disk",
            "build_id": "0" * 32,
            "size": packed.size,
            "root_partition": 2,
            "chunks": packed.chunks,
        }
        self.stored = (folder / "disk.zst").read_bytes()

    @property
    def manifest(self) -> Manifest:
        return manifests.parse(json.dumps(self.document).encode())

    def fetch(self, chunk: Chunk) -> bytes:
        return self.stored[chunk.stored_offset : chunk.stored_offset + chunk.stored_length]


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Image:
    return Image(tmp_path_factory.mktemp("image"))


@pytest.fixture
def disk(tmp_path: Path) -> Path:
    """A used disk of 200 MiB."""
    path = tmp_path / "disk"
    path.write_bytes(b"\xa5" * (200 * MIB))
    return path


def write(disk: Path, image: Image, fetch: Callable[[Chunk], bytes] | None = None) -> list[int]:
    done: list[int] = []
    with Device.open(str(disk)) as device:
        write_image(device, image.manifest, Codec(), fetch or image.fetch, done.append)
    return done


def test_holes_come_out_zero_and_what_lies_behind_is_kept(disk: Path, image: Image) -> None:
    done = write(disk, image)
    content = disk.read_bytes()
    assert content[: 80 * MIB] == image.raw
    assert content[80 * MIB :] == b"\xa5" * (120 * MIB)
    assert done == sorted(done) and done[-1] == 80 * MIB
    config = disk.with_name("config")
    config.write_bytes(b"\1" * (64 * MIB))
    with Device.open(str(disk)) as device:
        finish_disk(device, image.manifest, 200 * MIB, str(config))
    verified = subprocess.run(["/sbin/sfdisk", "--verify", disk], capture_output=True, text=True, check=False)
    assert "No errors detected" in verified.stdout, verified
    content = disk.read_bytes()
    start = content.index(b"\1" * MIB, 100 * MIB)
    tail = content[start + 64 * MIB :]
    assert not tail[: -33 * 512].strip(b"\0"), "nothing of an earlier use lies at the disk's end"


def test_a_changed_byte_is_never_written(disk: Path, image: Image) -> None:
    last = image.manifest.chunks[-1]

    def fetch(chunk: Chunk) -> bytes:
        frame = image.fetch(chunk)
        return frame if chunk != last else frame[:-1] + bytes([frame[-1] ^ 1])

    with pytest.raises(DeployError, match="does not have its sha256; it was not written"):
        write(disk, image, fetch)
    assert disk.read_bytes()[last.offset : last.offset + last.length] == bytes(last.length)


def test_a_medium_that_loses_a_byte_is_found(disk: Path, image: Image, monkeypatch: pytest.MonkeyPatch) -> None:
    def flush(device: Device) -> None:
        with open(disk, "r+b") as stream:
            stream.seek(41 * MIB)
            stream.write(b"\0" * 16)

    monkeypatch.setattr(Device, "flush", flush)
    with pytest.raises(DeployError, match="does not hold what was written to it"):
        write(disk, image)


def test_a_hole_that_is_not_zero_is_found(disk: Path, image: Image, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Device, "make_zero", lambda *_arguments: None)
    with pytest.raises(DeployError, match=r"is not zero between|does not hold what was written"):
        write(disk, image)


def test_a_frame_of_another_length_is_refused(image: Image) -> None:
    chunk = image.manifest.chunks[0]
    buffer = Buffer(32 * MIB)
    with pytest.raises(DeployError, match="decode"):
        Codec().decode(image.fetch(chunk), buffer, chunk.length - 512)
    with pytest.raises(DeployError, match="decodes to"):
        Codec().decode(image.fetch(chunk), buffer, chunk.length + 512)
    with pytest.raises(DeployError, match="cannot be decoded"):
        Codec().decode(b"no frame", buffer, 512)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"schema": 2}, "not of a disk image in schema 1"),
        ({"kind": "ramdisk"}, "not of a disk image"),
        ({"size": 1000}, "no multiple of 512"),
        ({"size": "big"}, "size is no whole number"),
        ({"root_partition": 0}, "root_partition is no whole number"),
        ({"chunks": {}}, "no list of chunks"),
        ({"chunks": [1]}, "chunk 0 of the manifest is no mapping"),
    ],
)
def test_a_wrong_manifest_is_refused(image: Image, change: dict[str, Any], problem: str) -> None:
    with pytest.raises(DeployError, match=problem):
        manifests.parse(json.dumps({**image.document, **change}).encode())


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"sha256": "x"}, "has no sha256"),
        ({"xxh64": ""}, "has no xxh64"),
        ({"offset": 100}, "is not aligned"),
        ({"length": 1 << 40}, "length is no whole number"),
        ({"offset": 80 * MIB}, "overlaps another one or the end"),
    ],
)
def test_a_wrong_chunk_is_refused(image: Image, change: dict[str, Any], problem: str) -> None:
    chunks = [{**image.document["chunks"][0], **change}, *image.document["chunks"][1:]]
    with pytest.raises(DeployError, match=problem):
        manifests.parse(json.dumps({**image.document, "chunks": chunks}).encode())


def test_no_manifest_at_all() -> None:
    with pytest.raises(DeployError, match="is no JSON"):
        manifests.parse(b"{")


def test_a_table_that_the_medium_loses_is_found(disk: Path, image: Image, monkeypatch: pytest.MonkeyPatch) -> None:
    write(disk, image)
    config = disk.with_name("config")
    config.write_bytes(b"\1" * (64 * MIB))

    def flush(device: Device) -> None:
        with open(disk, "r+b") as stream:
            stream.seek(200 * MIB - 512)
            stream.write(bytes(512))

    monkeypatch.setattr(Device, "flush", flush)
    with (
        pytest.raises(DeployError, match="does not hold what was written to it at"),
        Device.open(str(disk)) as device,
    ):
        finish_disk(device, image.manifest, 200 * MIB, str(config))


def test_chunks_are_fetched_one_at_a_time_and_none_after_a_failure(disk: Path, image: Image) -> None:
    running: list[int] = []
    most = [0]

    def fetch(chunk: Chunk) -> bytes:
        running.append(chunk.offset)
        most[0] = max(most[0], len(running))
        frame = image.fetch(chunk)
        running.remove(chunk.offset)
        return frame[:-1] + b"x" if chunk.offset else frame

    with pytest.raises(DeployError, match="chunk 1 of the image does not have its sha256"):
        write(disk, image, fetch)
    assert (most, running) == ([1], [])
