# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Builds the deploy ramdisk: a kernel of this Debian release, busybox, Python, and the code of the room _deploy."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterable, Mapping, Sequence

from .commands import Run, environment
from .errors import ImageError

PYTHON = "/usr/bin/python3"
# What the program starts, and what mcopy needs to turn file names into those of vfat.
PROGRAMS = ("ssh-keygen", "mkfs.vfat", "mcopy", "mmd")
LIBRARIES = ("libzstd.so.1", "libxxhash.so.0")
LIBRARY_FOLDERS = ("/lib/x86_64-linux-gnu", "/usr/lib/x86_64-linux-gnu", "/lib/aarch64-linux-gnu")
GCONV = ("IBM850.so", "gconv-modules", "gconv-modules.cache")
COMPRESSION = "-12"

INIT = """\
#!/bin/busybox sh
export PATH=/usr/sbin:/usr/bin:/sbin:/bin PYTHONDONTWRITEBYTECODE=1
/bin/busybox --install -s /bin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs dev /dev
mount -t tmpfs tmpfs /tmp
while read -r module; do insmod "$module"; done < /modules/order
for word in $(cat /proc/cmdline); do
  case $word in
    tripleo.mac=*) mac=${word#*=} ;;
    tripleo.address=*) address=${word#*=} ;;
    tripleo.gateway=*) gateway=${word#*=} ;;
  esac
done
tries=0
while [ -z "$nic" ] && [ $tries -lt 300 ]; do
  for path in /sys/class/net/*; do
    [ "$(cat "$path/address")" = "$mac" ] && nic=${path##*/}
  done
  [ -n "$nic" ] || usleep 100000
  tries=$((tries + 1))
done
[ -n "$nic" ] || { echo "deploy: no network card has the address $mac"; poweroff -f; }
ip link set lo up
ip address add "$address" dev "$nic"
ip link set "$nic" up
[ -z "$gateway" ] || ip route add default via "$gateway"
python3 -S -E /tripleo/start
poweroff -f
"""

START = """\
import sys

sys.path.insert(0, "/tripleo")
from _deploy import program


def say(line):
    print("deploy:", line, flush=True)


program.end(program.main(say))
"""

# Lists the files of every Python module that the program can come to need.
_LIST_MODULES = """\
import json, sys
sys.path.insert(0, sys.argv[1])
import encodings.idna, encodings.utf_8, encodings.utf_16_le, encodings.ascii, encodings.latin_1
import http.client, threading, tempfile, subprocess
from _deploy import program
files = [getattr(module, "__file__", None) for module in sys.modules.values()]
print(json.dumps(sorted({file for file in files if file and not file.startswith(sys.argv[1])})))
"""

# Turns sources into bytecode beside them, without time stamps. Compiling costs a slow machine seconds of every boot.
_COMPILE = """\
import os, py_compile, sys
unchecked = py_compile.PycInvalidationMode.UNCHECKED_HASH
for file in sys.stdin.read().splitlines():
    shown = file[len(sys.argv[1]):]
    py_compile.compile(file, file + "c", shown, doraise=True, invalidation_mode=unchecked)
    os.unlink(file)
"""


