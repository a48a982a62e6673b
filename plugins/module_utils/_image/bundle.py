# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a build takes from the control host, in one tar: element folders, the ramdisk's code, the node agent.

Equal contents give equal bytes. Links are followed when it is made; only folders and plain files come out of it.
"""

from __future__ import annotations

import io
import os
import re
import tarfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Optional

from .errors import ImageError

LIMIT = 64 * 1024 * 1024
ELEMENTS = "elements"
CORE = "core/_deploy"  # the ramdisk imports it under this name
NODE_AGENT = "node-agent.pyz"
# The node agent is these programs. The elements of that name elsewhere install the originals.
OWN_ELEMENTS = ("os-apply-config", "os-refresh-config", "os-collect-config")
_SKIPPED = ("__pycache__", ".git")
_NAME_RE = re.compile(r"(?:[^/\0]+/)*[^/\0]+\Z")


@dataclass(frozen=True)
class Bundle:
    """An unpacked bundle: folders of elements (earlier ones win), the ramdisk's code, the agent's zipapp."""

    paths: tuple[str, ...]
    core_dir: str
    node_agent: str


def pack(element_paths: Sequence[str], core_dir: str, node_agent: bytes) -> bytes:
    """The tar's bytes. Only the last folder of elements, the collection's, brings ``OWN_ELEMENTS``.

    Raises ImageError when a folder is missing or all of it is larger than 64 MiB.
    """
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.GNU_FORMAT) as archive:
        for number, path in enumerate(element_paths):
            without = OWN_ELEMENTS if number < len(element_paths) - 1 else ()
            _add_folder(archive, path, f"{ELEMENTS}/{number}", without)
        _add_folder(archive, core_dir, CORE)
        _add(archive, NODE_AGENT, node_agent, executable=True)
    return buffer.getvalue()


def unpack(path: Optional[str], target: str) -> Bundle:
    """Unpack a bundle into an empty folder; raises ImageError when it is not one."""
    if not path:
        raise ImageError(
            "nobody brought the elements",
            operation="unpack elements",
            next_step="call the module as tripleo.cloud.image_build, whose action plugin brings them",
        )
    try:
        with tarfile.open(path, mode="r:") as archive:
            for member in archive:
                parts = member.name.split("/")
                if not member.isfile() or not _NAME_RE.match(member.name) or ".." in parts or member.size > LIMIT:
                    raise ImageError(f"the bundle holds {member.name!r}", operation="unpack elements")
                source = archive.extractfile(member)
                place = os.path.join(target, member.name)
                os.makedirs(os.path.dirname(place), exist_ok=True)
                with open(place, "wb") as stream:
                    stream.write(source.read() if source else b"")
                os.chmod(place, 0o755 if member.mode & 0o111 else 0o644)
    except (OSError, tarfile.TarError) as error:
        raise ImageError(f"{path} is no bundle: {error}", operation="unpack elements") from error
    elements = os.path.join(target, ELEMENTS)
    numbers = sorted((int(name) for name in os.listdir(elements)), key=int) if os.path.isdir(elements) else []
    return Bundle(
        tuple(os.path.join(elements, str(number)) for number in numbers),
        os.path.join(target, CORE),
        os.path.join(target, NODE_AGENT),
    )


def _add_folder(archive: tarfile.TarFile, folder: str, prefix: str, without: Sequence[str] = ()) -> None:
    if not os.path.isdir(folder):
        raise ImageError(f"{folder} is no folder", operation="gather elements")
    for name, path in sorted(_files(folder)):
        if name.split(os.sep)[0] in without:
            continue
        with open(path, "rb") as stream:
            _add(archive, f"{prefix}/{name}", stream.read(LIMIT + 1), executable=os.access(path, os.X_OK))
        if archive.offset > LIMIT:
            raise ImageError(
                f"{folder} and what comes before it are larger than {LIMIT} bytes",
                operation="gather elements",
                next_step="let the elements download large files instead of holding them",
            )


def _files(folder: str) -> Iterator[tuple[str, str]]:
    for parent, folders, files in os.walk(folder, followlinks=True):
        folders[:] = [name for name in folders if name not in _SKIPPED]
        for name in files:
            path = os.path.join(parent, name)
            if os.path.isfile(path) and not name.endswith(".pyc"):
                yield os.path.relpath(path, folder), path


def _add(archive: tarfile.TarFile, name: str, content: bytes, *, executable: bool) -> None:
    entry = tarfile.TarInfo(name)
    entry.size = len(content)
    entry.mode = 0o755 if executable else 0o644
    archive.addfile(entry, io.BytesIO(content))
