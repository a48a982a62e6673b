# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rendered files against the file system: what differs, the swap, and the diff that people see."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Optional

from .atomic import replace, sync_folder
from .errors import NodeError
from .mask import mask
from .tree import Rendered

NEW_FILE_MODE = 0o644


@dataclass(frozen=True)
class Attributes:
    """Mode and owner of a file."""

    mode: int
    uid: int
    gid: int


@dataclass(frozen=True)
class Change:
    """One file, as it is and as it shall be. ``before`` and ``old`` are None when there is none; ``after`` and ``new``
    are None when it goes."""

    path: str
    kind: str  # create, change, attributes, delete, same
    before: Optional[bytes]
    after: Optional[bytes]
    old: Optional[Attributes]
    new: Optional[Attributes]


def survey(rendered: Sequence[Rendered], output: str = "/") -> list[Change]:
    """Every file below the output root, in the order of the templates. Raises NodeError when one cannot be written."""
    return [_survey_one(item, os.path.join(output, item.path)) for item in rendered]


def compare(rendered: Sequence[Rendered], output: str = "/") -> list[Change]:
    """What has to change below the output root, in the order of the templates. Raises NodeError when one cannot be."""
    return differing(survey(rendered, output))


def differing(changes: Sequence[Change]) -> list[Change]:
    """Those that are not the same."""
    return [change for change in changes if change.kind != "same"]


def to_state(path: str, body: Optional[bytes], new: Optional[Attributes]) -> Change:
    """What makes a file this one, or, with None, absent. Raises NodeError when that cannot be."""
    before, old, is_file = _present(path)
    return _change(path, before, old, is_file, body, new)


def _survey_one(item: Rendered, path: str) -> Change:
    before, old, is_file = _present(path)
    if not item.body and not item.control.allow_empty:
        return _change(path, before, old, is_file, None, None)
    new = Attributes(
        # A change of owner takes set-uid and set-gid away; the original changes it always.
        mode=item.control.mode or (old.mode & 0o1777 if old else NEW_FILE_MODE),
        uid=_given(item.control.uid, old.uid if old else os.geteuid()),
        gid=_given(item.control.gid, old.gid if old else os.getegid()),
    )
    return _change(path, before, old, is_file, item.body, new)


def _change(
    path: str,
    before: Optional[bytes],
    old: Optional[Attributes],
    is_file: bool,
    after: Optional[bytes],
    new: Optional[Attributes],
) -> Change:
    if new is None:
        kind = "delete" if old else "same"
    elif old is None:
        kind = "create"
    elif before != after or not is_file:
        kind = "change"
    else:
        kind = "same" if old == new else "attributes"
    return Change(path, kind, before, after, old, new)


def _given(value: Optional[int], default: int) -> int:
    return default if value is None else value


def _present(path: str) -> tuple[Optional[bytes], Optional[Attributes], bool]:
    """Content, attributes, and whether path itself is a regular file; a link counts with what it points to."""
    try:
        status = os.stat(path)
    except FileNotFoundError:
        return None, None, False
    except OSError as error:
        if error.errno == errno.ELOOP:
            return None, None, False
        raise NodeError(f"{path} cannot be written: {error.strerror}") from error
    attributes = Attributes(stat.S_IMODE(status.st_mode), status.st_uid, status.st_gid)
    if stat.S_ISDIR(status.st_mode):
        raise NodeError(f"{path} is in the way: it is a directory")
    if not stat.S_ISREG(status.st_mode):
        return None, attributes, False
    try:
        with open(path, "rb") as stream:
            content = stream.read()
    except OSError as error:
        raise NodeError(f"{path} cannot be read: {error.strerror}") from error
    return content, attributes, not os.path.islink(path)


def write(changes: Sequence[Change]) -> None:
    """Carry out the changes, one file at a time; each file is old or new at every instant, also after a power cut."""
    for change in changes:
        try:
            if change.after is None or change.new is None:
                os.unlink(change.path)
                sync_folder(os.path.dirname(change.path))
            else:
                replace(change.path, change.after, change.new.mode, change.new.uid, change.new.gid)
        except OSError as error:
            raise NodeError(f"{change.path} cannot be written: {error.strerror}") from error


def diff(changes: Sequence[Change], secrets: Optional[Sequence[str]]) -> list[dict[str, str]]:
    """Ansible's diff entries, with every secret masked; where the secrets are not known (None), each whole content."""
    return [
        {
            "before_header": change.path if change.old else "(absent)",
            "after_header": change.path if change.new else "(absent)",
            "before": _describe(change.before, change.old, secrets),
            "after": _describe(change.after, change.new, secrets),
        }
        for change in changes
    ]


def _describe(content: Optional[bytes], attributes: Optional[Attributes], secrets: Optional[Sequence[str]]) -> str:
    if content is None or attributes is None:
        return ""
    head = f"# mode {attributes.mode:04o}, owner {attributes.uid}:{attributes.gid}\n"
    try:
        text = content.decode("utf-8")
        return head + mask(text, [text] if secrets is None and text else secrets or [])
    except UnicodeDecodeError:
        return f"{head}({len(content)} bytes that are not text)\n"
