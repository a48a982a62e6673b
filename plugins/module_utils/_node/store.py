# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The node's copy of its documents, in os-collect-config's cache layout, and what the last run left."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Optional

from . import metadata
from .atomic import replace
from .errors import NodeError
from .paths import Paths

LONGEST_NAME = 200


@dataclass(frozen=True)
class State:
    """What the last run left. ``digest`` is the pushed one, ``content`` that of the files which were stored for it.

    generation: number of the one whose files lie on the disk, 0 for none. rolled_back: it is not that of the digest.
    """

    digest: str = ""
    content: str = ""
    documents: tuple[str, ...] = ()
    stage: str = "booted"
    healthy: bool = False
    step: str = ""
    cause: str = ""
    generation: int = 0
    rolled_back: bool = False


def check_names(documents: Sequence[tuple[str, Any]]) -> None:
    """Raise NodeError for a name that cannot be a file's name in the cache."""
    for name, document in documents:
        if not isinstance(name, str) or not name or len(name) > LONGEST_NAME or name[0] in ".-" or "/" in name:
            raise NodeError(f"document name {name!r} cannot be a file name")
        if any(ord(letter) < 32 for letter in name) or name == "os_config_files":
            raise NodeError(f"document name {name!r} cannot be a file name")
        metadata.check_depth(document, f"document {name}")


def store_documents(paths: Paths, documents: Sequence[tuple[str, Any]]) -> bool:
    """Write the documents that differ, the list of them, and remove the others; return whether anything changed.

    ``.orig`` keeps the first version ever, ``.last`` the last one that went through (``commit_documents``).
    """
    check_names(documents)
    try:
        os.makedirs(paths.cache, mode=0o700, exist_ok=True)
    except OSError as error:
        raise NodeError(f"{paths.cache} cannot be made: {error.strerror}") from error
    wanted = dict(documents)
    changed = False
    for name, document in wanted.items():
        text = metadata.canonical(document)
        changed |= write_file(_file(paths, name), text)
        if not os.path.exists(_file(paths, name) + ".orig"):
            write_file(_file(paths, name) + ".orig", text)
    listed = [_file(paths, name) for name, _document in documents]
    before: list[str] = []
    with contextlib.suppress(NodeError):  # a broken list is replaced
        before = stored_files(paths)
    for path in before:
        # Other files that somebody listed are not the agent's.
        if path not in listed and os.path.dirname(path) == paths.cache:
            changed = True
            for suffix in ("", ".orig"):
                if os.path.exists(path + suffix):
                    os.unlink(path + suffix)
    return write_file(paths.config_files, json.dumps(listed).encode()) or changed


def commit_documents(paths: Paths) -> None:
    """Remember the stored documents as successfully processed."""
    good = [f"{path}.last" for path in stored_files(paths)]
    for path in good:
        with open(path[: -len(".last")], "rb") as stream:
            write_file(path, stream.read())
    for path in last_good_files(paths):
        if path not in good and os.path.exists(path):
            os.unlink(path)
    write_file(paths.good_files, json.dumps(good).encode())


def stored_files(paths: Paths) -> list[str]:
    """The files of the stored documents, in order."""
    return load_list(paths.config_files)


def read_documents(paths: Paths) -> list[Any]:
    """The stored documents, in order. Raises NodeError, also when a file is gone: its keys would be empty."""
    documents = []
    for path in stored_files(paths):
        found = metadata.read_files([path])
        if not found:
            raise NodeError(f"{path} is listed in {paths.config_files} and is not there")
        documents += found
    return documents


def last_good_files(paths: Paths) -> list[str]:
    """Copies of the documents that went through last, in order."""
    return load_list(paths.good_files)


def load_list(path: str) -> list[str]:
    """A JSON list of paths; a missing file is an empty one."""
    for listed in metadata.read_files([path]):
        if not isinstance(listed, list):
            raise NodeError(f"No list defined in json file: {path}")
        return [entry for entry in listed if isinstance(entry, str)]
    return []


def content_digest(paths: Paths) -> str:
    """Digest of the stored documents as they lie there; empty when one cannot be read."""
    try:
        return metadata.digest([stored_files(paths), read_documents(paths)])
    except NodeError:
        return ""


def load_state(paths: Paths) -> State:
    """The state of the last run; an unreadable one counts as none."""
    try:
        found = metadata.read_files([os.path.join(paths.state, "state.json")])
        known = {key: value for key, value in found[0].items() if key in State.__dataclass_fields__}
        return State(**{**known, "documents": tuple(known.get("documents", ()))})
    except (NodeError, IndexError, AttributeError, TypeError):
        return State()


def save_state(paths: Paths, state: State) -> None:
    """Store the state durably."""
    write_file(os.path.join(paths.state, "state.json"), json.dumps(asdict(state), indent=1).encode())


def pending_changes(paths: Paths) -> list[str]:
    """Paths of the files that changed since the phases last went through."""
    return os.fsdecode(_read(paths.changed_files) or b"").splitlines()


def save_pending(paths: Paths, changed: Sequence[str]) -> None:
    """Store them; scripts read this file."""
    write_file(paths.changed_files, os.fsencode("".join(f"{path}\n" for path in changed)), 0o644)


def _file(paths: Paths, name: str) -> str:
    return os.path.join(paths.cache, f"{name}.json")


def write_file(path: str, content: bytes, mode: int = 0o600) -> bool:
    """Replace a file that differs; whether it did. Raises NodeError."""
    if _read(path) == content:
        return False
    try:
        replace(path, content, mode)
    except OSError as error:
        raise NodeError(f"{path} cannot be written: {error.strerror}") from error
    return True


def _read(path: str) -> Optional[bytes]:
    try:
        with open(path, "rb") as stream:
            return stream.read()
    except OSError:
        return None
