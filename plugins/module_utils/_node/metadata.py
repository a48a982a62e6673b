# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Metadata documents: reading within limits, deep merge, key look-up, digests."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any, Optional

from .errors import NodeError

MAX_BYTES = 64 * 1024 * 1024
MAX_DEPTH = 100
SHOWN_STEPS = 8


def parse(text: bytes, source: str) -> Any:
    """The JSON document in text. Raises NodeError that names source, and the limit when one is passed."""
    if len(text) > MAX_BYTES:
        raise NodeError(f"{source} has {len(text)} bytes; the limit of a document is {MAX_BYTES}")
    try:
        document = json.loads(text.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise NodeError(f"{source} is not UTF-8: {error}") from error
    except RecursionError as error:
        raise NodeError(f"{source} is nested more than {MAX_DEPTH} levels deep") from error
    except ValueError as error:
        raise NodeError(f"{source} is not valid JSON: {error}") from error
    check_depth(document, source)
    return document


def check_depth(document: Any, source: str) -> None:
    """Raise NodeError when containers lie more than MAX_DEPTH levels deep."""
    level = _containers([document])
    for _level in range(MAX_DEPTH):
        if not level:
            return
        children = (part.values() if isinstance(part, dict) else part for part in level)
        level = [child for values in children for child in _containers(values)]
    if level:
        raise NodeError(f"{source} is nested more than {MAX_DEPTH} levels deep below the key {_deep_key(document)}")


def _deep_key(document: Any) -> str:
    """The dotted key that leads to the deepest container; its first steps, which tell where it is."""
    level: list[tuple[Any, tuple[str, ...]]] = [(document, ())]
    steps: tuple[str, ...] = ()
    while level:
        steps = level[0][1]
        level = [
            (child, (*found, str(key))[:SHOWN_STEPS])
            for part, found in level
            for key, child in (part.items() if isinstance(part, dict) else enumerate(part))
            if isinstance(child, (dict, list))
        ]
    return ".".join(steps)


def _containers(values: Iterable[Any]) -> list[Any]:
    return [value for value in values if isinstance(value, (dict, list))]


def read_files(paths: Iterable[Any]) -> list[Any]:
    """The documents of the existing files among paths, in order; what is no path or does not exist is skipped."""
    documents = []
    for path in paths:
        if not isinstance(path, str) or not path:
            continue
        try:
            with open(path, "rb") as stream:
                text = stream.read(MAX_BYTES + 1)
        except FileNotFoundError:
            continue
        except OSError as error:
            raise NodeError(f"{path} cannot be read: {error.strerror}") from error
        documents.append(parse(text, path))
    return documents


def merge(documents: Iterable[Any]) -> dict[str, Any]:
    """Deep merge of dictionaries, later ones win; anything else replaces. What is no dictionary does not count."""
    merged: dict[str, Any] = {}
    for document in documents:
        if document and isinstance(document, dict):
            merged = _merge_two(merged, document)
    return merged


def _merge_two(base: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    result = dict(base)
    for key, value in over.items():
        old = result.get(key)
        result[key] = _merge_two(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
    return result


def subhash(metadata: dict[str, Any], path: Optional[str]) -> dict[str, Any]:
    """The dictionary at a dotted path; an empty path is the whole."""
    found: Any = metadata
    for key in path.split(".") if path else ():
        found = found.get(key) if isinstance(found, dict) else None
        if not isinstance(found, dict):
            raise NodeError(f"key '{path}' does not correspond to a hash in the metadata file")
    return metadata if not path else found


def lookup(metadata: Any, key: str) -> Any:
    """The value at a dotted key; integer steps index lists. None when it is missing or null."""
    found = metadata
    for step in key.split("."):
        if isinstance(found, dict):
            found = found.get(step)
        elif isinstance(found, list):
            try:
                found = found[int(step)]
            except (ValueError, IndexError):
                return None
        else:
            return None
        if found is None:
            return None
    return found


def canonical(value: Any) -> bytes:
    """The one JSON text of a value: sorted keys, no blanks."""
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


def digest(documents: Sequence[Any]) -> str:
    """sha256, in hex, of the canonical JSON of ``[[name, document], ...]``."""
    import hashlib  # not at the top: the first boot does without it

    return hashlib.sha256(canonical(documents)).hexdigest()
