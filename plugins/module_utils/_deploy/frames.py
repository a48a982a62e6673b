# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""zstd and XXH64 from the C libraries, into memory that can be written with O_DIRECT."""

from __future__ import annotations

import ctypes
import mmap

from .errors import DeployError

BLOCK = 64 * 1024


class Buffer:
    """Page-aligned memory of a fixed size."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.memory = mmap.mmap(-1, size)
        self.view = memoryview(self.memory)
        self.address = ctypes.addressof(ctypes.c_char.from_buffer(self.memory))


class Codec:
    """The three C functions that the writer needs."""

    def __init__(self) -> None:
        self._zstd = ctypes.CDLL("libzstd.so.1")
        self._zstd.ZSTD_decompress.restype = ctypes.c_size_t
        self._zstd.ZSTD_decompress.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_char_p, ctypes.c_size_t]
        self._zstd.ZSTD_isError.restype = ctypes.c_uint
        self._zstd.ZSTD_isError.argtypes = [ctypes.c_size_t]
        self._zstd.ZSTD_getErrorName.restype = ctypes.c_char_p
        self._zstd.ZSTD_getErrorName.argtypes = [ctypes.c_size_t]
        self._xxhash = ctypes.CDLL("libxxhash.so.0")
        self._xxhash.XXH64.restype = ctypes.c_uint64
        self._xxhash.XXH64.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_uint64]
        self._libc = ctypes.CDLL(None)
        self._libc.memcmp.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t]
        self._zeros = Buffer(BLOCK)

    def decode(self, frame: bytes, into: Buffer, length: int) -> None:
        """Decode one frame into the buffer's start; DeployError unless it gives exactly length bytes."""
        if length > into.size:
            raise DeployError(f"a chunk of {length} bytes is larger than the buffer of {into.size}")
        done = self._zstd.ZSTD_decompress(into.address, length, frame, len(frame))
        if self._zstd.ZSTD_isError(done):
            raise DeployError(f"a frame cannot be decoded: {self._zstd.ZSTD_getErrorName(done).decode()}")
        if done != length:
            raise DeployError(f"a frame decodes to {done} bytes, not {length}")

    def xxh64(self, buffer: Buffer, length: int) -> str:
        """XXH64 of the buffer's start, in hex."""
        return f"{self._xxhash.XXH64(buffer.address, length, 0):016x}"

    def is_zero(self, buffer: Buffer, start: int, length: int) -> bool:
        """The bytes are all zero."""
        for position in range(start, start + length, BLOCK):
            step = min(BLOCK, start + length - position)
            if self._libc.memcmp(buffer.address + position, self._zeros.address, step):
                return False
        return True

    def data_runs(self, buffer: Buffer, length: int) -> list[tuple[int, int]]:
        """Start and end of every run of 64 KiB blocks that are not all zero."""
        runs: list[tuple[int, int]] = []
        for start in range(0, length, BLOCK):
            end = min(start + BLOCK, length)
            if not self.is_zero(buffer, start, end - start):
                if runs and runs[-1][1] == start:
                    runs[-1] = (runs[-1][0], end)
                else:
                    runs.append((start, end))
        return runs
