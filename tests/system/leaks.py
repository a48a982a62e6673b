# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Looks for secrets where they must not be: in processes, output, files, images and disks, in every form they take."""

from __future__ import annotations

import base64
import binascii
import contextlib
import gzip
import json
import os
import re
import shlex
import stat
import subprocess
import threading
import time
import urllib.parse
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import yaml
import zstandard
from ansible_collections.tripleo.cloud.plugins.module_utils._boot.paths import node_token
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import load_ssh_private_key
from remote_run import RemoteRun

INTERVAL = 0.1
# A shorter text, or what a form keeps of it, would be found by chance.
SHORTEST = 8
_BATCH = 400
_LARGE = 16 << 20
_CHUNK = 4 << 20
_ZEROS = bytes(64)
_MAGIC = {b"\x1f\x8b": gzip.open, b"\x28\xb5\x2f\xfd": lambda path: zstandard.open(path, "rb")}


@dataclass(frozen=True)
class Secret:
    """name: what it is; all that a failed test shows of it."""

    name: str
    value: bytes = field(repr=False)


@dataclass(frozen=True)
class Leak:
    """Where a secret was found, and in which form."""

    place: str
    secret: str
    form: str


def secret(name: str, value: str | bytes) -> Secret:
    """A secret of a text or of bytes."""
    return Secret(name, value.encode() if isinstance(value, str) else value)


def forms(value: bytes) -> dict[bytes, str]:
    """Every way in which a value may be written, with the way's name."""
    found = {value: "plain"}
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        for shift in range(3):
            # Only the letters that neither what stands before it nor what follows can change.
            letters = encode(bytes(shift) + value).rstrip(b"=")
            found.setdefault(letters[(0, 2, 3)[shift] : -1 if (shift + len(value)) % 3 else None], "base64")
    found.setdefault(binascii.hexlify(value), "hex")
    found.setdefault(binascii.hexlify(value).upper(), "hex")
    with contextlib.suppress(UnicodeDecodeError):
        text = value.decode()
        quoted = urllib.parse.quote(text, safe="")
        in_json = json.dumps(text)[1:-1]
        others = {
            "URL": [quoted, quoted.lower(), urllib.parse.quote(text), urllib.parse.quote_plus(text)],
            "JSON": [in_json, json.dumps(in_json)[1:-1], json.dumps(text, ensure_ascii=False)[1:-1]],
            "Python": [repr(text)[1:-1]],
            "YAML": [text.replace("'", "''"), yaml.safe_dump(text, width=1 << 16).splitlines()[0]],
            "shell": [shlex.quote(text), re.sub(r"([^\w@%+=:,./-])", r"\\\1", text), text.replace("'", r"'\''")],
        }
        for form, texts in others.items():
            for written in texts:
                found.setdefault(written.encode(), form)
    return {written: form for written, form in found.items() if len(written) >= SHORTEST}


