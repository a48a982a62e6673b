# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Builds the node agent: one zipapp of ``agent/``, the room ``_node`` and pystache. Equal inputs give equal bytes."""

from __future__ import annotations

import hashlib
import os
import zipfile
from collections.abc import Iterator
from importlib.util import find_spec
from typing import Optional

from ._errors import TripleoError

SHEBANG = b"#!/usr/bin/env python3\n"
LEFT_OUT = {"build.py"}


def build_zipapp(destination: str, collection_root: Optional[str] = None) -> None:
    """Write the zipapp to destination, executable.

    collection_root is the collection's folder (the one with ``agent/``); by default the one that this file lies in.
    Raises TripleoError when pystache or ``agent/`` is missing.
    """
    root = collection_root or os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    entries = dict(agent_entries(root))
    build = hashlib.sha256(repr(sorted(entries.items())).encode()).hexdigest()
    entries["_node/build_id.py"] = f'DIGEST = "{build}"\n'.encode()
    os.makedirs(os.path.dirname(os.path.abspath(destination)), exist_ok=True)
    staged = f"{destination}.{os.getpid()}.new"
    with open(staged, "wb") as stream:
        stream.write(SHEBANG)
        with zipfile.ZipFile(stream, "w", zipfile.ZIP_STORED) as archive:
            for name in sorted(entries):
                entry = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
                entry.external_attr = 0o644 << 16
                archive.writestr(entry, entries[name])
    os.chmod(staged, 0o755)
    os.replace(staged, destination)


def agent_entries(root: str) -> Iterator[tuple[str, bytes]]:
    """Name and content of each file of the zipapp."""
    agent = os.path.join(root, "agent")
    if not os.path.isfile(os.path.join(agent, "__main__.py")):
        raise TripleoError(f"{agent} holds no node agent", operation="build the node agent")
    for name in os.listdir(agent):
        if name.endswith(".py") and name not in LEFT_OUT:
            yield name, _read(os.path.join(agent, name))
    room = os.path.join(root, "plugins", "module_utils", "_node")
    for name in os.listdir(room):
        if name.endswith(".py"):
            yield f"_node/{name}", _read(os.path.join(room, name))
    yield "_node/__init__.py", b""
    found = find_spec("pystache")
    if found is None or not found.submodule_search_locations:
        raise TripleoError(
            "the Python library pystache is missing", operation="build the node agent", next_step="Run prepare"
        )
    library, *_others = found.submodule_search_locations
    for name in os.listdir(library):
        if name.endswith(".py"):
            yield f"pystache/{name}", _read(os.path.join(library, name))


def _read(path: str) -> bytes:
    with open(path, "rb") as stream:
        return stream.read()
