# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Commands that look at rendered files before these are swapped in.

A check is the executable ``<template>.check`` beside a template, or a line ``"<glob>": <command>`` of ``checks.yaml``
beside the tree of templates. It finds the staged file in its first argument (in a line: in place of ``{}``), and all
of them below ``$STAGED_ROOT``. Where the files belong to the root file system, it sees them in their own places too: it
runs in a mount namespace in which the staged files cover the old ones, so that ``nginx -t`` tests what would be.
"""

from __future__ import annotations

import contextlib
import fnmatch
import os
import shlex
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from .control import flat_mapping
from .errors import NodeError
from .files import Change
from .phases import run_logged
from .tree import CHECK_SUFFIX, Rendered

CHECK_SECONDS = 60.0
RULES = "checks.yaml"
# Overlays from the outside in, then the check.
_VIEW = (
    'while [ "$1" != -- ]; do mount -t overlay overlay -o "lowerdir=$1,upperdir=$2,workdir=$3" "$1" || exit 125; '
    'shift 3; done; shift; exec "$@"'
)


class Check(NamedTuple):
    """A command that must end with 0. path: the file that it looks at; source: who asks for it."""

    source: str
    path: str
    command: tuple[str, ...]


def wanted_checks(templates: str, output: str, rendered: Sequence[Rendered], changes: Sequence[Change]) -> list[Check]:
    """The checks of the files that change. Raises NodeError for rules that cannot be read."""
    present = sorted(change.path for change in changes if change.after is not None)
    touched = sorted(change.path for change in changes)
    found = []
    for item in rendered:
        path = os.path.join(output, item.path)
        if path in present and os.path.isfile(item.template + CHECK_SUFFIX):
            check = os.path.abspath(item.template + CHECK_SUFFIX)
            found.append(Check(check, path, (check, "{}")))
    for source, pattern, command in _rules(os.path.join(os.path.dirname(os.path.abspath(templates)), RULES)):
        each = "{}" in command
        matching = [
            path for path in (present if each else touched) if fnmatch.fnmatchcase(_inside(path, output), pattern)
        ]
        found += [Check(source, path, tuple(command)) for path in (matching if each else matching[:1])]
    return found


def run_checks(checks: Sequence[Check], changes: Sequence[Change], output: str, environment: Mapping[str, str]) -> None:
    """Run the checks on the staged changes. Raises NodeError with check, file and output of the first that fails."""
    if not checks:
        return
    with _staged(changes, output) as (root, work):
        view = _view(changes, root, work) if os.path.abspath(output) == "/" else []
        for check in checks:
            command = [
                os.path.join(root, _inside(check.path, output).lstrip("/")) if part == "{}" else part
                for part in check.command
            ]
            _run(check, [*view, *command], {**environment, "STAGED_ROOT": root})


def _rules(path: str) -> Iterator[tuple[str, str, list[str]]]:
    try:
        with open(path, encoding="utf-8") as stream:
            rules = flat_mapping(stream.read(), path)
    except FileNotFoundError:
        return
    except (OSError, UnicodeError) as error:
        raise NodeError(f"{path} cannot be read: {error}") from error
    for pattern, command in rules.items():
        try:
            words = shlex.split(command) if isinstance(command, str) else []
        except ValueError as error:
            raise NodeError(f"{path}: the command for '{pattern}' cannot be read: {error}") from error
        if not words:
            raise NodeError(f"{path}: '{pattern}' has no command")
        yield f"{path}, {pattern}", pattern, words


def _inside(path: str, output: str) -> str:
    """The path as it is below the output root, from ``/`` on."""
    return "/" + os.path.relpath(path, output)


@contextlib.contextmanager
def _staged(changes: Sequence[Change], output: str) -> Iterator[tuple[str, str]]:
    """The changed files below a folder of root's own, with the modes of the folders that they cover."""
    try:
        folder = tempfile.mkdtemp(prefix="node-agent-checks-", dir="/run" if os.geteuid() == 0 else None)
    except OSError as error:
        raise NodeError(f"the files cannot be staged: {error}") from error
    try:
        root, work = os.path.join(folder, "root"), os.path.join(folder, "work")
        os.mkdir(work)
        os.mkdir(root)
        for change in changes:
            _stage(change, root, _inside(change.path, output))
        yield root, work
    except OSError as error:
        raise NodeError(f"the files cannot be staged in {folder}: {error.strerror}") from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _stage(change: Change, root: str, inside: str) -> None:
    parts = inside.strip("/").split("/")[:-1]
    folder, real = root, change.path[: len(change.path) - len(inside)] or "/"
    for part in parts:
        folder, real = os.path.join(folder, part), os.path.join(real, part)
        if not os.path.isdir(folder):
            os.mkdir(folder)
            if os.path.isdir(real):
                status = os.stat(real)
                os.chown(folder, status.st_uid, status.st_gid)
                os.chmod(folder, status.st_mode & 0o7777)
    target = os.path.join(folder, os.path.basename(change.path))
    if change.after is None or change.new is None:
        if os.geteuid() == 0:
            os.mknod(target, 0o020000, 0)  # how an overlay says that a file is not there
        return
    descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as stream:
        stream.write(change.after)
        os.fchown(stream.fileno(), change.new.uid, change.new.gid)
        os.fchmod(stream.fileno(), change.new.mode)


def _view(changes: Sequence[Change], root: str, work: str) -> list[str]:
    """The start of a command that sees the staged files in their own places."""
    folders: set[str] = set()
    for change in changes:
        folder = os.path.dirname(change.path)
        while not os.path.isdir(folder):
            folder = os.path.dirname(folder)
        folders.add(folder)
    # Nothing can cover the root of a process that runs already.
    folders.discard("/")
    outer = [one for one in sorted(folders) if not any(one.startswith(f"{other.rstrip('/')}/") for other in folders)]
    mounts = []
    for number, folder in enumerate(outer):
        if "," in folder or ":" in folder:
            raise NodeError(f"the files below {folder} cannot be checked: its name has a comma or a colon")
        own = os.path.join(work, str(number))
        os.mkdir(own)
        mounts += [folder, os.path.join(root, folder.strip("/")), own]
    return ["unshare", "--mount", "--propagation", "private", "/bin/sh", "-c", _VIEW, "sh", *mounts, "--"]


def _run(check: Check, command: Sequence[str], environment: Mapping[str, str]) -> None:
    with tempfile.NamedTemporaryFile() as log:
        status, output = run_logged(command, environment, log.name, time.monotonic() + CHECK_SECONDS)
    if status:
        told = f"{check.path} does not pass its check ({check.source}): status {status}"
        raise NodeError(f"{told}: {output.strip()}")
