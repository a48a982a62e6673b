# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import hashlib
import random
from pathlib import Path

import pytest
import xxhash
import zstandard
from ansible_collections.tripleo.cloud.plugins.module_utils._image import frames

CHUNK = 65536


@pytest.mark.parametrize("tail", [0, 1, 513])
def test_chunks_and_zeros_make_the_disk_again(tmp_path: Path, tail: int) -> None:
    noise = random.Random(1).randbytes(CHUNK)
    # First and last bytes of a chunk alone must count as content.
    raw = noise + bytes(2 * CHUNK) + b"x" + bytes(CHUNK - 1) + bytes(CHUNK - 1) + b"y" + noise + noise[:tail]
    disk = tmp_path / "disk.raw"
    disk.write_bytes(raw)
    packed = frames.pack(str(disk), str(tmp_path), chunk_size=CHUNK)

    stored = (tmp_path / "disk.zst").read_bytes()
    assert packed.size == len(raw)
    assert packed.sha256 == hashlib.sha256(raw).hexdigest()
    assert packed.stored == {"file": "disk.zst", "size": len(stored), "sha256": hashlib.sha256(stored).hexdigest()}
    assert [chunk["offset"] // CHUNK for chunk in packed.chunks] == [0, 3, 4, 5] + ([6] if tail else [])
    made = bytearray(len(raw))
    end = 0
    for chunk in packed.chunks:
        assert chunk["stored_offset"] == end
        end += chunk["stored_length"]
        frame = stored[chunk["stored_offset"] : end]
        assert hashlib.sha256(frame).hexdigest() == chunk["sha256"]
        block = zstandard.ZstdDecompressor().decompress(frame)
        assert len(block) == chunk["length"]
        assert xxhash.xxh64(block).hexdigest() == chunk["xxh64"]
        made[chunk["offset"] : chunk["offset"] + chunk["length"]] = block
    assert end == len(stored)
    assert bytes(made) == raw


def test_an_empty_disk_has_no_chunks(tmp_path: Path) -> None:
    disk = tmp_path / "disk.raw"
    disk.write_bytes(bytes(3 * CHUNK))
    packed = frames.pack(str(disk), str(tmp_path), chunk_size=CHUNK)
    assert (packed.size, packed.chunks) == (3 * CHUNK, [])
