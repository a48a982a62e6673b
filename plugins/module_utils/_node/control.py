# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Control files (``<template>.oac``): mode, owner, group and allow_empty of a rendered file.

The format is the part of YAML 1.1 that such files use, a flat mapping of scalars in block or flow style (so JSON
too), so that nodes need no YAML library.
"""

from __future__ import annotations

import grp
import pwd
import re
from dataclasses import dataclass
from typing import Any, Optional

from .errors import NodeError

KEYS = ("mode", "owner", "group", "allow_empty")
_LINE = re.compile(r"""(?:"([^"\\]*)"|'([^']*)'|([A-Za-z_][\w-]*))\s*:(?:\s+(.*))?$""")
_FLOW = re.compile(
    r"""(?:"([^"\\]*)"\s*:|'([^']*)'\s*:|([A-Za-z_][\w-]*)\s*:(?=\s|,|$))\s*"""
    r"""("[^"\\]*"|'(?:[^']|'')*'|[^,{}\[\]"'#]*)\s*(?:,\s*|$)"""
)
_QUOTED = re.compile(r"""(?:"([^"\\]*)"|'((?:[^']|'')*)')\s*(?:#.*)?$""")
_INTEGERS = ((r"[-+]?0[0-7]+", 8), (r"[-+]?(?:0|[1-9]\d*)", 10), (r"[-+]?0x[\da-fA-F]+", 16), (r"[-+]?0b[01]+", 2))
_TRUE = ("yes", "true", "on")
_FALSE = ("no", "false", "off")


@dataclass(frozen=True)
class Control:
    """What a control file asks for; None means: as the file is, or the default."""

    mode: Optional[int] = None
    uid: Optional[int] = None
    gid: Optional[int] = None
    allow_empty: bool = True


def parse_control(text: str, source: str) -> Control:
    """Parse a control file. Raises NodeError that names source and key."""
    values = flat_mapping(text, source)
    for key in values:
        if key not in KEYS:
            raise NodeError(f"{source}: unrecognised file control key '{key}'")
    allow_empty = values.get("allow_empty", True)
    if not isinstance(allow_empty, bool):
        raise NodeError(f"{source}: allow_empty requires Boolean, got: '{allow_empty}'")
    return Control(
        mode=_mode(values["mode"], source) if "mode" in values else None,
        uid=_number("owner", values["owner"], source) if "owner" in values else None,
        gid=_number("group", values["group"], source) if "group" in values else None,
        allow_empty=allow_empty,
    )


def flat_mapping(text: str, source: str) -> dict[str, Any]:
    """Parse the flat mapping that such files are. Raises NodeError that names source and line."""
    lines = [
        (number, line.rstrip())
        for number, line in enumerate(text.splitlines(), 1)
        if line.strip() and not line.lstrip(" ").startswith("#")
    ]
    if lines and lines[0][1] == "---":
        del lines[0]
    if lines and lines[-1][1] == "...":
        del lines[-1]
    joined = " ".join(line.strip() for _number, line in lines)
    if joined == "[]":
        return {}
    if joined.startswith("{"):
        return _flow_mapping(joined, source)
    values: dict[str, Any] = {}
    indent = len(lines[0][1]) - len(lines[0][1].lstrip(" ")) if lines else 0
    for number, line in lines:
        match = _LINE.match(line[indent:]) if not line[:indent].strip(" ") else None
        if not match:
            raise NodeError(f"{source}, line {number}: not `key: value` of a flat mapping")
        key = next(part for part in match.groups()[:3] if part is not None)
        values[key] = _scalar(match.group(4) or "", f"{source}, line {number}")
    return values


def _flow_mapping(text: str, source: str) -> dict[str, Any]:
    """``{key: value, ...}``, JSON too."""
    if not text.endswith("}"):
        raise NodeError(f"{source}: its {{ is not closed")
    values: dict[str, Any] = {}
    inner = text[1:-1].strip()
    place = 0
    while place < len(inner):
        match = _FLOW.match(inner, place)
        if not match:
            raise NodeError(f"{source}: not a flat {{key: value, ...}} from `{inner[place:]}` on")
        key = next(part for part in match.groups()[:3] if part is not None)
        values[key] = _scalar(match.group(4) or "", source)
        place = match.end()
    return values


def _scalar(text: str, source: str) -> Any:
    text = text.strip()
    if text[:1] in ("'", '"'):
        quoted = _QUOTED.match(text)
        if not quoted:
            raise NodeError(f"{source}: a quote is not closed")
        return quoted.group(1) if quoted.group(1) is not None else quoted.group(2).replace("''", "'")
    text = re.sub(r"(?:^|\s)#.*$", "", text).strip()
    if text[:1] in tuple("[{&*!|>%@`"):
        raise NodeError(f"{source}: not a plain value")
    if text.lower() in ("", "~", "null"):
        return None
    if text.lower() in _TRUE + _FALSE and text in (text.lower(), text.upper(), text.capitalize()):
        return text.lower() in _TRUE
    number = re.sub("_", "", text)
    for pattern, base in _INTEGERS:
        if re.fullmatch(pattern, number):
            return int(number, base)
    return text


def _mode(value: Any, source: str) -> Optional[int]:
    """0 counts as not given, as it always did."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise NodeError(f"{source}: mode '{value}' is not numeric")
    if not 0 <= value <= 0o777:
        raise NodeError(f"{source}: mode '{value:#o}' out of range")
    return value or None


def _number(key: str, value: Any, source: str) -> int:
    database = "passwd" if key == "owner" else "group"
    if isinstance(value, bool) or not isinstance(value, (int, str)):
        raise NodeError(f"{source}: {key} '{value}' must be a string or int")
    try:
        if key == "owner":
            return (pwd.getpwuid(value) if isinstance(value, int) else pwd.getpwnam(value)).pw_uid
        return (grp.getgrgid(value) if isinstance(value, int) else grp.getgrnam(value)).gr_gid
    except (KeyError, OverflowError):
        raise NodeError(f"{source}: {key} '{value}' not found in {database} database") from None
