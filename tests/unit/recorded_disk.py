# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a power cut may leave: a program's writes to one folder are recorded by strace, then replayed in part.

The disk of the model promises as little as POSIX does. What was not flushed may be there or not, each change apart
from all others: fsync of a file makes its content, mode and owner durable but not its name; fsync of a folder makes the
names in it durable; a rename happens wholly or not at all.
"""

from __future__ import annotations

import os
import random
import re
import shutil
import stat
import subprocess
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

CALLS = (
    "open,openat,creat,write,pwrite64,writev,truncate,ftruncate,chmod,fchmod,fchmodat,chown,fchown,lchown,fchownat,"
    "rename,renameat,renameat2,unlink,unlinkat,rmdir,mkdir,mkdirat,link,linkat,symlink,symlinkat,"
    "fsync,fdatasync,sync,syncfs,sendfile,copy_file_range,fallocate"
)
_LINE = re.compile(r"^(\d+) +(\w+)\((.*)\) += +(-?\w+)(?:<(.*)>)?")
_BEGUN = re.compile(r"^(\d+) +(.*) <unfinished \.\.\.>$")
_RESUMED = re.compile(r"^(\d+) +<\.\.\. \w+ resumed>(.*)$")
_ARGUMENT = re.compile(r'(?:"(?:\\x..)*"|(?:AT_FDCWD|\d+)<[^<>]*>|[^,"<>]+)')
UMASK = 0o022

# A file as the tests see it: kind, mode, uid, gid, content (of a link its target).
Entry = tuple[str, int, int, int, bytes]
Tree = dict[str, Entry]


@dataclass
class Inode:
    """A file, folder or link; a folder's names are apart."""

    kind: str
    mode: int
    uid: int
    gid: int
    data: bytearray


