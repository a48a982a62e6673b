# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The deploy ramdisk in a real machine, against a server that speaks HTTP: what reaches the disk, and what does not."""

from __future__ import annotations

import hashlib
import http.server
import json
import os
import random
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.tripleo.cloud.plugins.module_utils._deploy import gpt
from ansible_collections.tripleo.cloud.plugins.module_utils._image import commands, frames, ramdisk

pytestmark = pytest.mark.rack
ROOT = Path(__file__).resolve().parents[2]
MIB = 1024 * 1024
IMAGE_BYTES = 80 * MIB
DISK_BYTES = 256 * MIB
MAC = "52:54:00:12:34:56"


class Place:
    """A node's place on a Deployment cloud: serves files with ranges, keeps reports, lays out go on ``written``."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.reports: list[dict[str, Any]] = []
        place = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                content = place.files.get(self.path.removeprefix("/secret/"))
                status = 200
                if content is None:
                    status, content = 404, b""
                elif "Range" in self.headers:
                    start, _dash, end = self.headers["Range"].removeprefix("bytes=").partition("-")
                    status, content = 206, content[int(start) : int(end) + 1]
                self._answer(status, content)

            def do_PUT(self) -> None:
                report = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                assert self.path == f"/secret/report/{report['boot_id']}-{report['number']}.json"
                place.reports.append(report)
                if report["stage"] == "written":
                    place.files["go"] = b""
                self._answer(201, b"")

            def _answer(self, status: int, content: bytes) -> None:
                self.send_response(status)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_arguments: object) -> None:
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://10.0.2.2:{self.server.server_port}/secret/"

    def stages(self) -> list[str]:
        return list(dict.fromkeys(report["stage"] for report in self.reports))


@pytest.fixture
def place() -> Iterator[Place]:
    made = Place()
    yield made
    made.server.shutdown()


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("ramdisk")
    cache = ROOT / ".cache" / "ramdisk"
    cache.mkdir(parents=True, exist_ok=True)
    with open(folder / "log", "w") as log:
        return ramdisk.build_ramdisk(
            os.fspath(folder),
            kernel_package="linux-image-cloud-amd64",
            modules=["virtio_pci", "virtio_net", "virtio_blk"],
            apt_lines=["deb http://deb.debian.org/debian bookworm main"],
            core_dir=os.fspath(ROOT / "plugins" / "module_utils" / "_deploy"),
            cache_dir=os.fspath(cache),
            run=commands.runner("deploy-ramdisk", log),
        )


@pytest.fixture
def image(place: Place, tmp_path: Path) -> bytes:
    """A raw image with a partition table, holes and data, laid out in its place; its bytes."""
    path = tmp_path / "image.raw"
    source = random.Random(1)
    with open(path, "wb") as stream:
        stream.truncate(IMAGE_BYTES)
        for start, length in ((3 * MIB, 65536), (20 * MIB + 4096, 3 * MIB), (70 * MIB, 5 * MIB)):
            stream.seek(start)
            stream.write(source.randbytes(length))
    table = "label: gpt\nstart=2048, size=2048, name=biosboot\nstart=4096, name=root\n"
    subprocess.run(["/sbin/sfdisk", "-q", path], input=table, text=True, check=True)
    packed = frames.pack(os.fspath(path), os.fspath(tmp_path))
    manifest = {
        "schema": 1,
        "kind": "disk",
        "build_id": "0" * 32,
        "size": packed.size,
        "root_partition": 2,
        "chunks": packed.chunks,
    }
    assert 0 < len(packed.chunks) < 5, "one chunk at least is a hole"
    place.files["manifest.json"] = json.dumps(manifest).encode()
    place.files["disk.zst"] = (tmp_path / "disk.zst").read_bytes()
    place.files["deploy.json"] = json.dumps(orders(place)).encode()
    return path.read_bytes()


def orders(place: Place, **hints: str) -> dict[str, Any]:
    return {
        "schema": 1,
        "plan": "p" * 64,
        "server": "cloud-controller-0",
        "node": "n1",
        "token": "t" * 64,
        "disk": {"hints": hints},
        "manifest_sha256": hashlib.sha256(place.files["manifest.json"]).hexdigest(),
        "retry_seconds": 20,
        "config_drive": {"openstack/latest/meta_data.json": {"name": "cloud-controller-0"}},
    }


def used_disk(path: Path) -> Path:
    """A disk on which no byte is zero."""
    block = bytes(random.Random(2).choices(range(1, 256), k=MIB))
    with open(path, "wb") as stream:
        for _number in range(DISK_BYTES // MIB):
            stream.write(block)
    return path


def boot(built: dict[str, str], place: Place, folder: Path, serials: dict[str, Path]) -> str:
    """Run a machine with these disks to its end; what it printed."""
    disks = []
    for serial, path in serials.items():
        disks += ["-drive", f"if=none,id={serial},format=raw,file={path},cache=unsafe,discard=unmap"]
        disks += ["-device", f"virtio-blk-pci,drive={serial},serial={serial}"]
    arguments = f"console=ttyS0 quiet tripleo.url={place.url} tripleo.mac={MAC} tripleo.address=10.0.2.15/24"
    argv = ["qemu-system-x86_64", "-machine", "q35", "-accel", "tcg,thread=multi", "-cpu", "max", "-m", "768"]
    argv += ["-nodefaults", "-display", "none", "-no-reboot", "-serial", f"file:{folder / 'console'}", *disks]
    argv += ["-netdev", "user,id=n", "-device", f"virtio-net-pci,netdev=n,mac={MAC},romfile="]
    argv += ["-kernel", built["kernel"], "-initrd", built["ramdisk"], "-append", arguments]
    subprocess.run(argv, check=True, timeout=300)
    return (folder / "console").read_text(errors="replace")


def test_a_used_disk_becomes_the_image_byte_for_byte(
    built: dict[str, str], place: Place, image: bytes, tmp_path: Path
) -> None:
    disk = used_disk(tmp_path / "disk")
    other = used_disk(tmp_path / "other")
    place.files["deploy.json"] = json.dumps(orders(place, serial="RACK1")).encode()
    console = boot(built, place, tmp_path, {"OTHER": other, "RACK1": disk})
    print(console[-1500:])
    assert place.stages() == ["ramdisk", "writing", "written"], console[-3000:]
    assert place.reports[-1]["ssh_host_key"].startswith("ssh-ed25519 ")
    seen = {entry["serial"]: entry for entry in place.reports[0]["disks"]}
    assert seen["RACK1"]["size"] == DISK_BYTES
    assert seen["RACK1"]["holds"] == "data of an unknown kind"
    assert "t" * 64 not in console

    content = disk.read_bytes()
    head = gpt.HEAD_SECTORS * 512
    # The image's own backup table lies in its last sectors, inside the grown root partition.
    assert content[head:IMAGE_BYTES] == image[head:]
    verified = subprocess.run(["/sbin/sfdisk", "--verify", disk], capture_output=True, text=True, check=False)
    assert "No errors detected" in verified.stdout, verified
    parts = gpt.partitions(content[: 2 * MIB])
    assert parts[3].name == "config-2"
    assert parts[2].last == parts[3].first - 1
    read = ["mtype", "-i", f"{disk}@@{parts[3].first * 512}", "::/openstack/latest/meta_data.json"]
    assert json.loads(subprocess.run(read, capture_output=True, check=True).stdout) == {"name": "cloud-controller-0"}
    assert other.read_bytes() == used_disk(tmp_path / "same").read_bytes()


def test_a_changed_chunk_is_never_written(built: dict[str, str], place: Place, image: bytes, tmp_path: Path) -> None:
    stored = bytearray(place.files["disk.zst"])
    stored[-100] ^= 1
    place.files["disk.zst"] = bytes(stored)
    disk = used_disk(tmp_path / "disk")
    console = boot(built, place, tmp_path, {"RACK1": disk})
    assert place.stages()[-1] == "failed", console[-3000:]
    assert "does not have its sha256; it was not written" in place.reports[-1]["cause"]
    last = json.loads(place.files["manifest.json"])["chunks"][-1]
    assert disk.read_bytes()[last["offset"] : last["offset"] + last["length"]] == bytes(last["length"])


def test_two_disks_that_fit_are_refused(built: dict[str, str], place: Place, image: bytes, tmp_path: Path) -> None:
    paths = {serial: used_disk(tmp_path / serial) for serial in ("RACK1", "RACK2")}
    boot(built, place, tmp_path, paths)
    assert place.stages() == ["ramdisk", "failed"]
    assert place.reports[-1]["cause"].startswith("2 disks fit being the only disk")
    assert place.reports[-1]["cause"].endswith("Nothing was written")
    assert all(path.read_bytes() == used_disk(tmp_path / "same").read_bytes() for path in paths.values())
