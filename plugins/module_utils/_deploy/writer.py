# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Writes an image to a disk and proves it: checked before it is written, read back after."""

from __future__ import annotations

import contextlib
import hashlib
import os
import threading
from collections.abc import Callable, Generator
from typing import Optional

from . import gpt
from .device import Device
from .errors import DeployError
from .frames import Buffer, Codec
from .manifest import Chunk, Manifest

CONFIG_NAME = "config-2"
CONFIG_BYTES = 64 * 1024 * 1024
_READ_BYTES = 16 * 1024 * 1024

Fetch = Callable[[Chunk], bytes]
Progress = Callable[[int], None]


def needed_bytes(manifest: Manifest) -> int:
    """Bytes that a disk must have for the image, config-2 and the backup partition table."""
    return manifest.size + CONFIG_BYTES + 2 * gpt.ALIGNMENT * gpt.SECTOR


def write_image(device: Device, manifest: Manifest, codec: Codec, fetch: Fetch, progress: Progress) -> None:
    """Write every chunk and prove the whole image area. progress: told the raw bytes that are done.

    A chunk whose stored bytes do not have their sha256 is a DeployError, and nothing of it was written. While one chunk
    is written, the next one is fetched.
    """
    largest = max([_READ_BYTES, *(chunk.length for chunk in manifest.chunks)])
    buffer = Buffer(largest)
    device.make_zero(0, manifest.size, buffer)
    with contextlib.closing(_checked_frames(manifest, fetch)) as frames:
        for number, frame in enumerate(frames):
            chunk = manifest.chunks[number]
            codec.decode(frame, buffer, chunk.length)
            if codec.xxh64(buffer, chunk.length) != chunk.xxh64:
                raise DeployError(f"chunk {number} of the image does not decode to its raw bytes; it was not written")
            for start, end in codec.data_runs(buffer, chunk.length):
                device.write(buffer, start, end, chunk.offset + start)
            progress(chunk.offset + chunk.length)
    device.flush()
    _prove(device, manifest, codec, buffer)
    progress(manifest.size)


class _Fetching(threading.Thread):
    """One chunk on its way: fetched and checked in a thread."""

    def __init__(self, number: int, chunk: Chunk, fetch: Fetch) -> None:
        super().__init__(daemon=True)
        self._number, self._chunk, self._fetch = number, chunk, fetch
        self._frame = b""
        self._error: Optional[Exception] = None
        self.start()

    def run(self) -> None:
        try:
            frame = self._fetch(self._chunk)
            if len(frame) != self._chunk.stored_length or hashlib.sha256(frame).hexdigest() != self._chunk.sha256:
                raise DeployError(f"chunk {self._number} of the image does not have its sha256; it was not written")
            self._frame = frame
        except Exception as error:  # raised again where the frame is wanted
            self._error = error

    def frame(self) -> bytes:
        self.join()
        if self._error is not None:
            raise self._error
        return self._frame


def _checked_frames(manifest: Manifest, fetch: Fetch) -> Generator[bytes, None, None]:
    """The chunks' frames in order, each with its sha256. fetch runs in another thread, one call at a time."""
    coming: Optional[_Fetching] = None
    try:
        for number, chunk in enumerate(manifest.chunks):
            frame = (coming or _Fetching(number, chunk, fetch)).frame()
            following = manifest.chunks[number + 1 : number + 2]
            coming = _Fetching(number + 1, following[0], fetch) if following else None
            yield frame
    finally:
        if coming is not None:
            coming.join()  # whoever fetches next uses the same connection


def _prove(device: Device, manifest: Manifest, codec: Codec, buffer: Buffer) -> None:
    position = 0
    for number, chunk in enumerate(manifest.chunks):
        _prove_zero(device, codec, buffer, position, chunk.offset)
        device.read(buffer, chunk.length, chunk.offset)
        if codec.xxh64(buffer, chunk.length) != chunk.xxh64:
            raise DeployError(f"{device.path} does not hold what was written to it (chunk {number})")
        position = chunk.offset + chunk.length
    _prove_zero(device, codec, buffer, position, manifest.size)


def _prove_zero(device: Device, codec: Codec, buffer: Buffer, start: int, end: int) -> None:
    while start < end:
        step = min(buffer.size, end - start)
        device.read(buffer, step, start)
        if not codec.is_zero(buffer, 0, step):
            raise DeployError(f"{device.path} is not zero between {start} and {start + step} bytes")
        start += step


def finish_disk(device: Device, manifest: Manifest, disk_bytes: int, config_drive: str) -> None:
    """Grow the root partition, add config-2 behind it with the content of a file, and move the backup table.

    All of it is read back. What an earlier use left between config-2 and the disk's end becomes zero.
    """
    buffer = Buffer(CONFIG_BYTES)
    head_bytes = gpt.HEAD_SECTORS * gpt.SECTOR
    device.read(buffer, head_bytes, 0)
    layout = gpt.grow(
        bytes(buffer.view[:head_bytes]),
        disk_bytes // gpt.SECTOR,
        manifest.root_partition,
        CONFIG_BYTES,
        CONFIG_NAME,
        os.urandom(16),
    )
    start, end = layout.data_first * gpt.SECTOR, (layout.data_first + layout.data_sectors) * gpt.SECTOR
    device.make_zero(end, disk_bytes - end, buffer)
    with open(config_drive, "rb") as stream:
        content = stream.read(CONFIG_BYTES + 1)
    if len(content) != CONFIG_BYTES:
        raise DeployError("the file with config-2 has the wrong size")
    # The table last: until it is there, the disk is the image as it was proven.
    parts = ((content, start), (layout.tail, disk_bytes - len(layout.tail)), (layout.head, 0))
    for part, offset in parts:
        buffer.view[: len(part)] = part
        device.write(buffer, 0, len(part), offset)
    device.flush()
    for part, offset in parts:
        device.read(buffer, len(part), offset)
        if bytes(buffer.view[: len(part)]) != part:
            raise DeployError(f"{device.path} does not hold what was written to it at {offset} bytes")
    device.reread_partitions()
