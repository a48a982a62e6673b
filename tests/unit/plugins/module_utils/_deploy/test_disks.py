# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ansible_collections.tripleo.cloud.plugins.module_utils._deploy.disks import (
    Disk,
    choose,
    find,
    find_settled,
    holds,
)
from ansible_collections.tripleo.cloud.plugins.module_utils._deploy.errors import DeployError

A = Disk("sda", 1000, serial="S1", wwn="naa.5000c500a1b2c3d4", model="ST1")
B = Disk("sdb", 2000, serial="S2", wwn="eui.0025385b71b0e4a1", model="ST1")


@pytest.mark.parametrize(
    ("disks", "hints", "expected"),
    [
        ([A], {}, A),
        ([A, B], {"serial": "S2"}, B),
        ([A, B], {"wwn": "0x5000C500A1B2C3D4"}, A),
        ([A, B], {"size": 2000}, B),
        ([A, B], {"name": "/dev/sda"}, A),
        ([A, B], {"model": "ST1", "serial": "S1"}, A),
    ],
)
def test_the_disk_that_the_hints_name(disks: list[Disk], hints: dict[str, Any], expected: Disk) -> None:
    assert choose(disks, hints, 1000) == expected


@pytest.mark.parametrize(
    ("disks", "hints", "needed", "problem"),
    [
        ([], {}, 1, "no disk fits being the only disk; the machine has no disk. Nothing was written"),
        ([A, B], {}, 1, "2 disks fit being the only disk"),
        ([A, B], {"model": "ST1"}, 1, "2 disks fit model ST1"),
        ([A, B], {"serial": "S3"}, 1, "no disk fits serial S3; the machine has sda (serial S1"),
        ([A, B], {"serial": "S1", "model": "X"}, 1, "no disk fits"),
        ([A], {"serial": "S1"}, 1001, "is smaller than the 1001 bytes that are needed"),
        ([A], {"colour": "red"}, 1, "hint 'colour' is unknown"),
    ],
)
def test_anything_else_is_refused(disks: list[Disk], hints: dict[str, Any], needed: int, problem: str) -> None:
    with pytest.raises(DeployError) as raised:
        choose(disks, hints, needed)
    assert problem in str(raised.value)
    assert str(raised.value).endswith("Nothing was written")


def test_only_whole_disks_that_can_be_written_are_found(tmp_path: Path) -> None:
    for name, files in {
        "vda": {"size": "8", "ro": "0", "removable": "0", "serial": "RACK1"},
        "nvme0n1": {"size": "8", "device/serial": " N1 ", "wwid": "eui.1", "device/model": "Fast"},
        "sdb": {"size": "8", "removable": "1"},
        "sdc": {"size": "8", "ro": "1"},
        "sdd": {"size": "0"},
        "loop0": {"size": "8"},
        "sr0": {"size": "8"},
        "dm-0": {"size": "8"},
    }.items():
        for file, text in files.items():
            path = tmp_path / "block" / name / file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text + "\n")
    page = tmp_path / "block" / "sde" / "device" / "vpd_pg80"
    page.parent.mkdir(parents=True)
    page.write_bytes(b"\0\x80\0\x04ABCD")
    (tmp_path / "block" / "sde" / "size").write_text("16\n")
    (tmp_path / "vda").write_bytes(b"x" * 4096)
    found = {disk.name: disk for disk in find(str(tmp_path / "block"), str(tmp_path))}
    assert sorted(found) == ["nvme0n1", "sde", "vda"]
    assert (found["vda"].serial, found["vda"].size, found["vda"].holds) == ("RACK1", 4096, "data of an unknown kind")
    assert (found["nvme0n1"].serial, found["nvme0n1"].wwn, found["nvme0n1"].model) == ("N1", "eui.1", "Fast")
    assert found["sde"].serial == "ABCD"


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (bytes(8192), "nothing in its first 2 MiB"),
        (b"\1" * 8192, "data of an unknown kind"),
        (b"XFSB" + bytes(4096), "xfs"),
        (bytes(1080) + b"\x53\xef" + bytes(62) + b"old-root" + bytes(4096), "ext 'old-root'"),
        (bytes(510) + b"\x55\xaa" + bytes(4096), "an MBR partition table"),
        (bytes(512) + b"LABELONE" + bytes(4096), "an LVM physical volume"),
    ],
)
def test_what_a_disk_holds_is_said_in_words(tmp_path: Path, content: bytes, expected: str) -> None:
    (tmp_path / "disk").write_bytes(content)
    assert holds(str(tmp_path / "disk")) == expected


@pytest.mark.parametrize(
    ("controller", "looks", "expected", "pauses"),
    [
        ("", [[A]], [A], 0),
        ("scsi_host/host0", [[], [], [A], [A, B], [A, B]], [A, B], 4),
        ("nvme/nvme0", [[A], [A]], [A], 1),
        ("scsi_host/host0", [[]] * 16, [], 15),
    ],
)
def test_disks_that_appear_by_and_by_are_waited_for(
    tmp_path: Path, controller: str, looks: list[list[Disk]], expected: list[Disk], pauses: int
) -> None:
    (tmp_path / controller).mkdir(parents=True, exist_ok=True)
    coming = iter(looks)
    paused: list[float] = []
    assert find_settled(lambda: next(coming), paused.append, str(tmp_path)) == expected
    assert len(paused) == pauses