class Search:
    """Looks for secrets in all their forms. GNU grep does it: one pass, whatever their number."""

    def __init__(self, secrets: Iterable[Secret]) -> None:
        self._known: dict[bytes, tuple[str, str]] = {}
        for one in secrets:
            assert len(one.value) >= SHORTEST, f"{one.name} is too short to be looked for"
            for written, form in forms(one.value).items():
                # Of bytes with a line break in them the longest part is looked for.
                part = max(re.split(rb"[\n\0]", written), key=len)
                if len(part) >= SHORTEST:
                    self._known.setdefault(part, (one.name, form))
        self._patterns = os.memfd_create("patterns")
        os.write(self._patterns, b"\n".join(self._known))

    def text(self, content: str | bytes, place: str) -> list[Leak]:
        """Leaks of a text."""
        return self._stream([content.encode() if isinstance(content, str) else content], place)

    def files(
        self, paths: Iterable[Path], permitted: Iterable[Path] = (), passed_over: Iterable[Path] = ()
    ) -> list[Leak]:
        """Leaks of regular files, and of all that lie below folders; what is compressed is searched unpacked too.

        permitted: files that may hold secrets, but nobody else may read them. passed_over: files of no interest.
        """
        others = set(passed_over)
        allowed = {(status.st_dev, status.st_ino) for status in map(os.stat, permitted)}
        small, leaks = [], []
        for path, status in _regular(paths):
            if (status.st_dev, status.st_ino) in allowed:
                assert status.st_mode & 0o077 == 0, f"others may read {path}, which holds secrets"
                continue
            if path in others:
                continue
            with contextlib.suppress(FileNotFoundError):
                opened = _unpacked(path)
                if opened is not None:
                    with opened:
                        leaks += self._stream(_blocks(opened), f"{path} (unpacked)")
                if status.st_size > _LARGE:
                    leaks += self._stream(_extents(path), os.fspath(path))
                else:
                    small.append(path)
        for start in range(0, len(small), _BATCH):
            found = self._grep(["--with-filename", "--null", "--no-messages", "--", *small[start : start + _BATCH]])
            for line in found.splitlines():
                name, _nul, match = line.partition(b"\0")
                leaks.append(Leak(os.fsdecode(name), *self._known[match]))
        return leaks

    def _stream(self, blocks: Iterable[bytes], place: str) -> list[Leak]:
        return [Leak(place, *self._known[match]) for match in self._grep([], blocks).splitlines()]

    def _grep(self, words: list[str | Path], blocks: Iterable[bytes] = ()) -> bytes:
        patterns = os.open(f"/proc/self/fd/{self._patterns}", os.O_RDONLY)
        try:
            process = subprocess.Popen(
                ["grep", "-a", "-o", "-F", "-f", f"/proc/self/fd/{patterns}", *words],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                pass_fds=[patterns],
                env={"LC_ALL": "C", "PATH": os.defpath},
            )
        finally:
            os.close(patterns)
        assert process.stdin and process.stdout
        # What is found is little; it fits into the pipe.
        with process.stdin:
            for block in blocks:
                process.stdin.write(block)
        with process.stdout:
            found = process.stdout.read()
        assert process.wait() in (0, 1, 2 if words else 1), f"grep ended with {process.returncode}"
        return found


class Samples:
    """Command lines and environments of all processes of the machine, read ten times a second within ``with``.

    It may be entered several times. Processes of other PID namespaces are seen too, those of OTHERS are not looked at.
    """

    # The tests' own independent client takes the password in its environment, as its users do.
    OTHERS = (b"ipmitool",)

    def __init__(self) -> None:
        self.rounds = 0
        self.seconds = 0.0
        self._seen: set[bytes] = set()
        self._ended = threading.Event()

    def __enter__(self) -> Samples:
        self._ended.clear()
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._ended.set()
        self._thread.join()

    def leaks(self, search: Search) -> list[Leak]:
        """Leaks of what was seen; it must have been looked often enough."""
        assert self.rounds >= 5 * self.seconds, f"{self.rounds} looks in {self.seconds:.1f} s"
        if not search.text(b"\n".join(self._seen), ""):
            return []
        return [
            leak
            for seen in self._seen
            for leak in search.text(seen, "process " + seen[:200].replace(b"\0", b" ").decode(errors="replace"))
        ]

    def _work(self) -> None:
        while not self._ended.is_set():
            began = time.monotonic()
            self._look()
            self._ended.wait(max(0.0, began + INTERVAL - time.monotonic()))
            self.rounds += 1
            self.seconds += time.monotonic() - began

    def _look(self) -> None:
        for process in filter(str.isdigit, os.listdir("/proc")):
            with contextlib.suppress(OSError), open(f"/proc/{process}/cmdline", "rb") as stream:
                line = stream.read()
                if line and line.partition(b"\0")[0].rpartition(b"/")[2] not in self.OTHERS:
                    self._seen.add(line)
                    with open(f"/proc/{process}/environ", "rb") as environment:
                        self._seen.add(line[:200] + b"\0environment\0" + environment.read())


