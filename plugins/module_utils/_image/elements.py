# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Element trees in diskimage-builder's format: which ones an image takes, and the digest of what they hold."""

from __future__ import annotations

import hashlib
import importlib.metadata
import importlib.util
import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Optional

from .errors import ImageError

ELEMENT_RE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*\Z")
_SKIPPED = ("__pycache__", ".git", "tests")


@dataclass(frozen=True)
class Element:
    """A name and the folder that it was found in."""

    name: str
    directory: str

    def listed(self, file: str) -> list[str]:
        """The names in ``element-deps`` or ``element-provides``."""
        try:
            with open(os.path.join(self.directory, file), encoding="utf-8") as stream:
                return [line.strip() for line in stream if line.strip()]
        except FileNotFoundError:
            return []


def builder_version() -> str:
    """diskimage-builder's version; empty where it is not installed."""
    try:
        return importlib.metadata.version("diskimage-builder")
    except importlib.metadata.PackageNotFoundError:
        return ""


def builder_elements() -> Optional[str]:
    """The folder of diskimage-builder's own elements, None where it is not installed."""
    spec = importlib.util.find_spec("diskimage_builder")
    locations = list(spec.submodule_search_locations or []) if spec else []
    return os.path.join(locations[0], "elements") if locations else None


def expand(names: Sequence[str], paths: Sequence[str], *, image: str) -> tuple[Element, ...]:
    """The elements and all that they depend on, by name.

    paths: folders of elements, earlier ones win; diskimage-builder's own come last. Where it is not installed yet,
    what only it could hold is left out.
    Raises ImageError that names the image, a missing element and who needs it.
    """
    own = builder_elements()
    searched = [*paths, *([own] if own else [])]
    found: dict[str, Element] = {}
    missing: dict[str, str] = {}
    queue = [(name, "the image") for name in names]
    while queue:
        name, wanted_by = queue.pop(0)
        if name in found or name in missing:
            continue
        element = _find(name, searched)
        if element is None:
            missing[name] = wanted_by
            continue
        found[name] = element
        queue.extend((dependency, f"element {name}") for dependency in element.listed("element-deps"))
    provided = {name for element in found.values() for name in element.listed("element-provides")}
    for name, wanted_by in missing.items():
        if own and name not in provided:
            raise ImageError(
                f"{wanted_by} needs element {name!r}, which is in none of {', '.join(searched)}",
                operation=f"image {image}",
                next_step="name the folder that holds it in elements_path",
            )
    if own and "operating-system" not in provided:
        raise ImageError(
            f"none of its elements ({', '.join(names)}) provides an operating system",
            operation=f"image {image}",
            next_step="add debian-base to its elements",
        )
    return tuple(found[name] for name in sorted(found))


def _find(name: str, paths: Iterable[str]) -> Optional[Element]:
    if not ELEMENT_RE.match(name):
        return None
    for path in paths:
        directory = os.path.join(path, name)
        if os.path.isdir(directory):
            return Element(name, directory)
    return None


def tree_digest(directory: str) -> str:
    """sha256 over the names, execute bits, link targets and contents below a folder."""
    digest = hashlib.sha256()
    for parent, folders, files in os.walk(directory):
        folders[:] = sorted(name for name in folders if name not in _SKIPPED)
        entries = [*files, *(name for name in folders if os.path.islink(os.path.join(parent, name)))]
        for name in sorted(entries):
            path = os.path.join(parent, name)
            if os.path.islink(path):
                kind, content = "link", os.readlink(path).encode()
            else:
                kind = "program" if os.stat(path).st_mode & 0o111 else "file"
                with open(path, "rb") as stream:
                    content = stream.read()
            label = f"{os.path.relpath(path, directory)}\0{kind}\0{len(content)}\0"
            digest.update(label.encode())
            digest.update(content)
    return digest.hexdigest()


def owner_of(phase: str, script: str, elements: Iterable[Element]) -> str:
    """Name of the element that holds a script of a phase, empty when none does."""
    for element in elements:
        if os.path.exists(os.path.join(element.directory, f"{phase}.d", script)):
            return element.name
    return ""
