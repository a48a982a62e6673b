# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A template tree, which mirrors the root file system, rendered whole into memory."""

from __future__ import annotations

import json
import os
import stat
from dataclasses import dataclass
from typing import Any

from .control import Control, parse_control
from .errors import NodeError
from .metadata import MAX_BYTES
from .mustache import render, seconds_limit

CONTROL_SUFFIX = ".oac"
CHECK_SUFFIX = ".check"


@dataclass(frozen=True)
class Rendered:
    """One file as it should be. ``path`` is relative to the output root, ``template`` is the file it came from.

    missing: variables of the template without a value.
    """

    path: str
    template: str
    body: bytes
    control: Control
    missing: tuple[str, ...] = ()


def template_paths(root: str) -> list[str]:
    """Relative paths of all templates below root, sorted. Symlinked directories are not entered."""
    if not os.path.isdir(root):
        return []
    found = []
    for folder, _folders, names in os.walk(root, onerror=_unreadable):
        beside = {name + CHECK_SUFFIX for name in names}
        found += [
            os.path.relpath(os.path.join(folder, name), root)
            for name in names
            if not name.endswith(CONTROL_SUFFIX) and name not in beside
        ]
    return sorted(found)


def render_tree(root: str, context: dict[str, Any], strict: bool = False, confined: bool = False) -> list[Rendered]:
    """Render every template below root. Raises NodeError that names the template; nothing is written.

    strict: variables without a value are an error, which names them all. confined: so is a template, control file or
    check that is a link to a file outside of root.
    """
    inside = os.path.join(os.path.realpath(root), "")
    rendered = []
    for path in template_paths(root):
        template = os.path.join(root, path)
        for file in [template, template + CONTROL_SUFFIX, template + CHECK_SUFFIX] if confined else []:
            if os.path.lexists(file) and not os.path.realpath(file).startswith(inside):
                raise NodeError(f"template {file} leads out of {root}")
        rendered.append(_render_one(template, path, context))
    if strict and any(item.missing for item in rendered):
        raise NodeError(
            "; ".join(
                f"key '{key}' from template '{item.template}' does not exist in the metadata"
                for item in rendered
                for key in item.missing
            )
        )
    return rendered


def _render_one(template: str, path: str, context: dict[str, Any]) -> Rendered:
    control = Control()
    missing: list[str] = []
    try:
        if not stat.S_ISREG(os.stat(template).st_mode):
            raise NodeError(f"template {template} is not a regular file")
        if os.access(template, os.X_OK):
            body = _run(template, context)
        else:
            body = render(_text(_read(template)), context, missing).encode("utf-8")
        if os.path.isfile(template + CONTROL_SUFFIX):
            control = _control(template + CONTROL_SUFFIX)
    except UnicodeError as error:
        raise NodeError(f"template {template} could not be rendered: {error}") from error
    except OSError as error:
        raise NodeError(f"template {template} cannot be read: {error.strerror}") from error
    except NodeError as error:
        if template in str(error):
            raise
        raise NodeError(f"template {template} could not be rendered: {error}") from error
    return Rendered(path, template, body, control, tuple(missing))


def _control(path: str) -> Control:
    try:
        return parse_control(_read(path).decode("utf-8"), path)
    except UnicodeDecodeError as error:
        raise NodeError(f"{path} is not UTF-8: {error}") from error


def _unreadable(error: OSError) -> None:
    raise NodeError(f"template folder {error.filename} cannot be read: {error.strerror}")


def _read(path: str) -> bytes:
    with open(path, "rb") as stream:
        content = stream.read(MAX_BYTES + 1)
    if len(content) > MAX_BYTES:
        raise NodeError(f"{path} is larger than the limit of {MAX_BYTES} bytes")
    return content


def _text(content: bytes) -> str:
    return content.decode("utf-8").replace("\r\n", "\n").replace("\r", "\n")


def _run(template: str, context: dict[str, Any]) -> bytes:
    """An executable template gets the context as JSON on standard input; its output is the body."""
    from . import executable  # not at the top: a start of the agent that runs nothing does without it

    output = executable.run(template, json.dumps(context).encode(), seconds_limit())
    output.decode("utf-8")
    return output