@dataclass
class Disk:
    """Inodes by number, and the names in those that are folders. Number 0 is the folder that is looked at."""

    inodes: list[Inode] = field(default_factory=list)
    names: list[dict[str, int]] = field(default_factory=list)

    def copy(self) -> Disk:
        inodes = [replace(inode, data=bytearray(inode.data)) for inode in self.inodes]
        return Disk(inodes, [dict(names) for names in self.names])

    def load(self, path: str) -> int:
        """Take in what lies at path; its number."""
        status = os.lstat(path)
        inode = Inode("file", stat.S_IMODE(status.st_mode), status.st_uid, status.st_gid, bytearray())
        number = self.add(inode)
        if stat.S_ISDIR(status.st_mode):
            inode.kind = "folder"
            for name in sorted(os.listdir(path)):
                self.names[number][name] = self.load(os.path.join(path, name))
        elif stat.S_ISLNK(status.st_mode):
            inode.kind, inode.data = "link", bytearray(os.fsencode(os.readlink(path)))
        else:
            inode.data = bytearray(Path(path).read_bytes())
        return number

    def add(self, inode: Inode) -> int:
        """Make an inode without a name."""
        self.inodes.append(inode)
        self.names.append({})
        return len(self.inodes) - 1

    def find(self, path: str) -> int | None:
        """The number at a path that is relative to the folder; links are not followed."""
        number: int | None = 0
        for name in path.split("/"):
            if name != "." and number is not None:
                number = self.names[number].get(name)
        return number

    def tree(self, number: int = 0, path: str = "") -> Tree:
        """All that has a name."""
        inode = self.inodes[number]
        found = {path: (inode.kind, inode.mode, inode.uid, inode.gid, bytes(inode.data))}
        for name, child in sorted(self.names[number].items()):
            found.update(self.tree(child, f"{path}/{name}"))
        return found

    def apply(self, change: Change, torn: bool = False) -> None:
        """Carry out a change, when torn its first half."""
        inode, values = self.inodes[change.inodes[0]], change.values
        if change.what == "names":
            for folder, name, number in values:
                self.names[folder].pop(name, None)
                if number is not None:
                    self.names[folder][name] = number
        elif change.what == "write":
            offset, data = values
            data = data[: len(data) // 2] if torn else data
            inode.data.extend(bytes(max(0, offset - len(inode.data))))
            inode.data[offset : offset + len(data)] = data
        elif change.what == "truncate":
            del inode.data[values[0] :]
            inode.data.extend(bytes(values[0] - len(inode.data)))
        elif change.what == "mode":
            inode.mode = values[0]
        else:
            inode.uid, inode.gid = (new if new != -1 else old for new, old in zip(values, (inode.uid, inode.gid)))


@dataclass
class Change:
    """One change that a power cut may take back, until the step ``durable``: of inodes, or of the names in folders."""

    step: int
    what: str  # names, write, truncate, mode, owner
    inodes: tuple[int, ...]
    values: tuple[Any, ...]
    durable: int | None = None


class Recording:
    """A program's changes below folder. ``steps`` says what each step was."""

    def __init__(self, folder: Path) -> None:
        self.folder = str(folder)
        self.start = Disk()
        self.start.load(self.folder)
        self.now = self.start.copy()
        self.made: list[Inode] = []
        self.changes: list[Change] = []
        self.steps: list[str] = []

    def run(
        self, command: Sequence[str], environment: Mapping[str, str], given: str = ""
    ) -> subprocess.CompletedProcess[str]:
        """Run and record a program. The model is held against the folder afterwards."""
        trace = f"{self.folder}.trace"
        words = ["strace", "-f", "-y", "-xx", "-z", "--seccomp-bpf", "-s", "100000000", "-e", "signal=none"]
        words += ["-e", f"trace={CALLS}", "-o", trace, *command]
        done = subprocess.run(
            words, env=dict(environment), input=given, capture_output=True, text=True, check=False, cwd="/"
        )
        with open(trace, encoding="ascii") as stream:
            for call, arguments, result in _calls(stream):
                self._record(call, arguments, result)
        os.unlink(trace)
        assert self.now.tree() == read_tree(self.folder), "the model is not what the program did"
        return done

    def states(self, step: int, dice: random.Random) -> Iterator[tuple[str, Tree]]:
        """What the disk may hold when the power goes after step: a name for the case, and the tree."""
        pending = [number for number, change in enumerate(self.changes) if self._pending(change, step)]
        drops: dict[tuple[int, ...], str] = {(): "all kept", tuple(pending): "all lost"}
        for place, number in enumerate(pending):
            drops.setdefault((number,), f"only change {number} lost")
            drops.setdefault(tuple(pending[place:]), f"lost from change {number} on")
            drops.setdefault(tuple(other for other in pending if other != number), f"only change {number} kept")
        for _try in range(4):
            drops.setdefault(tuple(number for number in pending if dice.random() < 0.5), "some lost")
        for dropped, name in drops.items():
            yield name, self.state(step, dropped)
        for number in pending:
            if self.changes[number].what == "write":
                yield f"change {number} half there", self.state(step, (), torn=number)

    def _pending(self, change: Change, step: int) -> bool:
        return change.step <= step and (change.durable is None or change.durable > step)

    def state(self, step: int, dropped: Sequence[int], torn: int = -1) -> Tree:
        """The tree after step without the dropped changes, of which torn happened by half."""
        disk = self.start.copy()
        # An inode without a name cannot be seen.
        for inode in self.made:
            disk.add(replace(inode, data=bytearray()))
        lost = set(dropped)
        for number, change in enumerate(self.changes):
            if change.step <= step and number not in lost:
                disk.apply(change, number == torn)
        return disk.tree()

    def _inside(self, path: str) -> bool:
        return path == self.folder or path.startswith(f"{self.folder}/")

    def _find(self, path: str) -> int | None:
        return self.now.find(os.path.relpath(path, self.folder)) if self._inside(path) else None

    def _record(self, call: str, arguments: list[str], result: str) -> None:
        paths = [path for path in map(_path, arguments) if path is not None]
        touched = [path for path in paths if self._inside(path)]
        if call in ("open", "openat", "creat"):
            if self._inside(result):
                self._open(result, call, arguments)
        elif call in ("sync", "syncfs"):
            self.steps.append(call)
            self._flush(range(len(self.now.inodes)))
        elif touched:
            assert call in _HANDLERS, f"the model has no {call}"
            self.steps.append(f"{call} {' '.join(touched)}")
            _HANDLERS[call](self, arguments, paths)

    def _change(self, what: str, inodes: Sequence[int], *values: Any) -> None:
        change = Change(len(self.steps), what, tuple(inodes), values)
        self.changes.append(change)
        self.now.apply(change)

    def _flush(self, inodes: Sequence[int]) -> None:
        for change in self.changes:
            if change.durable is None and set(change.inodes) & set(inodes):
                change.durable = len(self.steps)

    def _open(self, path: str, call: str, arguments: list[str]) -> None:
        number = self._find(path)
        flags = "O_CREAT|O_TRUNC" if call == "creat" else next(word for word in arguments if word.startswith("O_"))
        if number is None and "O_CREAT" in flags:
            self.steps.append(f"create {path}")
            self._name(path, self._new("file", int(arguments[-1], 8) & ~UMASK))
        elif number is not None and "O_TRUNC" in flags and self.now.inodes[number].data:
            self.steps.append(f"truncate {path}")
            self._change("truncate", [number], 0)

    def _new(self, kind: str, mode: int) -> int:
        inode = Inode(kind, mode, os.geteuid(), os.getegid(), bytearray())
        self.made.append(replace(inode))
        return self.now.add(inode)

    def _name(self, path: str, number: int | None) -> None:
        folder = self._find(os.path.dirname(path))
        assert folder is not None, path
        self._change("names", [folder], (folder, os.path.basename(path), number))

    def _write(self, arguments: list[str], paths: list[str]) -> None:
        number = self._find(paths[0])
        if number is not None:
            offset = int(arguments[3]) if len(arguments) > 3 else len(self.now.inodes[number].data)
            self._change("write", [number], offset, _text(arguments[1]))

    def _truncate(self, arguments: list[str], paths: list[str]) -> None:
        number = self._find(paths[0])
        if number is not None and int(arguments[1]) != len(self.now.inodes[number].data):
            self._change("truncate", [number], int(arguments[1]))

    def _chmod(self, arguments: list[str], paths: list[str]) -> None:
        number = self._find(paths[-1])
        mode = next(word for word in arguments if re.fullmatch(r"0\d*", word))
        if number is not None:
            self._change("mode", [number], int(mode, 8))

    def _chown(self, arguments: list[str], paths: list[str]) -> None:
        number = self._find(paths[-1])
        owner = [int(word) for word in arguments if re.fullmatch(r"-?\d+", word)][:2]
        if number is not None and owner != [-1, -1]:
            self._change("owner", [number], *owner)

    def _fsync(self, _arguments: list[str], paths: list[str]) -> None:
        number = self._find(paths[0])
        if number is not None:
            self._flush([number])

    def _rename(self, _arguments: list[str], paths: list[str]) -> None:
        old, new = paths[-2:]
        number, source, target = (self._find(path) for path in (old, os.path.dirname(old), os.path.dirname(new)))
        assert number is not None and source is not None and target is not None, paths
        if self._find(new) != number:
            names = (source, os.path.basename(old), None), (target, os.path.basename(new), number)
            self._change("names", [source, target], *names)

    def _unlink(self, _arguments: list[str], paths: list[str]) -> None:
        self._name(paths[-1], None)

    def _mkdir(self, arguments: list[str], paths: list[str]) -> None:
        self._name(paths[-1], self._new("folder", int(arguments[-1], 8) & ~UMASK))

    def _hard_link(self, _arguments: list[str], paths: list[str]) -> None:
        number = self._find(paths[-2])
        assert number is not None, paths
        self._name(paths[-1], number)


_HANDLERS = {
    "write": Recording._write,
    "pwrite64": Recording._write,
    "truncate": Recording._truncate,
    "ftruncate": Recording._truncate,
    "fsync": Recording._fsync,
    "fdatasync": Recording._fsync,
    **dict.fromkeys(("chmod", "fchmod", "fchmodat"), Recording._chmod),
    **dict.fromkeys(("chown", "fchown", "lchown", "fchownat"), Recording._chown),
    **dict.fromkeys(("rename", "renameat", "renameat2"), Recording._rename),
    **dict.fromkeys(("unlink", "unlinkat", "rmdir"), Recording._unlink),
    **dict.fromkeys(("mkdir", "mkdirat"), Recording._mkdir),
    **dict.fromkeys(("link", "linkat"), Recording._hard_link),
}


def _calls(lines: Iterable[str]) -> Iterator[tuple[str, list[str], str]]:
    """Name, arguments and resulting path of each call, in the order in which they ended."""
    begun: dict[str, str] = {}
    for line in lines:
        text = line.rstrip("\n")
        if match := _BEGUN.match(text):
            begun[match[1]] = match[0].removesuffix(" <unfinished ...>")
            continue
        if match := _RESUMED.match(text):
            text = begun.pop(match[1]) + match[2]
        if match := _LINE.match(text):
            yield match[2], [word for word in _split(match[3]) if word.strip()], _unhex(match[5] or "")


def _split(arguments: str) -> list[str]:
    return [match[0].strip() for match in _ARGUMENT.finditer(arguments)]


def _unhex(text: str) -> str:
    return os.fsdecode(_bytes(text))


def _bytes(text: str) -> bytes:
    return re.sub(rb"\\x(..)", lambda match: bytes([int(match[1], 16)]), text.encode())


def _text(argument: str) -> bytes:
    return _bytes(argument.strip()[1:-1])


def _path(argument: str) -> str | None:
    """The path that an argument names: a descriptor's, or a string that begins with a slash."""
    if match := re.fullmatch(r"(?:AT_FDCWD|\d+)<(.*)>", argument):
        return _unhex(match[1])
    if argument.startswith('"\\x2f'):
        return os.fsdecode(_text(argument))
    return None


def read_tree(folder: str) -> Tree:
    """The tree as it lies in a folder; a path is relative and begins with a slash, the folder's own is empty."""
    disk = Disk()
    disk.load(folder)
    return disk.tree()


def write_tree(tree: Tree, folder: str) -> None:
    """Lay a tree out in place of a folder."""
    shutil.rmtree(folder, ignore_errors=True)
    for path, (kind, mode, uid, gid, data) in tree.items():
        place = folder + path
        if kind == "folder":
            os.mkdir(place)
        elif kind == "link":
            os.symlink(os.fsdecode(data), place)
        else:
            Path(place).write_bytes(data)
        os.lchown(place, uid, gid)
        if kind != "link":
            os.chmod(place, mode)