def build_ramdisk(
    destination_dir: str,
    *,
    kernel_package: str,
    modules: Sequence[str],
    apt_lines: Sequence[str],
    core_dir: str,
    cache_dir: str,
    run: Run,
) -> dict[str, str]:
    """Build kernel and ramdisk below destination_dir; their paths by role.

    kernel_package: a Debian package, a metapackage too. modules: what they depend on comes along.
    apt_lines: where the kernel comes from. core_dir: folder of the room _deploy. cache_dir: keeps the package.
    """
    package = _fetch_kernel(kernel_package, apt_lines, cache_dir, run)
    tree = os.path.join(destination_dir, "kernel-tree")
    run(["dpkg-deb", "-x", package, tree], step="unpack the kernel")
    (version,) = os.listdir(os.path.join(tree, "lib", "modules"))
    root = os.path.join(destination_dir, "ramdisk-tree")
    for folder in ("bin", "dev", "etc", "modules", "proc", "sys", "tmp", "tripleo", "usr/bin"):
        os.makedirs(os.path.join(root, folder))
    _add_modules(root, tree, version, modules, run)
    _add_python(root, core_dir)
    _add_programs(root)
    _write(root, "init", INIT, 0o755)
    _write(root, "tripleo/start", START)
    _write(root, "etc/passwd", "root:x:0:0:root:/:/bin/sh\n")
    ramdisk = os.path.join(destination_dir, "ramdisk")
    names = sorted(
        os.path.relpath(os.path.join(folder, name), root)
        for folder, folders, files in os.walk(root)
        for name in [*folders, *files]
    )
    for name in names:
        os.utime(os.path.join(root, name), (0, 0), follow_symlinks=False)
    run(
        ["cpio", "--quiet", "--create", "--format=newc", "--owner=0:0", "--reproducible", f"--file={ramdisk}.cpio"],
        cwd=root,
        input="\n".join(names) + "\n",
        step="pack the ramdisk",
    )
    run(["zstd", "-q", "-T0", COMPRESSION, "--rm", "-f", f"{ramdisk}.cpio", "-o", ramdisk], step="pack the ramdisk")
    return {"kernel": os.path.join(tree, "boot", f"vmlinuz-{version}"), "ramdisk": ramdisk}


def _fetch_kernel(package: str, apt_lines: Sequence[str], cache_dir: str, run: Run) -> str:
    """Path of the newest package with the kernel itself, downloaded by an apt of our own."""
    apt = os.path.join(cache_dir, "apt-ramdisk")
    for folder in ("lists/partial", "archives/partial"):
        os.makedirs(os.path.join(apt, folder), exist_ok=True)
    _write(apt, "sources.list", "".join(f"{line}\n" for line in apt_lines))
    options = [
        word
        for pair in (
            ("Dir::Etc::SourceList", os.path.join(apt, "sources.list")),
            ("Dir::Etc::SourceParts", "/dev/null"),
            ("Dir::State::Lists", os.path.join(apt, "lists")),
            ("Dir::Cache::Archives", os.path.join(apt, "archives")),
            ("Dir::Cache::PkgCache", ""),
            ("Dir::Cache::SrcPkgCache", ""),
            ("APT::Sandbox::User", "root"),
        )
        for word in ("-o", "=".join(pair))
    ]
    run(["apt-get", *options, "-q", "update"], step="read the package lists")
    name = _real_package(package, options)
    run(["apt-get", *options, "-q", "download", name], cwd=os.path.join(apt, "archives"), step="download the kernel")
    version = _output(["apt-cache", *options, "show", "--no-all-versions", name], "read the package lists")
    wanted = next(line.split()[1] for line in version.splitlines() if line.startswith("Version:"))
    found = [
        entry
        for entry in os.listdir(os.path.join(apt, "archives"))
        if entry.startswith(f"{name}_{wanted.replace(':', '%3a')}_")
    ]
    if not found:
        raise ImageError(f"apt-get downloaded no {name}", operation="build the deploy ramdisk")
    return os.path.join(apt, "archives", found[0])


def _real_package(package: str, options: Sequence[str]) -> str:
    """The package that a kernel's metapackage depends on, or the package itself."""
    lines = _output(["apt-cache", *options, "depends", package], f"find the package {package}").splitlines()
    depends = [line.split()[-1] for line in lines if line.strip().startswith("Depends:")]
    kernels = [name for name in depends if name.startswith("linux-image-")]
    return kernels[0] if kernels else package


def _add_modules(root: str, tree: str, version: str, modules: Sequence[str], run: Run) -> None:
    run(["depmod", "-b", tree, version], step="read the kernel's modules")
    order: list[str] = []
    for module in modules:
        argv = ["modprobe", "-d", tree, "-S", version, "--show-depends", module]
        for line in _output(argv, f"find the kernel module {module}").splitlines():
            kind, _space, rest = line.partition(" ")
            path = rest.split()[0] if rest else ""
            if kind == "insmod" and path not in order:
                order.append(path)
    for path in order:
        shutil.copy(path, os.path.join(root, "modules"))
    _write(root, "modules/order", "".join(f"/modules/{os.path.basename(path)}\n" for path in order))


