# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
import os
import shutil
import struct
import subprocess
from pathlib import Path

import pytest
from ansible_collections.tripleo.cloud.plugins.module_utils._image import commands, disk
from ansible_collections.tripleo.cloud.plugins.module_utils._image.errors import ImageError

UUID = "7b566ebb-b3da-46cf-9d9c-5a03e3ebef93"
TOOLS = shutil.which("mke2fs", path="/usr/sbin:/sbin:/usr/bin") and os.path.isdir("/usr/lib/grub/i386-pc")


def make_tree(root: Path) -> Path:
    (root / "boot").mkdir(parents=True)
    (root / "etc" / "kernel").mkdir(parents=True)
    (root / "boot" / "vmlinuz-6.1").write_text("kernel")
    (root / "boot" / "initrd.img-6.1").write_text("initrd")
    (root / "vmlinuz").symlink_to("boot/vmlinuz-6.1")
    (root / "initrd.img").symlink_to("boot/initrd.img-6.1")
    (root / "etc" / "fstab").write_text("LABEL=root / ext4 errors=remount-ro 0 1\nLABEL=root2 /x ext4 defaults 0 2\n")
    (root / "etc" / "kernel" / "cmdline").write_text("console=ttyS0\n")
    return root


def test_the_tree_gets_what_belongs_to_the_build(tmp_path: Path) -> None:
    root = make_tree(tmp_path)
    (root / "etc" / "ssh").mkdir()
    for name in ("ssh_host_rsa_key", "ssh_host_rsa_key.pub", "moduli"):
        (root / "etc" / "ssh" / name).write_text("x")
    (root / "etc" / "machine-id").write_text("0" * 32)
    disk.finish_tree(str(root), image="an-image", build_id="1" * 32, root_uuid=UUID)
    assert (root / "etc" / "tripleo-build-id").read_text() == "1" * 32 + "\n"
    assert (root / "etc" / "fstab").read_text().startswith(f"UUID={UUID} / ext4 errors=remount-ro 0 1\nLABEL=root2 ")
    menu = (root / "boot" / "grub" / "grub.cfg").read_text()
    assert f"  linux /vmlinuz root=UUID={UUID} ro console=ttyS0\n  initrd /initrd.img\n" in menu
    assert [path.name for path in (root / "etc" / "ssh").iterdir()] == ["moduli"]
    assert (root / "etc" / "machine-id").read_text() == ""
    assert all((root / name).is_dir() for name in ("proc", "sys", "dev/pts", "run", "tmp"))


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        (["boot/vmlinuz-6.1", "boot/initrd.img-6.1"], ("/boot/vmlinuz-6.1", "/boot/initrd.img-6.1")),
        (["boot/vmlinuz-6.9.x86_64", "boot/initramfs-6.9.x86_64.img"], None),
        (["boot/vmlinuz-6.1"], ("/boot/vmlinuz-6.1", "")),
    ],
)
def test_kernels_of_other_distributions_are_found(
    tmp_path: Path, files: list[str], expected: tuple[str, str] | None
) -> None:
    (tmp_path / "boot").mkdir()
    for name in files:
        (tmp_path / name).touch()
    assert disk.find_kernel(str(tmp_path), "x") == (expected or tuple(f"/{name}" for name in files))


def test_an_image_without_a_kernel_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match=r"image an-image: boot loader: its elements install no kernel"):
        disk.finish_tree(str(tmp_path), image="an-image", build_id="1" * 32, root_uuid=UUID)


@pytest.mark.parametrize(("arguments", "mode"), [("quiet", " ro "), ("rw quiet", " rw "), ("a=rw quiet", " ro ")])
def test_the_root_is_mounted_read_only_unless_asked_otherwise(arguments: str, mode: str) -> None:
    words = disk.grub_menu("/vmlinuz", "", UUID, arguments).split("linux ")[1].split()
    assert [word for word in words if word in ("ro", "rw")] == [mode.strip()]


def test_the_boot_sectors_point_at_the_bios_partition() -> None:
    first, core = disk.boot_sectors(bytes(512), bytes(1000))
    assert len(first) == 440
    assert struct.unpack_from("<Q", first, 0x5C) == (2048,)
    assert struct.unpack_from("<QHH", core, 0x1F4) == (2049, 1, 0x820)


@pytest.mark.skipif(not TOOLS or os.geteuid() != 0, reason="needs root, e2fsprogs, fdisk, dosfstools, mtools and GRUB")
@pytest.mark.parametrize("size", [0, 256 * 1024 * 1024])
def test_a_tree_becomes_a_disk_with_three_partitions(tmp_path: Path, size: int) -> None:
    tree = make_tree(tmp_path / "tree-in")
    (tree / "bin").mkdir()
    (tree / "bin" / "owned").write_text("x")
    os.chown(tree / "bin" / "owned", 33, 44)
    (tree / "bin" / "owned").chmod(0o4755)
    work = tmp_path / "work"
    work.mkdir()
    with open(tmp_path / "log", "w", encoding="utf-8") as log:
        made = disk.assemble(
            str(tree),
            str(work),
            image="an-image",
            build_id="1" * 32,
            size=size,
            run=commands.runner("an-image", log),
        )
    assert Path(made.path).stat().st_size == made.size
    assert made.size == size or not size
    environment = {**os.environ, "PATH": f"{os.environ['PATH']}:/usr/sbin:/sbin"}

    def output(*arguments: str) -> str:
        return subprocess.run(arguments, check=True, capture_output=True, text=True, env=environment).stdout

    table = json.loads(output("sfdisk", "-J", made.path))["partitiontable"]
    assert [entry["name"] for entry in table["partitions"]] == ["biosboot", "esp", "root"]
    root = table["partitions"][2]
    assert root["start"] + root["size"] <= made.size // 512 - 34
    file_system = f"{made.path}?offset={root['start'] * 512}"
    assert "1" * 32 in output("debugfs", "-R", "cat /etc/tripleo-build-id", file_system)
    status = output("debugfs", "-R", "stat /bin/owned", file_system)
    assert "Mode:  04755" in status
    assert "User:    33   Group:    44" in status
    assert made.root_uuid in output("debugfs", "-R", "stats", file_system)
    assert "BOOTX64" in output("mdir", "-b", "-i", f"{made.path}@@2M", "::/EFI/BOOT")


@pytest.mark.skipif(not TOOLS or os.geteuid() != 0, reason="needs root and e2fsprogs")
def test_content_that_does_not_fit_the_wanted_size_is_an_error(tmp_path: Path) -> None:
    tree = make_tree(tmp_path / "tree-in")
    (tree / "large").write_bytes(os.urandom(80 * 1024 * 1024))
    work = tmp_path / "work"
    work.mkdir()
    with open(tmp_path / "log", "w", encoding="utf-8") as log, pytest.raises(ImageError, match="root file system"):
        disk.assemble(
            str(tree),
            str(work),
            image="an-image",
            build_id="1" * 32,
            size=128 * 1024 * 1024,
            run=commands.runner("an-image", log),
        )
