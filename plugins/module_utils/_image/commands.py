# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run a program with its output in a log; the program and all that it started ends with us."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Mapping, Sequence
from typing import IO, Any, Callable, Optional

from .errors import ImageError

# (argument vector, **options) -> nothing; raises ImageError.
Run = Callable[..., None]

_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_PASSED_ON = ("http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY")
_TAIL_LINES = 20
# What diskimage-builder says while it cleans up after a failure.
_NOISE = ("| Unmount ", "block_device.blockdevice [-]", "dib-run-parts --------", "PROFILING")


def environment(extra: Optional[Mapping[str, str]] = None, path_first: str = "") -> dict[str, str]:
    """A small environment: system folders in PATH, proxies of the caller, and what is given."""
    values = {"PATH": f"{path_first}:{_PATH}" if path_first else _PATH, "LC_ALL": "C.UTF-8", "HOME": "/root"}
    values.update({name: os.environ[name] for name in _PASSED_ON if name in os.environ})
    values.update(extra or {})
    return values


def runner(image: str, log: IO[str]) -> Run:
    """A function that runs programs for one image and writes their output to its log.

    It takes the argument vector and optionally ``cwd``, ``env``, ``input`` (text) and ``step`` (for the error).
    """

    def run(arguments: Sequence[str], *, step: str = "", **options: Any) -> None:
        note(log, step or arguments[0], " ".join(arguments))
        options.setdefault("env", environment())
        if "input" not in options:
            options["stdin"] = subprocess.DEVNULL
        try:
            status = subprocess.run(
                list(arguments), stdout=log, stderr=subprocess.STDOUT, text=True, check=False, **options
            ).returncode
        except OSError as error:
            raise ImageError(
                f"{arguments[0]} cannot be started: {error.strerror}",
                operation=f"image {image}: {step or 'build'}",
                next_step="install the packages that the role deployment_cloud installs",
            ) from error
        if status != 0:
            raise ImageError(
                f"{os.path.basename(arguments[0])} ended with status {status}; the log ends with:\n{tail(log.name)}",
                operation=f"image {image}: {step or 'build'}",
                next_step=f"read {log.name}",
            )

    return run


def note(log: IO[str], step: str, detail: str = "") -> None:
    """Write the start of a step to a log."""
    log.write(f"{time.strftime('%H:%M:%S')} + {step}: {detail}\n")
    log.flush()


def contained(arguments: Sequence[str]) -> list[str]:
    """The vector that runs a program in mount and process namespaces of its own.

    Its mounts are gone and its processes killed when it ends or when the calling thread ends, however that happens.
    """
    return [
        *("setpriv", "--pdeathsig", "KILL", "unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"),
        *arguments,
    ]


def tail(path: str, lines: int = _TAIL_LINES) -> str:
    """The last lines of a log that tell something."""
    with open(path, "rb") as stream:
        stream.seek(0, os.SEEK_END)
        stream.seek(max(0, stream.tell() - 16384))
        found = stream.read().decode(errors="replace").splitlines()
    return "\n".join([line for line in found if not any(noise in line for noise in _NOISE)][-lines:])