def assert_no_secret(run: RemoteRun, samples: Samples, given: Iterable[Secret] = (), disks: bool = False) -> None:
    """No secret of a deployment is anywhere but in the files that are made for it.

    Searched are the processes that were seen, the control host's output, artifacts and HOME, the whole Deployment
    cloud with its state, images and temporary files, the consoles of the machines, and with disks their disks, where
    configuration belongs to hold passwords once the servers are set up.
    """
    own = [*secrets_of_state(run.state), *secrets_of_nodes(run.nodes()), *given]
    rack = run.folder / ".work" / "rack"
    # The nodes file and its copy for AWX, the virtual BMCs' own configuration, and the login that the operator gets.
    permitted = [*private_files(run.state), *run.folder.glob("inventories/**/nodes.yaml"), *rack.glob("*.json")]
    permitted += [*run.home.glob("awx-*/inventory/nodes.yaml"), *run.home.rglob("*clouds.yaml")]
    machines = list(rack.rglob("*.raw"))
    search = Search(own)
    leaks = samples.leaks(search) + search.files([run.folder, run.home], permitted, passed_over=machines)
    if disks:
        # A node's token is on its own disk, for its report of the first boot.
        leaks += Search(one for one in own if not one.name.startswith("the token")).files(machines)
    assert leaks == []


def secrets_of_state(state: Path) -> list[Secret]:
    """The secrets of a Deployment cloud: its key, and of each stack the values, the SSH key and the nodes' tokens."""
    key = (state / "key").read_bytes()
    found = [secret("the key of the state", key)]
    for path in (state / "secrets").glob("*/values.json"):
        found += [
            secret(f"the value of {name}", value)
            for name, value in json.loads(path.read_text()).items()
            if len(value) >= SHORTEST
        ]
    for path in (state / "secrets").glob("*/ssh_key"):
        found += _ssh_key(path)
    for path in (state / "plans").glob("*.json"):
        plan = json.loads(path.read_text())
        found += [
            secret(f"the token of {server['node']} under plan {plan['serial']}",
                   node_token(key, server["node"], plan["hash"]))
            for server in plan["servers"].values()
        ]  # fmt: skip
    return found


def secrets_of_nodes(nodes: Iterable[dict[str, dict[str, str]]]) -> list[Secret]:
    """The passwords of the BMCs in a nodes file."""
    return [secret(f"the BMC's password of {node['name']}", node["bmc"]["password"]) for node in nodes]


def private_files(state: Path) -> list[Path]:
    """Files of a state that are made to hold secrets: what a run needs after everything else is gone."""
    return [state / "key", *(path for path in (state / "secrets").rglob("*") if path.is_file())]


def _ssh_key(path: Path) -> list[Secret]:
    text = path.read_bytes()
    key = load_ssh_private_key(text, None)
    assert isinstance(key, Ed25519PrivateKey)
    # The first line is the same in every key.
    lines = [line for line in text.splitlines()[2:-1] if len(line) >= 4 * SHORTEST]
    values = [key.private_bytes_raw(), *lines]
    return [Secret(f"the SSH key of {path.parent.name}", value) for value in values]


def _regular(paths: Iterable[Path]) -> Iterator[tuple[Path, os.stat_result]]:
    for path in paths:
        for one in [path] if path.is_file() else path.rglob("*"):
            with contextlib.suppress(FileNotFoundError):
                status = one.lstat()
                if stat.S_ISREG(status.st_mode):
                    yield one, status


def _unpacked(path: Path) -> IO[bytes] | None:
    with path.open("rb") as stream:
        start = stream.read(4)
    for magic, opener in _MAGIC.items():
        if start.startswith(magic):
            return opener(path)  # type: ignore[return-value]
    return None


def _shortened(block: bytes) -> bytes:
    """A block with its long runs of zeros cut short: grep would take them for one long line."""
    return b"\0".join(filter(None, block.split(_ZEROS)))


def _blocks(stream: IO[bytes]) -> Iterator[bytes]:
    while block := stream.read(_CHUNK):
        yield _shortened(block)


def _extents(path: Path) -> Iterator[bytes]:
    """The bytes of a file without its holes."""
    with path.open("rb", buffering=0) as stream:
        offset = 0
        with contextlib.suppress(OSError):  # ENXIO: there is no more data.
            while True:
                offset = os.lseek(stream.fileno(), offset, os.SEEK_DATA)
                end = os.lseek(stream.fileno(), offset, os.SEEK_HOLE)
                os.lseek(stream.fileno(), offset, os.SEEK_SET)
                while offset < end:
                    block = stream.read(min(_CHUNK, end - offset))
                    if not block:
                        return
                    offset += len(block)
                    yield _shortened(block)
