# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Executable templates: a program that gets the metadata and prints the file, within limits of time and size."""

from __future__ import annotations

import os
import selectors
import signal
import subprocess
import time

from .errors import NodeError
from .metadata import MAX_BYTES


def run(program: str, given: bytes, seconds: float) -> bytes:
    """What the program prints. Raises NodeError, after it and what it started were killed when a limit is passed."""
    try:
        process = subprocess.Popen(
            [program],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
            start_new_session=True,
        )
    except OSError as error:
        raise NodeError(f"template {program} cannot be executed: {error.strerror}") from error
    with process:
        try:
            output, errors = _converse(process, given, time.monotonic() + seconds)
        except BaseException as error:
            os.killpg(process.pid, signal.SIGKILL)
            if isinstance(error, subprocess.TimeoutExpired):
                raise NodeError(f"template {program} was killed at the limit of {seconds:g} s") from error
            if isinstance(error, OverflowError):
                raise NodeError(f"template {program} was killed at the limit of {MAX_BYTES} printed bytes") from error
            raise
    if process.returncode != 0:
        text = (output + errors).decode("utf-8", "replace")
        raise NodeError(f"template {program} failed with exit status {process.returncode}, with output: {text}")
    return output


def _converse(process: subprocess.Popen[bytes], given: bytes, deadline: float) -> tuple[bytes, bytes]:
    """Give and take until the program has ended. Raises TimeoutExpired and OverflowError at the limits."""
    if not (process.stdin and process.stdout and process.stderr):
        raise AssertionError("a pipe that was asked for is missing")
    printed = {process.stdout: bytearray(), process.stderr: bytearray()}
    rest = memoryview(given)
    os.set_blocking(process.stdin.fileno(), False)
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdin, selectors.EVENT_WRITE)
        for stream in printed:
            selector.register(stream, selectors.EVENT_READ)
        while selector.get_map():
            ready = selector.select(max(0.0, deadline - time.monotonic()))
            if not ready:
                raise subprocess.TimeoutExpired(process.args, 0.0)
            for key, _mask in ready:
                if key.fileobj is process.stdin:
                    try:
                        rest = rest[os.write(key.fd, rest) :]
                    except BrokenPipeError:
                        rest = rest[len(rest) :]
                    if not rest:
                        selector.unregister(process.stdin)
                        process.stdin.close()
                    continue
                part = os.read(key.fd, 65536)
                if not part:
                    selector.unregister(key.fileobj)
                printed[key.fileobj] += part  # type: ignore[index]
                if sum(map(len, printed.values())) > MAX_BYTES:
                    raise OverflowError
    process.wait(max(0.0, deadline - time.monotonic()))
    return bytes(printed[process.stdout]), bytes(printed[process.stderr])
