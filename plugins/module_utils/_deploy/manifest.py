# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The manifest of a stored disk image: what it says, and what makes it believable."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .errors import DeployError

SCHEMA = 1
LARGEST_BYTES = 64 * 1024 * 1024
LARGEST_CHUNK = 64 * 1024 * 1024
SECTOR = 512

_SHA256 = re.compile(r"[0-9a-f]{64}")
_XXH64 = re.compile(r"[0-9a-f]{16}")


@dataclass(frozen=True)
class Chunk:
    """A piece of the raw disk that is not all zero.

    offset, length: in the raw disk, bytes. stored_offset, stored_length: of its zstd frame in the stored file.
    sha256: of the frame. xxh64: of the raw bytes.
    """

    offset: int
    length: int
    stored_offset: int
    stored_length: int
    sha256: str
    xxh64: str


@dataclass(frozen=True)
class Manifest:
    """size: of the raw disk in bytes. What no chunk covers is zero. root_partition: its number, the last one."""

    build_id: str
    size: int
    root_partition: int
    chunks: tuple[Chunk, ...]


def parse(content: bytes) -> Manifest:
    """Read a manifest; DeployError says what is wrong with it."""
    if len(content) > LARGEST_BYTES:
        raise DeployError(f"the manifest is larger than the limit of {LARGEST_BYTES // 1024 // 1024} MiB")
    try:
        data = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise DeployError(f"the manifest is no JSON: {error}") from error
    if not isinstance(data, dict) or data.get("schema") != SCHEMA or data.get("kind") != "disk":
        raise DeployError(f"the manifest is not of a disk image in schema {SCHEMA}")
    size = _whole(data, "size", 1, 1 << 50)
    if size % SECTOR:
        raise DeployError(f"the manifest's size {size} is no multiple of {SECTOR}")
    listed = data.get("chunks")
    if not isinstance(listed, list):
        raise DeployError("the manifest has no list of chunks")
    chunks = tuple(_chunk(number, entry) for number, entry in enumerate(listed))
    end = 0
    for number, chunk in enumerate(chunks):
        if chunk.offset < end or chunk.offset + chunk.length > size:
            raise DeployError(f"chunk {number} of the manifest overlaps another one or the end of the image")
        end = chunk.offset + chunk.length
    return Manifest(str(data.get("build_id", "")), size, _whole(data, "root_partition", 1, 128), chunks)


def _chunk(number: int, entry: Any) -> Chunk:
    if not isinstance(entry, dict):
        raise DeployError(f"chunk {number} of the manifest is no mapping")
    sha256, xxh64 = entry.get("sha256"), entry.get("xxh64")
    if not isinstance(sha256, str) or not _SHA256.fullmatch(sha256):
        raise DeployError(f"chunk {number} of the manifest has no sha256")
    if not isinstance(xxh64, str) or not _XXH64.fullmatch(xxh64):
        raise DeployError(f"chunk {number} of the manifest has no xxh64")
    chunk = Chunk(
        _whole(entry, "offset", 0, 1 << 50),
        _whole(entry, "length", 1, LARGEST_CHUNK),
        _whole(entry, "stored_offset", 0, 1 << 50),
        _whole(entry, "stored_length", 1, LARGEST_CHUNK * 2),
        sha256,
        xxh64,
    )
    if chunk.offset % SECTOR or chunk.length % SECTOR:
        raise DeployError(f"chunk {number} of the manifest is not aligned to {SECTOR} bytes")
    return chunk


def _whole(data: Mapping[str, Any], key: str, least: int, most: int) -> int:
    value = data.get(key)
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        raise DeployError(f"the manifest's {key} is no whole number between {least} and {most}")
    return value
