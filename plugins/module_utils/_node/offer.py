# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A push names documents by their digests; the node says which it lacks and gets only those."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, BinaryIO

from . import metadata
from .errors import NodeError
from .paths import Paths


@dataclass(frozen=True)
class Entry:
    """A document: its name, the sha256 in hex of its canonical text, and that text's length in bytes."""

    name: str
    sha256: str
    size: int


@dataclass(frozen=True)
class Offer:
    """What a node should have. digest: of the whole; it tells two configurations apart. force: run in any case."""

    digest: str
    entries: tuple[Entry, ...]
    force: bool = False


def parse(payload: Mapping[str, Any]) -> Offer:
    """The offer in a payload. Raises NodeError."""
    try:
        entries = tuple(Entry(str(name), str(sha256), int(size)) for name, sha256, size in payload["offer"])
        offer = Offer(str(payload["digest"]), entries, bool(payload.get("force")))
    except (KeyError, TypeError, ValueError) as error:
        raise NodeError('the payload is not {"offer": [[name, sha256, bytes], ...], "digest": ...}') from error
    for one in entries:
        if not 0 < one.size <= metadata.MAX_BYTES:
            raise NodeError(f"{one.name} has {one.size} bytes; the limit of a document is {metadata.MAX_BYTES}")
    return offer


def held(paths: Paths, entries: Iterable[Entry]) -> dict[str, bytes]:
    """Texts of the entries that lie in the node's cache, by their sha256; a file that was touched does not count."""
    wanted = {(one.size, one.sha256) for one in entries}
    sizes = {size for size, _sha256 in wanted}
    found = {}
    try:
        with os.scandir(paths.cache) as files:
            candidates = sorted(
                file.path for file in files if file.is_file(follow_symlinks=False) and file.stat().st_size in sizes
            )
        for path in candidates:
            with open(path, "rb") as stream:
                text = stream.read()
            sha256 = hashlib.sha256(text).hexdigest()
            if (len(text), sha256) in wanted:
                found[sha256] = text
    except FileNotFoundError:
        pass
    except OSError as error:
        raise NodeError(f"{error.filename} cannot be read: {error.strerror}") from error
    return found


def lacking(entries: Iterable[Entry], known: Mapping[str, bytes]) -> list[Entry]:
    """The entries whose texts are not known, each text once."""
    return list({one.sha256: one for one in entries if one.sha256 not in known}.values())


def receive(stream: BinaryIO, entries: Iterable[Entry]) -> dict[str, bytes]:
    """The texts that follow each other in a stream, by their sha256. Raises NodeError when one is wrong or cut off."""
    texts = {}
    for one in entries:
        text = stream.read(one.size)
        if len(text) != one.size or hashlib.sha256(text).hexdigest() != one.sha256:
            raise NodeError(f"{one.name} did not arrive as it was sent")
        texts[one.sha256] = text
    return texts


def reason(status: Mapping[str, Any], digest: str, force: bool) -> str:
    """Why a node of that status has to run; empty when it is healthy with the documents of that digest."""
    if status.get("digest") != digest:
        return "its documents differ" if status.get("digest") else "it was never configured"
    if status.get("drift"):
        return f"files differ: {', '.join(map(str, status['drift']))}"
    if not status.get("healthy"):
        sick = [name for name, healthy in (status.get("services") or {}).items() if not healthy]
        return f"not healthy: {', '.join(sick)}" if sick else "its last run did not end well"
    return "force" if force else ""
