# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Make a bootable raw disk (BIOS and UEFI) from a root folder, without loop devices or device-mapper.

Layout: GPT with the BIOS boot partition, the EFI system partition, and the root file system last, so that it can grow.
"""

from __future__ import annotations

import glob
import os
import re
import struct
import uuid
from dataclasses import dataclass

from .commands import Run
from .errors import ImageError

SECTOR = 512
MIB = 1024 * 1024
BLOCK = 4096
ROOT_PARTITION = 3
BIOS_LBA = 2048
ESP_LBA = 4096
ESP_MIB = 64
ROOT_LBA = ESP_LBA + ESP_MIB * MIB // SECTOR
TAIL = MIB  # room for the backup partition table, which needs 33 sectors
JOURNAL_MIB = 16
INODE_SIZE = 256
DEFAULT_COMMAND_LINE = "console=tty0 console=ttyS0,115200"
GRUB_DIRECTORY = "/usr/lib/grub"
BIOS_MODULES = ("biosdisk", "part_gpt", "ext2", "normal", "configfile", "linux", "echo", "serial", "boot", "minicmd")
EFI_MODULES = ("fat", *BIOS_MODULES[1:])
# The disk that the firmware started from; grub-mkimage puts it into the core image.
GRUB_PREFIX = f"(,gpt{ROOT_PARTITION})/boot/grub"


@dataclass(frozen=True)
class RawDisk:
    """path: the sparse raw file; size: bytes; root_uuid: of the root file system."""

    path: str
    size: int
    root_uuid: str


def assemble(tree: str, work: str, *, image: str, build_id: str, size: int, run: Run) -> RawDisk:
    """Make ``work``/disk.raw from the folder of a root file system, which is removed.

    size: bytes of the whole disk, 0 for what the content needs.
    Raises ImageError when there is no kernel in the tree, when the content does not fit, or when a tool fails.
    """
    root_uuid = str(uuid.uuid4())
    finish_tree(tree, image=image, build_id=build_id, root_uuid=root_uuid)
    disk = os.path.join(work, "disk.raw")
    root_bytes, inodes = root_size(tree)
    if size:
        root_bytes = size - ROOT_LBA * SECTOR - TAIL
    for attempt in range(4):
        total = ROOT_LBA * SECTOR + root_bytes + TAIL
        _make_empty(disk, total)
        try:
            run(_mke2fs(disk, tree, root_bytes, inodes, root_uuid), step="make the root file system")
            break
        except ImageError:
            if size or attempt == 3:
                raise
            root_bytes = _round_up(root_bytes * 5 // 4, MIB)
    run(["sfdisk", "-q", disk], input=partition_script(total), step="partition")
    _add_efi(disk, work, run)
    _add_bios(disk, work, run)
    run(["rm", "-rf", "--one-file-system", tree], step="clean up")
    return RawDisk(disk, total, root_uuid)


def finish_tree(tree: str, *, image: str, build_id: str, root_uuid: str) -> None:
    """Write what belongs to this build into the tree: build id, the root's fstab entry, GRUB's menu.

    What would make two servers of one image alike is taken out: SSH host keys and the machine id.
    """
    for name, mode in (("proc", 0o555), ("sys", 0o555), ("dev/pts", 0o755), ("run", 0o755), ("tmp", 0o1777)):
        path = os.path.join(tree, name)
        os.makedirs(path, exist_ok=True)
        os.chmod(path, mode)
    for path in glob.glob(os.path.join(glob.escape(tree), "etc", "ssh", "ssh_host_*")):
        os.unlink(path)
    _write(tree, "etc/machine-id", "")
    _write(tree, "etc/tripleo-build-id", f"{build_id}\n")
    fstab = os.path.join(tree, "etc/fstab")
    if os.path.isfile(fstab):
        with open(fstab, encoding="utf-8") as stream:
            content = stream.read()
        _write(tree, "etc/fstab", re.sub(r"(?m)^LABEL=root(?=\s+/\s)", f"UUID={root_uuid}", content))
    kernel, initrd = find_kernel(tree, image)
    try:
        with open(os.path.join(tree, "etc/kernel/cmdline"), encoding="utf-8") as stream:
            arguments = " ".join(stream.read().split())
    except FileNotFoundError:
        arguments = DEFAULT_COMMAND_LINE
    _write(tree, "boot/grub/grub.cfg", grub_menu(kernel, initrd, root_uuid, arguments))


def find_kernel(tree: str, image: str) -> tuple[str, str]:
    """Paths inside the image of its kernel and initramfs (empty when there is none).

    The distribution's links come first: they follow later kernel updates.
    """
    for kernel, initrd in (("/vmlinuz", "/initrd.img"), ("/boot/vmlinuz", "/boot/initrd.img")):
        if os.path.lexists(tree + kernel):
            return kernel, initrd if os.path.lexists(tree + initrd) else ""
    kernels = sorted(glob.glob(os.path.join(glob.escape(tree), "boot", "vmlinuz-*")), key=os.path.getmtime)
    if not kernels:
        raise ImageError(
            "its elements install no kernel",
            operation=f"image {image}: boot loader",
            next_step="add a kernel package to its elements",
        )
    version = os.path.basename(kernels[-1])[len("vmlinuz-") :]
    for name in (f"initrd.img-{version}", f"initramfs-{version}.img"):
        if os.path.isfile(os.path.join(tree, "boot", name)):
            return f"/boot/vmlinuz-{version}", f"/boot/{name}"
    return f"/boot/vmlinuz-{version}", ""


def grub_menu(kernel: str, initrd: str, root_uuid: str, arguments: str) -> str:
    """GRUB's configuration: one entry, no wait."""
    mode = "" if re.search(r"(?:^| )r[ow](?: |$)", arguments) else "ro "
    lines = ["set timeout=0", "menuentry GNU/Linux {", f"  linux {kernel} root=UUID={root_uuid} {mode}{arguments}"]
    if initrd:
        lines.append(f"  initrd {initrd}")
    return "\n".join([*lines, "}", ""])


