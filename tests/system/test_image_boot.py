# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A golden image boots by BIOS and by UEFI, with servers' boot and with the rack's, and its root grows."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import zstandard
from ansible_collections.tripleo.cloud.plugins.module_utils._image.apt import host_lines
from ansible_collections.tripleo.cloud.plugins.module_utils._image.build import Settings, build_images, plan_jobs
from ansible_collections.tripleo.cloud.plugins.module_utils._image.inputs import parse_spec
from ansible_collections.tripleo.cloud.plugins.module_utils._image.store import ImageStore, StoredImage

pytestmark = [pytest.mark.rack, pytest.mark.slow]

ROOT = Path(__file__).resolve().parents[2]
DISK_MIB = 3072
FIRMWARE = "/usr/share/OVMF/OVMF_CODE_4M.fd"
IMAGES: list[dict[str, Any]] = [
    {"name": "server", "elements": ["debian-base", "boot-proof"]},
    {"name": "rack", "elements": ["debian-base", "rack-boot", "boot-proof"]},
]


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> dict[str, StoredImage]:
    settings = Settings(
        os.fspath(tmp_path_factory.mktemp("state")),
        (os.fspath(ROOT / "tests" / "system" / "elements"), os.fspath(ROOT / "elements")),
        os.fspath(ROOT / "plugins" / "module_utils" / "_deploy"),
        "bookworm",
        host_lines("bookworm"),
    )
    store = ImageStore(settings.state_dir)
    jobs = plan_jobs([parse_spec(entry) for entry in IMAGES], settings, store)
    return {built.image.name: built.image for built in build_images(jobs, settings, store)}


def write_disk(image: StoredImage, path: Path) -> None:
    """Write the image to a larger disk and give the root partition all of it."""
    with open(path, "wb") as disk, open(image.path("stored"), "rb") as stored:
        disk.truncate(DISK_MIB * 1024 * 1024)
        for chunk in image.manifest["chunks"]:
            stored.seek(chunk["stored_offset"])
            disk.seek(chunk["offset"])
            disk.write(zstandard.ZstdDecompressor().decompress(stored.read(chunk["stored_length"])))
    environment = {**os.environ, "PATH": f"{os.environ['PATH']}:/usr/sbin:/sbin"}
    for arguments, script in ((["--relocate", "gpt-bak-std"], ""), (["-N", "3"], ", +\n")):
        subprocess.run(["sfdisk", "-q", *arguments, path], input=script, text=True, check=True, env=environment)


def console(disk: Path, firmware: str) -> Iterator[str]:
    """Lines of a machine's serial console."""
    arguments = ["qemu-system-x86_64", "-machine", "q35", "-cpu", "max", "-m", "1024", "-display", "none"]
    arguments += ["-serial", "stdio", "-monitor", "none", "-no-reboot", "-nic", "none"]
    arguments += ["-drive", f"file={disk},format=raw,if=virtio,cache=unsafe"]
    if firmware == "uefi":
        arguments += ["-drive", f"if=pflash,format=raw,readonly=on,file={FIRMWARE}"]
    with subprocess.Popen(arguments, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE) as machine:
        assert machine.stdout
        try:
            for line in machine.stdout:
                yield line.decode(errors="replace").strip()
        finally:
            machine.kill()


@pytest.mark.parametrize("firmware", ["bios", "uefi"])
@pytest.mark.parametrize("name", [entry["name"] for entry in IMAGES])
def test_the_image_boots(images: dict[str, StoredImage], tmp_path: Path, name: str, firmware: str) -> None:
    image = images[name]
    write_disk(image, tmp_path / "disk.raw")
    proof = {}
    for line in console(tmp_path / "disk.raw", firmware):
        if line.startswith("proof "):
            key, _separator, value = line[len("proof ") :].partition(" ")
            proof[key] = value
        if "end" in proof:
            break
    print(json.dumps(proof))
    assert proof["build"] == image.build_id
    assert proof["firmware"] == firmware
    assert int(proof["root-mib"]) > DISK_MIB * 9 // 10
    assert proof["host-keys"] == "0"
    assert proof["machine-id"] == "33"
    assert proof["root-password"][:1] in ("*", "!")
