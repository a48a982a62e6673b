# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from ansible_collections.tripleo.cloud.plugins.module_utils._deploy import gpt
from ansible_collections.tripleo.cloud.plugins.module_utils._deploy.errors import DeployError

MIB = 1024 * 1024
HEAD = gpt.HEAD_SECTORS * gpt.SECTOR


def image(path: Path, table: str) -> bytes:
    with open(path, "wb") as stream:
        stream.truncate(100 * MIB)
    subprocess.run(["/sbin/sfdisk", "-q", path], input="label: gpt\n" + table, text=True, check=True)
    return path.read_bytes()[:HEAD]


@pytest.mark.parametrize("disk_mib", [200, 201, 4096])
def test_sfdisk_finds_no_fault_in_a_grown_table(tmp_path: Path, disk_mib: int) -> None:
    head = image(tmp_path / "image", "start=2048, size=2048, name=bios\nstart=4096, name=root\n")
    sectors = disk_mib * MIB // 512
    layout = gpt.grow(head, sectors, 2, 64 * MIB, "config-2", bytes(range(16)))
    disk = tmp_path / "disk"
    with open(disk, "wb") as stream:
        stream.truncate(sectors * 512)
        stream.write(layout.head)
        stream.seek(sectors * 512 - len(layout.tail))
        stream.write(layout.tail)
    done = subprocess.run(["/sbin/sfdisk", "--verify", disk], capture_output=True, text=True, check=False)
    assert "No errors detected" in done.stdout, done
    parts = gpt.partitions(layout.head)
    assert {number: part.name for number, part in parts.items()} == {1: "bios", 2: "root", 3: "config-2"}
    assert (parts[3].first, parts[3].last - parts[3].first + 1) == (layout.data_first, 64 * MIB // 512)
    assert parts[2].last + 1 == parts[3].first
    assert parts[3].first % 2048 == 0


def test_the_backup_alone_is_enough(tmp_path: Path) -> None:
    head = image(tmp_path / "image", "start=2048, name=root\n")
    layout = gpt.grow(head, 400 * MIB // 512, 1, 64 * MIB, "config-2", bytes(range(16)))
    disk = tmp_path / "disk"
    with open(disk, "wb") as stream:
        stream.truncate(400 * MIB)
        stream.write(layout.head[:512])
        stream.seek(400 * MIB - len(layout.tail))
        stream.write(layout.tail)
    done = subprocess.run(["/sbin/sfdisk", "-d", disk], capture_output=True, text=True, check=False)
    assert 'name="config-2"' in done.stdout, done


@pytest.mark.parametrize(
    ("table", "root", "disk_mib", "problem"),
    [
        ("start=2048, name=root\n", 2, 400, "partition 2 is not the image's last one"),
        ("start=2048, size=2048\nstart=4096\n", 1, 400, "partition 1 is not the image's last one"),
        ("start=2048, name=root\n", 1, 120, "has no room for the image and config-2"),
    ],
)
def test_what_cannot_be_laid_out_is_refused(tmp_path: Path, table: str, root: int, disk_mib: int, problem: str) -> None:
    head = image(tmp_path / "image", table)
    with pytest.raises(DeployError, match=problem):
        gpt.grow(head, disk_mib * MIB // 512, root, 64 * MIB, "config-2", bytes(range(16)))


def test_a_damaged_table_is_none(tmp_path: Path) -> None:
    head = bytearray(image(tmp_path / "image", "start=2048, name=root\n"))
    assert gpt.partitions(bytes(head))
    head[1024 + 40] ^= 1
    assert gpt.partitions(bytes(head)) == {}
    with pytest.raises(DeployError, match="no valid GUID partition table"):
        gpt.grow(bytes(head), 400 * MIB // 512, 1, 64 * MIB, "config-2", bytes(16))
