# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The folder that one node fetches from: built beside, then renamed into place whole."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any, Union

from .._boot.arguments import kernel_arguments
from .._boot.documents import deploy_document
from .._boot.ipxe import boot_script, disk_script
from .._boot.model import BootServer, ServerBoot
from .._image.store import ImageStore, StoredImage
from .._run.serve import passage
from .errors import ProvisionError

GO = "go"
# The node fetches from its folder at these stages: it is not touched then.
IN_USE = ("pxe", "ramdisk", "writing")


@dataclass(frozen=True)
class Link:
    """A file of the image store, served as a hard link where it can be."""

    source: str


Content = Union[bytes, Link]


class Laid(str, Enum):
    """What was done with a node's folder."""

    MADE = "laid out"
    REPLACED = "laid out anew"
    KEPT = "unchanged"
    IN_USE = "in use"

    @property
    def changed(self) -> bool:
        """Whether files were, or would be, written."""
        return self in (Laid.MADE, Laid.REPLACED)


def proven(store: ImageStore, image: StoredImage) -> StoredImage:
    """The image, after every stored byte of it was hashed; ImageError when one was changed."""
    store.verify(image)
    return image


def planned_image(store: ImageStore, entry: Mapping[str, Any]) -> StoredImage:
    """The build that the plan names; ProvisionError when the store has another one under its id."""
    image = store.build(str(entry["image"]), str(entry["build_id"]))
    if image.manifest_sha256 != entry["manifest_sha256"]:
        raise ProvisionError(
            f"the manifest of build {image.build_id} is not the one that was planned",
            operation=f"image {image.name}",
            next_step="Run the playbook tripleo.cloud.prepare, then look at the preview of tripleo.cloud.deploy.",
        )
    return image


def boot_files(
    server: ServerBoot, boot: BootServer, image: StoredImage, ramdisk: StoredImage, arguments: list[str]
) -> dict[str, Content]:
    """The files of a node that is to be written."""
    with open(os.path.join(image.directory, "manifest.json"), "rb") as stream:
        manifest = stream.read()
    if hashlib.sha256(manifest).hexdigest() != server.manifest_sha256:
        raise ProvisionError("its manifest changed just now", operation=f"image {image.name}")
    line = kernel_arguments(server, boot, arguments)
    return {
        "boot.ipxe": boot_script(boot.url(server.path), line).encode(),
        "deploy.json": json.dumps(deploy_document(server, boot), sort_keys=True, indent=1).encode(),
        "manifest.json": manifest,
        "disk.zst": Link(image.path("stored")),
        "kernel": Link(ramdisk.path("kernel")),
        "ramdisk": Link(ramdisk.path("ramdisk")),
    }


def disk_files() -> dict[str, Content]:
    """The files of a node that has its image: go on to the disk, and the ramdisk's word to restart."""
    return {"boot.ipxe": disk_script().encode(), GO: b"go\n"}


def switched(folder: str) -> bool:
    """Whether the keeper has sent this node on to its disk."""
    return os.path.exists(os.path.join(folder, GO))


def lay_out(folder: str, files: Mapping[str, Content], *, stage: str, check: bool) -> Laid:
    """Bring a node's folder to hold exactly these files.

    A folder that the keeper has switched, or that a node is reading from, stays as it is: else a second write could
    begin under the same plan.
    """
    if os.path.isdir(folder):
        if switched(folder) or same(folder, files):
            return Laid.KEPT
        if stage in IN_USE:
            return Laid.IN_USE
        done = Laid.REPLACED
    else:
        done = Laid.MADE
    if not check:
        _build(folder, files)
    return done


def same(folder: str, files: Mapping[str, Content]) -> bool:
    """Whether the folder holds exactly these files."""
    if set(os.listdir(folder)) != set(files):
        return False
    for name, content in files.items():
        path = os.path.join(folder, name)
        if isinstance(content, Link):
            if not os.path.samefile(path, content.source) and not _same_bytes(path, content.source):
                return False
        else:
            with open(path, "rb") as stream:
                if stream.read() != content:
                    return False
    return True


def _same_bytes(one: str, other: str) -> bool:
    if os.path.getsize(one) != os.path.getsize(other):
        return False
    with open(one, "rb") as first, open(other, "rb") as second:
        while True:
            block = first.read(1 << 20)
            if block != second.read(1 << 20):
                return False
            if not block:
                return True


def _build(folder: str, files: Mapping[str, Content]) -> None:
    parent = os.path.dirname(folder)
    tree = os.path.dirname(parent)
    passage(tree)
    work = tempfile.mkdtemp(prefix=".making-", dir=tree)
    try:
        for name, content in files.items():
            path = os.path.join(work, name)
            if isinstance(content, Link):
                _link(content.source, path)
            else:
                with open(path, "wb") as stream:
                    stream.write(content)
            if not isinstance(content, Link) or not os.path.samefile(path, content.source):
                os.chmod(path, 0o644)
        os.chmod(work, 0o755)
        if os.path.isdir(folder):
            # rename() replaces only an empty folder.
            shutil.rmtree(folder)
        passage(parent)
        os.rename(work, folder)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _link(source: str, path: str) -> None:
    """A hard link where the file system allows it and everybody may read the source, else a copy."""
    if os.stat(source).st_mode & 0o004:
        with contextlib.suppress(OSError):
            os.link(source, path)
            return
    shutil.copyfile(source, path)
