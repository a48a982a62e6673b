# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Many files swapped in as one: a run that is cut off is undone or finished by the next one.

First every new content is written beside its file and flushed. Then the journal says so, durably, and the renames
follow. Before that moment what lies beside the files is thrown away, after it the renames are carried on with.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Sequence
from typing import Any, Callable, Optional

from . import metadata
from .atomic import make_folder, replace, stage, staged_path, sync_folder
from .errors import NodeError
from .files import Change

Commit = Callable[[int], None]


def swap(changes: Sequence[Change], journal: str, generation: int, commit: Commit) -> None:
    """Carry out the changes, then call commit with the number of their generation.

    Raises NodeError: no file is changed, or, after a failed rename, the journal lies there to be finished.
    """
    moves = [(change.path, None if change.new is None else staged_path(change.path)) for change in changes]
    _write(journal, {"swapping": False, "moves": moves, "generation": generation})
    try:
        for change, (path, staged) in zip(changes, moves):
            try:
                if staged is not None and change.new is not None:
                    make_folder(os.path.dirname(path))
                    stage(staged, change.after or b"", change.new.mode, change.new.uid, change.new.gid)
            except OSError as error:
                raise NodeError(f"{path} cannot be written: {error.strerror}") from error
        for folder in sorted({os.path.dirname(path) for path, _staged in moves}):
            sync_folder(folder)
        _write(journal, {"swapping": True, "moves": moves, "generation": generation})
    except BaseException:
        _undo(journal, moves)
        raise
    _carry_on(journal, moves, generation, commit)


def finish(journal: str, commit: Commit) -> bool:
    """Undo or finish what a run that was cut off has begun; whether files were swapped in. Raises NodeError."""
    begun = _read(journal)
    if begun is None:
        return False
    moves = [(str(path), staged) for path, staged in begun["moves"]]
    if not begun["swapping"]:
        _undo(journal, moves)
        return False
    _carry_on(journal, moves, int(begun["generation"]), commit)
    return True


def _carry_on(journal: str, moves: Sequence[tuple[str, Optional[str]]], generation: int, commit: Commit) -> None:
    for path, staged in moves:
        try:
            # What is missing was carried out before the run was cut off.
            with contextlib.suppress(FileNotFoundError):
                if staged is None:
                    os.unlink(path)
                else:
                    os.rename(staged, path)
        except OSError as error:
            raise NodeError(f"{path} cannot be written: {error.strerror}; the next run goes on with it") from error
    for folder in sorted({os.path.dirname(path) for path, _staged in moves}):
        if os.path.isdir(folder):
            sync_folder(folder)
    commit(generation)
    _remove(journal)


def _undo(journal: str, moves: Sequence[tuple[str, Optional[str]]]) -> None:
    left = False
    for _path, staged in moves:
        if staged is not None:
            with contextlib.suppress(OSError):
                os.unlink(staged)
            left |= os.path.lexists(staged)
    if not left:
        _remove(journal)


def _read(journal: str) -> Optional[dict[str, Any]]:
    for found in metadata.read_files([journal]):
        return dict(found)
    return None


def _write(journal: str, content: dict[str, Any]) -> None:
    try:
        replace(journal, json.dumps(content).encode())
    except OSError as error:
        raise NodeError(f"{journal} cannot be written: {error.strerror}") from error


def _remove(journal: str) -> None:
    try:
        os.unlink(journal)
        sync_folder(os.path.dirname(journal))
    except FileNotFoundError:
        pass
    except OSError as error:
        raise NodeError(f"{journal} cannot be removed: {error.strerror}") from error