def _add_python(root: str, core_dir: str) -> None:
    """The interpreter, the modules that the program comes to need, and the program."""
    parent = os.path.dirname(core_dir)
    listed = _output(
        [PYTHON, "-S", "-E", "-c", _LIST_MODULES, parent], "list Python's modules", {"PYTHONNOUSERSITE": "1"}
    )
    files = json.loads(listed)
    for file in files:
        _copy(root, file)
    binaries = [os.path.realpath(PYTHON), *(file for file in files if file.endswith(".so"))]
    _copy(root, os.path.realpath(PYTHON))
    os.symlink(os.path.basename(os.path.realpath(PYTHON)), os.path.join(root, "usr/bin/python3"))
    _add_libraries(root, binaries)
    program = os.path.join(root, "tripleo", "_deploy")
    shutil.copytree(core_dir, program, ignore=shutil.ignore_patterns("__pycache__"))
    sources = [os.path.join(root, file.lstrip("/")) for file in files if file.endswith(".py")]
    sources += [os.path.join(program, name) for name in os.listdir(program) if name.endswith(".py")]
    _output([PYTHON, "-S", "-E", "-c", _COMPILE, root], "compile Python's modules", text="\n".join(sources))


def _add_programs(root: str) -> None:
    busybox = shutil.which("busybox", path=environment()["PATH"])
    if busybox is None:
        raise ImageError("busybox is missing", operation="build the deploy ramdisk", next_step="install busybox-static")
    shutil.copy(busybox, os.path.join(root, "bin", "busybox"))
    paths = []
    for name in PROGRAMS:
        path = shutil.which(name, path=environment()["PATH"])
        if path is None:
            raise ImageError(
                f"{name} is missing",
                operation="build the deploy ramdisk",
                next_step="install openssh-client, dosfstools and mtools",
            )
        paths.append(os.path.realpath(path))
        target = os.path.join(root, "usr", "bin", name)
        shutil.copy(paths[-1], target)
    libraries = [_library(name) for name in LIBRARIES]
    for library in libraries:
        _copy(root, library)
    _add_libraries(root, [*paths, *libraries])
    for folder in LIBRARY_FOLDERS:
        for name in GCONV:
            if os.path.exists(os.path.join(folder, "gconv", name)):
                _copy(root, os.path.join(folder, "gconv", name))


def _library(name: str) -> str:
    for folder in LIBRARY_FOLDERS:
        if os.path.exists(os.path.join(folder, name)):
            return os.path.join(folder, name)
    raise ImageError(
        f"{name} is missing", operation="build the deploy ramdisk", next_step="install libzstd1 and libxxhash0"
    )


def _add_libraries(root: str, binaries: Iterable[str]) -> None:
    """Every shared library that the binaries are linked with, by its soname and in the loader's own place."""
    for binary in binaries:
        for line in _output(["ldd", binary], "list libraries").splitlines():
            path = next((word for word in line.split() if word.startswith("/")), None)
            if path:
                _copy(root, path)


def _copy(root: str, path: str) -> None:
    target = os.path.join(root, path.lstrip("/"))
    if not os.path.exists(target):
        os.makedirs(os.path.dirname(target), exist_ok=True)
        shutil.copy(os.path.realpath(path), target)


def _write(root: str, name: str, text: str, mode: int = 0o644) -> None:
    path = os.path.join(root, name)
    with open(path, "w", encoding="utf-8") as stream:
        stream.write(text)
    os.chmod(path, mode)


def _output(argv: Sequence[str], step: str, extra: Mapping[str, str] | None = None, text: str = "") -> str:
    try:
        done = subprocess.run(argv, env=environment(extra), input=text, capture_output=True, text=True, check=False)
    except OSError as error:
        raise ImageError(f"{argv[0]}: {error.strerror}", operation=f"build the deploy ramdisk: {step}") from error
    if done.returncode:
        # ldd says so of a static program, and that is no failure.
        if os.path.basename(argv[0]) == "ldd":
            return ""
        raise ImageError(
            f"{argv[0]} ended with status {done.returncode}: {done.stderr.strip()[-300:]}",
            operation=f"build the deploy ramdisk: {step}",
        )
    return done.stdout
