# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Pack a raw disk into the stored form: independent zstd frames of 16 MiB, all-zero ones left out."""

from __future__ import annotations

import hashlib
import os
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Optional

try:
    import xxhash
    import zstandard
except ImportError as error:  # named by require_libraries()
    _MISSING: Optional[str] = error.name
else:
    _MISSING = None

from .errors import ImageError

CHUNK_SIZE = 16 * 1024 * 1024
LEVEL = 3
STORED_FILE = "disk.zst"


@dataclass(frozen=True)
class Packed:
    """What the manifest says of a packed disk: ``size`` and ``sha256`` of the raw bytes, the file, its chunks."""

    size: int
    sha256: str
    stored: dict[str, Any]
    chunks: list[dict[str, Any]]


def require_libraries() -> None:
    """Raise ImageError where the Python environment lacks what packing needs."""
    if _MISSING:
        raise ImageError(
            f"this Python has no {_MISSING}",
            operation="build images",
            next_step="run the playbook tripleo.cloud.prepare, which makes the Python environment",
        )


def pack(raw: str, directory: str, *, threads: int = 2, chunk_size: int = CHUNK_SIZE) -> Packed:
    """Write ``directory``/disk.zst from a raw disk file."""
    require_libraries()
    whole, stored = hashlib.sha256(), hashlib.sha256()
    chunks: list[dict[str, Any]] = []
    position = 0
    path = os.path.join(directory, STORED_FILE)
    with open(raw, "rb", buffering=0) as source, open(path, "wb") as target, ThreadPoolExecutor(threads) as pool:
        waiting: deque[tuple[int, int, Future[tuple[bytes, str, str]]]] = deque()

        def write_one() -> None:
            nonlocal position
            offset, length, future = waiting.popleft()
            frame, digest, fast = future.result()
            target.write(frame)
            stored.update(frame)
            chunks.append(
                {
                    "offset": offset,
                    "length": length,
                    "stored_offset": position,
                    "stored_length": len(frame),
                    "sha256": digest,
                    "xxh64": fast,
                }
            )
            position += len(frame)

        zeros = bytes(chunk_size)
        offset = 0
        for block in _blocks(source, chunk_size):
            whole.update(block)
            if block != zeros[: len(block)]:
                waiting.append((offset, len(block), pool.submit(_frame, block)))
            if len(waiting) > threads:
                write_one()
            offset += len(block)
        while waiting:
            write_one()
    entry = {"file": STORED_FILE, "size": position, "sha256": stored.hexdigest()}
    return Packed(offset, whole.hexdigest(), entry, chunks)


def _frame(block: bytes) -> tuple[bytes, str, str]:
    """(zstd frame, sha256 of the frame, XXH64 of the block)."""
    frame: bytes = zstandard.ZstdCompressor(level=LEVEL, write_checksum=True).compress(block)
    return frame, hashlib.sha256(frame).hexdigest(), xxhash.xxh64(block).hexdigest()


def _blocks(source: Any, size: int) -> Iterator[bytes]:
    """Blocks of exactly ``size`` bytes; only the last may be shorter."""
    while True:
        block = bytearray()
        while len(block) < size:
            part = source.read(size - len(block))
            if not part:
                break
            block += part
        if not block:
            return
        yield bytes(block)
