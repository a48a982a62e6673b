# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The served tree: what changes in it when a node has its image, and the known_hosts file beside it."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterable

from .._boot.ipxe import disk_script
from .._boot.model import HASH

GO = "go"
# iPXE of Debian's package.
BOOT_PROGRAMS = "/usr/lib/ipxe"
_DEPLOY_FILES = ("deploy.json", "manifest.json", "disk.zst", "kernel", "ramdisk")


def folder(state_dir: str, place: str) -> str:
    """The folder that a node fetches from. place: the node's, ``<address>/<path>``."""
    return os.path.join(state_dir, "serve", place)


def reports(state_dir: str, place: str) -> str:
    """The folder that a node's reports arrive in."""
    return os.path.join(state_dir, "reports", place)


def passage(path: str) -> None:
    """Make a folder that nginx's workers may go through, whatever this process' umask is."""
    os.makedirs(path, exist_ok=True)
    os.chmod(path, 0o755)


def switched(state_dir: str, place: str) -> bool:
    """True when the node was told to go on to its disk."""
    return os.path.exists(os.path.join(folder(state_dir, place), GO))


def switch(state_dir: str, place: str) -> None:
    """Nothing at this place writes a disk any more; then the ramdisk may restart.

    Order matters: the deploy document goes first, ``go`` comes last, so that a stop in between never leaves a node
    that restarts into a second write.
    """
    served = folder(state_dir, place)
    for name in _DEPLOY_FILES[:1]:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(os.path.join(served, name))
    write_file(os.path.join(served, "boot.ipxe"), disk_script(), 0o644)
    for name in _DEPLOY_FILES[1:]:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(os.path.join(served, name))
    write_file(os.path.join(served, GO), "go\n", 0o644)


def remove(state_dir: str, place: str) -> None:
    """Take a node's place away, and the folder of its address when that was the last one."""
    for name in (folder(state_dir, place), reports(state_dir, place)):
        shutil.rmtree(name, ignore_errors=True)
        with contextlib.suppress(OSError):
            os.rmdir(os.path.dirname(name))


def remove_unaddressed(state_dir: str) -> None:
    """Take away what an earlier version laid out without an address: nobody can fetch it any more."""
    for tree in (folder(state_dir, ""), reports(state_dir, "")):
        for name in os.listdir(tree):
            if HASH.fullmatch(name):
                shutil.rmtree(os.path.join(tree, name), ignore_errors=True)


def show_programs(state_dir: str, addresses: set[str]) -> None:
    """Show TFTP the boot programs below these addresses, and below no other: dnsmasq looks below who asks."""
    tree = os.path.join(state_dir, "run", "tftp")
    os.makedirs(tree, exist_ok=True)
    shown = set(os.listdir(tree))
    for name in shown - addresses:
        os.unlink(os.path.join(tree, name))
    for address in addresses - shown:
        os.symlink(BOOT_PROGRAMS, os.path.join(tree, address))


def pin(state_dir: str, stack: str, addresses: Iterable[str], host_key: str) -> None:
    """Make host_key the one and only key of these addresses in secrets/<stack>/known_hosts."""
    secrets = os.path.join(state_dir, "secrets", stack)
    os.makedirs(secrets, mode=0o700, exist_ok=True)
    path = os.path.join(secrets, "known_hosts")
    wanted = sorted(set(addresses))
    lines: list[str] = []
    with contextlib.suppress(FileNotFoundError), open(path, encoding="utf-8") as stream:
        lines = [line for line in stream.read().splitlines() if line.split(" ")[0] not in wanted]
    lines += [f"{address} {host_key}" for address in wanted]
    write_file(path, "".join(f"{line}\n" for line in lines), 0o600)


def write_file(path: str, text: str, mode: int) -> None:
    """Replace a file whole."""
    temporary = f"{path}.new"
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, mode)
    with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
        os.fchmod(descriptor, mode)
        stream.write(text)
    os.replace(temporary, path)
