# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What nodes report, read as what it is: data from outside. Everything is bounded and checked before it is used."""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import re
import stat
from dataclasses import dataclass, field
from typing import Any

from .._errors import TripleoError

LARGEST = 256 * 1024
DEEPEST = 8
MOST_DISKS = 256
LONGEST_TEXT = 256
LONGEST_CAUSE = 2000
STAGES = ("ramdisk", "writing", "written", "failed", "booted")
# What a system that has booted tells of its way to healthy: its stage, and the step that it has not come through.
PLACE = "place"
PLACE_STAGES = ("booted", "configured", "healthy")
PLACE_STEPS = ("network", "metadata", "rendered", "services", "")
FILE_NAME = re.compile(r"([A-Za-z0-9-]{1,64})-([0-9]{1,9})\.json")
HOST_KEY = re.compile(r"ssh-ed25519 [A-Za-z0-9+/]{60,100}={0,2}")
BUILD_ID = re.compile(r"[0-9a-f]{32}")
DISK_TEXTS = ("name", "serial", "wwn", "model", "holds")


class ReportError(TripleoError):
    """A report that is not used; the message says why."""


@dataclass(frozen=True)
class Report:
    """One accepted report.

    boot_id: of the running kernel. number: counts up within one boot. details: the checked rest, by stage:
    ``disks`` (ramdisk), ``percent``, ``bytes``, ``total``, ``rate`` (writing), ``ssh_host_key`` (written),
    ``cause`` (failed), ``build_id`` (booted), ``step`` (place).
    """

    server: str
    stage: str
    boot_id: str
    number: int
    details: dict[str, Any] = field(default_factory=dict)


def load(path: str) -> Any:
    """Parse a report's file: a regular file, not larger than 256 KiB, not deeper than 8 levels."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as stream:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise ReportError("it is not a regular file")
        text = stream.read(LARGEST + 1)
    if len(text) > LARGEST:
        raise ReportError(f"it is larger than {LARGEST} bytes")
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ReportError(f"it is not JSON: {error}") from error
    if _depth(document, DEEPEST + 1) > DEEPEST:
        raise ReportError(f"it is nested deeper than {DEEPEST} levels")
    return document


def check(document: Any, name: str, *, plan: str, server: str, token_sha256: str) -> Report:
    """Accept a document as this server's report under this plan, or raise a ReportError.

    name: the file's, ``<boot id>-<number>.json``.
    """
    matched = FILE_NAME.fullmatch(name)
    if not matched:
        raise ReportError("its name is not <boot id>-<number>.json")
    if not isinstance(document, dict):
        raise ReportError("it is not an object")
    token = document.get("token")
    if not isinstance(token, str) or not hmac.compare_digest(
        hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest(), token_sha256
    ):
        raise ReportError("its token is not the node's")
    for key, expected in (
        ("plan", plan),
        ("server", server),
        ("boot_id", matched.group(1)),
        ("number", int(matched.group(2))),
    ):
        if document.get(key) != expected:
            raise ReportError(f"its {key} is not {expected!r}")
    stage = document.get("stage")
    if "step" in document and stage in PLACE_STAGES:
        stage = PLACE
    elif stage not in STAGES:
        raise ReportError("its stage is unknown")
    return Report(server, stage, matched.group(1), int(matched.group(2)), _DETAILS[stage](document))


def clean(text: Any, longest: int = LONGEST_TEXT) -> str:
    """Printable text of bounded length from anything; nothing in it can steer a terminal or break a line."""
    shown = text if isinstance(text, str) else "" if text is None else str(text)
    return "".join(character if character.isprintable() else " " for character in shown[:longest]).strip()


def _depth(document: Any, left: int) -> int:
    if left <= 0 or not isinstance(document, (dict, list)):
        return 0
    children = document.values() if isinstance(document, dict) else document
    return 1 + max((_depth(child, left - 1) for child in children), default=0)


def _number(value: Any) -> float | int | None:
    usable = isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value < 1 << 63
    return value if usable else None


def _ramdisk(document: dict[str, Any]) -> dict[str, Any]:
    disks = document.get("disks")
    if not isinstance(disks, list) or len(disks) > MOST_DISKS or not all(isinstance(disk, dict) for disk in disks):
        raise ReportError(f"its disks are not a list of at most {MOST_DISKS} objects")
    return {
        "disks": [
            {**{name: clean(disk.get(name)) for name in DISK_TEXTS}, "size": int(_number(disk.get("size")) or 0)}
            for disk in disks
        ]
    }


def _writing(document: dict[str, Any]) -> dict[str, Any]:
    numbers = {name: _number(document.get(name)) for name in ("percent", "bytes", "total", "rate")}
    if numbers["percent"] is not None:
        numbers["percent"] = min(round(float(numbers["percent"]), 1), 100.0)
    return {name: value for name, value in numbers.items() if value is not None}


def _written(document: dict[str, Any]) -> dict[str, Any]:
    key = document.get("ssh_host_key")
    if not isinstance(key, str) or not HOST_KEY.fullmatch(key):
        raise ReportError("its ssh_host_key is not an ed25519 public key")
    return {"ssh_host_key": key}


def _failed(document: dict[str, Any]) -> dict[str, Any]:
    return {"cause": clean(document.get("cause"), LONGEST_CAUSE) or "the node gave no cause"}


def _booted(document: dict[str, Any]) -> dict[str, Any]:
    build_id = document.get("build_id")
    if not isinstance(build_id, str) or not BUILD_ID.fullmatch(build_id):
        raise ReportError("its build_id is not 32 hexadecimal digits")
    return {"build_id": build_id}


def _place(document: dict[str, Any]) -> dict[str, Any]:
    if document["step"] not in PLACE_STEPS:
        raise ReportError("its step is unknown")
    parts = [clean(document[name]) for name in ("step", "detail") if document.get(name)]
    return {"step": ": ".join(parts) + (" failed" if document.get("failed") is True else "")}


_DETAILS = {
    "ramdisk": _ramdisk,
    "writing": _writing,
    "written": _written,
    "failed": _failed,
    "booted": _booted,
    PLACE: _place,
}