def root_size(tree: str) -> tuple[int, int]:
    """(bytes, inodes) of a file system for the tree, with some room."""
    blocks = entries = 0
    seen: set[tuple[int, int]] = set()
    for directory, folders, files in os.walk(tree):
        for name in (*folders, *files):
            status = os.lstat(os.path.join(directory, name))
            if status.st_nlink > 1 and name in files:
                if (status.st_dev, status.st_ino) in seen:
                    continue
                seen.add((status.st_dev, status.st_ino))
            entries += 1
            blocks += -(-status.st_size // BLOCK)
    inodes = entries * 5 // 4 + 4096
    used = blocks * BLOCK + inodes * INODE_SIZE + JOURNAL_MIB * MIB
    return _round_up(used * 23 // 20 + 48 * MIB, MIB), inodes


def partition_script(total: int) -> str:
    """The table for sfdisk: root is the last partition and ends before the backup table."""
    sectors = total // SECTOR - ROOT_LBA - TAIL // SECTOR
    return (
        "label: gpt\n"
        f"start={BIOS_LBA}, size={ESP_LBA - BIOS_LBA}, type=21686148-6449-6E6F-744E-656564454649, name=biosboot\n"
        f"start={ESP_LBA}, size={ROOT_LBA - ESP_LBA}, type=C12A7328-F81F-11D2-BA4B-00A0C93EC93B, name=esp\n"
        f"start={ROOT_LBA}, size={sectors}, type=4F68BCE3-E8CD-4DB1-96E7-FBCAF984B709, name=root\n"
    )


def boot_sectors(boot: bytes, core: bytes) -> tuple[bytes, bytes]:
    """(first 440 bytes of the disk, core image for the BIOS boot partition) as grub-bios-setup would write them."""
    first, rest = bytearray(boot), bytearray(core)
    struct.pack_into("<Q", first, 0x5C, BIOS_LBA)
    first[0x66:0x68] = b"\x90\x90"
    struct.pack_into("<QHH", rest, 0x1F4, BIOS_LBA + 1, -(-len(rest) // SECTOR) - 1, 0x820)
    return bytes(first[:440]), bytes(rest)


def _mke2fs(disk: str, tree: str, root_bytes: int, inodes: int, root_uuid: str) -> list[str]:
    return [
        *("mke2fs", "-q", "-F", "-t", "ext4", "-L", "root", "-U", root_uuid, "-b", str(BLOCK), "-I", str(INODE_SIZE)),
        *("-N", str(max(inodes, root_bytes // 16384)), "-m", "1", "-J", f"size={JOURNAL_MIB}"),
        # GRUB 2.06 cannot read the first; the second would set a thread to work on every node's first boot.
        *("-O", "^metadata_csum_seed", "-E"),
        f"offset={ROOT_LBA * SECTOR},root_owner=0:0,lazy_itable_init=0,lazy_journal_init=0,nodiscard",
        *("-d", tree, disk, f"{root_bytes // 1024}k"),
    ]


def _add_efi(disk: str, work: str, run: Run) -> None:
    loader = os.path.join(work, "BOOTX64.EFI")
    prefix = ["grub-mkimage", "-d", f"{GRUB_DIRECTORY}/x86_64-efi", "-O", "x86_64-efi", "-p", GRUB_PREFIX]
    run([*prefix, "-o", loader, *EFI_MODULES], step="boot loader")
    esp = os.path.join(work, "esp.raw")
    _make_empty(esp, ESP_MIB * MIB)
    run(["mkfs.vfat", "-F", "32", "-n", "ESP", esp], step="boot loader")
    run(["mmd", "-i", esp, "::/EFI", "::/EFI/BOOT"], step="boot loader")
    run(["mcopy", "-i", esp, loader, "::/EFI/BOOT/"], step="boot loader")
    run(
        ["dd", f"if={esp}", f"of={disk}", "bs=1M", f"seek={ESP_LBA * SECTOR // MIB}", "conv=notrunc,sparse"],
        step="boot loader",
    )
    os.unlink(esp)


def _add_bios(disk: str, work: str, run: Run) -> None:
    core = os.path.join(work, "core.img")
    prefix = ["grub-mkimage", "-d", f"{GRUB_DIRECTORY}/i386-pc", "-O", "i386-pc", "-p", GRUB_PREFIX]
    run([*prefix, "-o", core, *BIOS_MODULES], step="boot loader")
    with open(f"{GRUB_DIRECTORY}/i386-pc/boot.img", "rb") as stream:
        boot = stream.read()
    with open(core, "rb") as stream:
        first, rest = boot_sectors(boot, stream.read())
    with open(disk, "r+b") as target:
        target.write(first)
        target.seek(BIOS_LBA * SECTOR)
        target.write(rest)


def _make_empty(path: str, size: int) -> None:
    with open(path, "wb") as stream:
        stream.truncate(size)


def _write(tree: str, name: str, content: str) -> None:
    path = os.path.join(tree, name)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w", encoding="utf-8") as stream:
        stream.write(content)
    os.chmod(path, 0o644)


def _round_up(value: int, unit: int) -> int:
    return -(-value // unit) * unit
