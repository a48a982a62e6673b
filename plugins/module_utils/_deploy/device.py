# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A block device, opened so that what is read comes from the medium."""

from __future__ import annotations

import contextlib
import fcntl
import os
import stat
import struct
from collections.abc import Iterator

from .errors import DeployError
from .frames import Buffer

_BLKZEROOUT = 0x127F
_BLKFLSBUF = 0x1261
_BLKRRPART = 0x125F
_BLKSSZGET = 0x1268
_SECTOR = 512


class Device:
    """A disk open for direct reading and writing; every offset and length is a multiple of 512."""

    def __init__(self, path: str, descriptor: int) -> None:
        self.path = path
        self._fd = descriptor

    @classmethod
    @contextlib.contextmanager
    def open(cls, path: str) -> Iterator[Device]:
        """Open a disk that nothing else uses.

        DeployError when it cannot be opened or is mounted, and when its sectors are not those that images are made for.
        """
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_DIRECT | os.O_EXCL | os.O_CLOEXEC)
        except OSError as error:
            raise DeployError(f"{path} cannot be opened for writing: {error.strerror}") from error
        try:
            sector = _sector_bytes(descriptor)
            if sector != _SECTOR:
                raise DeployError(f"{path} has sectors of {sector} bytes, not {_SECTOR}. Nothing was written")
            yield cls(path, descriptor)
        except OSError as error:
            raise DeployError(f"{path}: {error.strerror}") from error
        finally:
            os.close(descriptor)

    def write(self, buffer: Buffer, start: int, end: int, offset: int) -> None:
        """Write a part of the buffer at offset."""
        while start < end:
            done = os.pwrite(self._fd, buffer.view[start:end], offset)
            start, offset = start + done, offset + done

    def read(self, buffer: Buffer, length: int, offset: int) -> None:
        """Fill the buffer's start from offset."""
        done = 0
        while done < length:
            got = os.preadv(self._fd, [buffer.view[done:length]], offset + done)
            if not got:
                raise DeployError(f"{self.path} ends at {offset + done} bytes")
            done += got

    def make_zero(self, offset: int, length: int, scratch: Buffer) -> None:
        """Make a range zero; where the device has no quicker way, by writing zeros."""
        try:
            fcntl.ioctl(self._fd, _BLKZEROOUT, struct.pack("<QQ", offset, length))
        except OSError:
            scratch.view[:] = bytes(scratch.size)
            for position in range(offset, offset + length, scratch.size):
                self.write(scratch, 0, min(scratch.size, offset + length - position), position)

    def flush(self) -> None:
        """Bring everything to the medium and forget what is cached of it."""
        os.fsync(self._fd)
        with contextlib.suppress(OSError):  # a plain file in tests
            fcntl.ioctl(self._fd, _BLKFLSBUF)

    def reread_partitions(self) -> None:
        """Let the kernel see the new partition table."""
        with contextlib.suppress(OSError):
            fcntl.ioctl(self._fd, _BLKRRPART)


def _sector_bytes(descriptor: int) -> int:
    """The size of a logical sector; a plain file in tests has the usual one."""
    if not stat.S_ISBLK(os.fstat(descriptor).st_mode):
        return _SECTOR
    return int(struct.unpack("i", fcntl.ioctl(descriptor, _BLKSSZGET, bytes(4)))[0])
