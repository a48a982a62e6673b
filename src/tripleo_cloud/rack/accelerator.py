# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Finds out whether machines can run on KVM, by starting one: that /dev/kvm opens proves nothing."""

from __future__ import annotations

import contextlib
import gzip
import json
import os
import shutil
import stat
import subprocess
from pathlib import Path

from tripleo_cloud.rack.errors import RackError
from tripleo_cloud.rack.qemu import ACCELERATOR_ARGUMENTS, BINARY

_MARK = "TRIPLEO-PROBE-OK"
_BUSYBOX = Path("/bin/busybox")
_KERNEL_PACKAGE = "linux-image-cloud-amd64"
# A host with working KVM needs less than two seconds.
_PROBE_SECONDS = 10.0


def choose(wanted: str, directory: Path) -> str:
    """ "kvm" or "tcg". The answer to "auto" is kept in directory for as long as the host is not started anew."""
    if wanted != "auto":
        return wanted
    boot_id = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    cache = directory / "accelerator.json"
    with contextlib.suppress(OSError, ValueError, KeyError):
        known = json.loads(cache.read_text())
        if known["boot_id"] == boot_id:
            return str(known["accelerator"])
    found = "kvm" if _cpu_can() and probe(directory) else "tcg"
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    cache.write_text(json.dumps({"boot_id": boot_id, "accelerator": found}))
    return found


def _cpu_can() -> bool:
    """Cheaper than a probe: without these flags the kernel's KVM has nothing to work with."""
    flags = Path("/proc/cpuinfo").read_text().split()
    return ("vmx" in flags or "svm" in flags) and os.access("/dev/kvm", os.R_OK | os.W_OK)


def probe(directory: Path, accelerator: str = "kvm") -> bool:
    """Start a kernel which prints a mark on the serial line; an abort, a hang and a missing kernel all mean no."""
    folder = directory / "probe"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(mode=0o700, parents=True)
    try:
        kernel = _kernel(folder)
        (folder / "initrd").write_bytes(gzip.compress(_initrd(), 1))
        argv = [BINARY, *ACCELERATOR_ARGUMENTS[accelerator], "-m", "256", "-nodefaults", "-display", "none"]
        argv += ["-no-reboot", "-serial", "file:serial", "-kernel", os.fspath(kernel), "-initrd", "initrd"]
        argv += ["-append", "console=ttyS0 quiet panic=-1"]
        with contextlib.suppress(subprocess.TimeoutExpired):
            subprocess.run(argv, cwd=folder, capture_output=True, timeout=_PROBE_SECONDS, check=False)
        return _MARK in (folder / "serial").read_text(errors="replace")
    except (OSError, RackError):
        return False
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _kernel(folder: Path) -> Path:
    """A kernel of the host, else the one of Debian's cloud kernel package."""
    for kernel in sorted(Path("/boot").glob("vmlinuz*"), reverse=True):
        if os.access(kernel, os.R_OK):
            return kernel
    depends = _run(folder, "apt-cache", "depends", "--important", _KERNEL_PACKAGE).split()
    packages = [word for word in depends if word.startswith("linux-image-")][-1:]
    _run(folder, "apt-get", "-q", "download", *packages)
    for package in folder.glob("linux-image-*.deb"):
        _run(folder, "dpkg-deb", "-x", package.name, "root")
    for kernel in (folder / "root" / "boot").glob("vmlinuz*"):
        return kernel
    raise RackError("no kernel for the probe")


def _run(folder: Path, *argv: str) -> str:
    done = subprocess.run(argv, cwd=folder, capture_output=True, text=True, timeout=300, check=False)
    if done.returncode:
        raise RackError(f"{' '.join(argv)}: {done.stderr.strip()}")
    return done.stdout


def _initrd() -> bytes:
    """A cpio archive (newc) with busybox and an init that prints the mark and powers off."""
    init = f"#!/bin/busybox sh\n/bin/busybox echo {_MARK}\n/bin/busybox poweroff -f\n".encode()
    entries = [
        ("bin", stat.S_IFDIR | 0o755, b"", (0, 0)),
        ("dev", stat.S_IFDIR | 0o755, b"", (0, 0)),
        ("dev/console", stat.S_IFCHR | 0o600, b"", (5, 1)),
        ("bin/busybox", stat.S_IFREG | 0o755, _BUSYBOX.read_bytes(), (0, 0)),
        ("init", stat.S_IFREG | 0o755, init, (0, 0)),
        ("TRAILER!!!", 0, b"", (0, 0)),
    ]
    return b"".join(_entry(number, *entry) for number, entry in enumerate(entries, 1))


def _entry(number: int, name: str, mode: int, content: bytes, device: tuple[int, int]) -> bytes:
    fields = (number, mode, 0, 0, 1, 0, len(content), 0, 0, *device, len(name) + 1, 0)
    head = b"070701" + b"".join(b"%08X" % field for field in fields) + name.encode() + b"\0"
    return _padded(head) + _padded(content)


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 4)
