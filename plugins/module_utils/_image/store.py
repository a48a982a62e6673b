# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The image store: ``<state_dir>/images/<name>/<build_id>/``, each build whole or absent.

A build is filled in a hidden directory, flushed, renamed into place, and only then named by the link ``current``.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import re
import shutil
import stat
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Optional

from .._deploy.errors import DeployError
from .._deploy.manifest import parse
from .errors import ImageError

NAME_RE = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}\Z")
BUILD_ID_RE = re.compile(r"[0-9a-f]{32}\Z")
FILE_RE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}\Z")
MANIFEST_LIMIT = 64 * 1024 * 1024
_STAGING_PREFIX = ".adding-"
_BLOCK = 1024 * 1024


@dataclass(frozen=True)
class StoredImage:
    """One build in the store.

    directory: where its files are.
    manifest: the parsed manifest.json; manifest_sha256: digest of that file's bytes.
    """

    name: str
    build_id: str
    directory: str
    manifest: dict[str, Any]
    manifest_sha256: str

    @property
    def kind(self) -> str:
        """``disk`` or ``ramdisk``."""
        return str(self.manifest["kind"])

    def path(self, role: str) -> str:
        """Absolute path of a file of the image: ``stored`` of a disk, ``kernel`` or ``ramdisk`` of a ramdisk."""
        for key, entry in stored_files(self.manifest):
            if key == role:
                return os.path.join(self.directory, str(entry["file"]))
        raise ImageError(f"it has no file for {role!r}", operation=f"image {self.name}")


class ImageStore:
    """The images below one state directory."""

    def __init__(self, state_dir: str) -> None:
        self.root = os.path.join(state_dir, "images")

    def get(self, name: str) -> Optional[StoredImage]:
        """The current build of an image, None when there is none.

        Raises ImageError when the store holds something that this class did not write.
        """
        link = os.path.join(self.root, _checked_name(name), "current")
        try:
            build_id = os.readlink(link)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise ImageError(f"{link} is not a link: {error}", operation=f"image {name}") from error
        return self.build(name, build_id)

    def build(self, name: str, build_id: str) -> StoredImage:
        """One build by its id."""
        operation = f"image {_checked_name(name)}"
        if not BUILD_ID_RE.match(build_id):
            raise ImageError(f"{build_id!r} is not a build id", operation=operation)
        directory = os.path.join(self.root, name, build_id)
        raw = _read_regular(os.path.join(directory, "manifest.json"), operation)
        try:
            manifest = json.loads(raw)
        except ValueError as error:
            raise ImageError(f"manifest.json of build {build_id} is not JSON: {error}", operation=operation) from error
        if not isinstance(manifest, dict) or manifest.get("name") != name or manifest.get("build_id") != build_id:
            raise ImageError(f"manifest.json of build {build_id} is of another image", operation=operation)
        _check(manifest, raw)
        return StoredImage(name, build_id, directory, manifest, hashlib.sha256(raw).hexdigest())

    def images(self) -> list[StoredImage]:
        """The current build of every image, by name."""
        try:
            names = sorted(os.listdir(self.root))
        except FileNotFoundError:
            return []
        found = [self.get(name) for name in names if NAME_RE.match(name)]
        return [image for image in found if image is not None]

    def verify(self, image: StoredImage) -> None:
        """Hash the stored bytes of a build; raises ImageError that names the image and the file that changed."""
        operation = f"image {image.name}"
        next_step = "build the image anew with refresh set to true"
        for _role, entry in stored_files(image.manifest):
            path = os.path.join(image.directory, entry["file"])
            try:
                size, digest = hash_file(path)
            except OSError as error:
                raise ImageError(
                    f"{path} cannot be read: {error.strerror}", operation=operation, next_step=next_step
                ) from error
            if size != entry["size"] or digest != entry["sha256"]:
                raise ImageError(
                    f"{path} is not what was built: sha256 {digest} of {size} bytes,"
                    f" the manifest says {entry['sha256']} of {entry['size']} bytes",
                    operation=operation,
                    next_step=next_step,
                )

    @contextlib.contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the store against other builders, and remove what killed ones left behind.

        Raises ImageError at once when another process holds it.
        """
        os.makedirs(self.root, mode=0o755, exist_ok=True)
        with open(os.path.join(self.root, ".lock"), "w", encoding="ascii") as stream:
            try:
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise ImageError(
                    f"another run builds images in {self.root}",
                    operation="build images",
                    next_step="wait until it ends, then run this again",
                ) from error
            for entry in os.listdir(self.root):
                if entry.startswith(_STAGING_PREFIX):
                    shutil.rmtree(os.path.join(self.root, entry), ignore_errors=True)
            yield

    @contextlib.contextmanager
    def staging(self, name: str) -> Iterator[str]:
        """A hidden directory on the store's file system to fill; gone afterwards, unless `add` took it."""
        os.makedirs(self.root, mode=0o755, exist_ok=True)
        directory = tempfile.mkdtemp(prefix=f"{_STAGING_PREFIX}{_checked_name(name)}-", dir=self.root)
        try:
            yield directory
        finally:
            shutil.rmtree(directory, ignore_errors=True)

    def add(self, directory: str, manifest: dict[str, Any]) -> StoredImage:
        """Take a filled staging directory into the store and make it the current build.

        directory: holds exactly the files that the manifest names; manifest.json is written here.
        Nothing changes when this raises or the machine stops: readers see the old build or the whole new one.
        """
        name, build_id = _checked_name(str(manifest.get("name"))), str(manifest.get("build_id"))
        operation = f"image {name}"
        if not BUILD_ID_RE.match(build_id):
            raise ImageError(f"{build_id!r} is not a build id", operation=operation)
        for _role, entry in stored_files(manifest):
            path = os.path.join(directory, entry["file"])
            if os.path.getsize(path) != entry["size"]:
                raise ImageError(f"{entry['file']} has another size than its manifest says", operation=operation)
            os.chmod(path, 0o644)
            _flush(path)
        raw = json.dumps(manifest, sort_keys=True, separators=(",", ":")).encode()
        _check(manifest, raw)
        path = os.path.join(directory, "manifest.json")
        with open(path, "wb") as stream:
            stream.write(raw)
        os.chmod(path, 0o644)
        os.chmod(directory, 0o755)
        _flush(path)
        _flush(directory)
        home = os.path.join(self.root, name)
        os.makedirs(home, mode=0o755, exist_ok=True)
        target = os.path.join(home, build_id)
        os.rename(directory, target)
        _flush(home)
        link = os.path.join(home, f".current-{build_id}")
        with contextlib.suppress(FileNotFoundError):
            os.unlink(link)
        os.symlink(build_id, link)
        os.rename(link, os.path.join(home, "current"))
        _flush(home)
        _flush(self.root)
        return StoredImage(name, build_id, target, manifest, hashlib.sha256(raw).hexdigest())


def stored_files(manifest: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    """The files that a manifest names as (role, entry with file, size, sha256); raises ImageError when malformed."""
    operation = f"image {manifest.get('name')}"
    if manifest.get("schema") != 1 or manifest.get("kind") not in ("disk", "ramdisk"):
        raise ImageError("its manifest is of an unknown schema or kind", operation=operation)
    entries: dict[str, Any]
    if manifest["kind"] == "disk":
        entries = {"stored": manifest.get("stored")}
    else:
        entries = manifest.get("files") or {}
        if not isinstance(entries, dict) or not {"kernel", "ramdisk"} <= set(entries):
            raise ImageError("its manifest names no kernel or no ramdisk", operation=operation)
    for entry in entries.values():
        if (
            not isinstance(entry, dict)
            or not FILE_RE.match(str(entry.get("file")))
            or not isinstance(entry.get("size"), int)
            or not re.match(r"[0-9a-f]{64}\Z", str(entry.get("sha256")))
        ):
            raise ImageError("its manifest names a file without a plain name, size and sha256", operation=operation)
    return sorted(entries.items())


def _check(manifest: dict[str, Any], raw: bytes) -> None:
    """Raise ImageError where a manifest is not what the deploy ramdisk would take."""
    stored_files(manifest)
    if manifest["kind"] == "disk":
        try:
            parse(raw)
        except DeployError as error:
            raise ImageError(str(error), operation=f"image {manifest['name']}") from error


def hash_file(path: str) -> tuple[int, str]:
    """(size in bytes, sha256) of a regular file; raises OSError."""
    digest = hashlib.sha256()
    size = 0
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    with os.fdopen(descriptor, "rb", buffering=0) as stream:
        block = stream.read(_BLOCK)
        while block:
            digest.update(block)
            size += len(block)
            block = stream.read(_BLOCK)
    return size, digest.hexdigest()


def _checked_name(name: str) -> str:
    if not NAME_RE.match(name):
        raise ImageError(
            f"{name!r} is no image name",
            operation="image store",
            next_step="use lower case letters, digits, dots, dashes and underscores, at most 63",
        )
    return name


def _read_regular(path: str, operation: str) -> bytes:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    except OSError as error:
        raise ImageError(f"{path} cannot be read: {error.strerror}", operation=operation) from error
    with os.fdopen(descriptor, "rb") as stream:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode) or status.st_size > MANIFEST_LIMIT:
            raise ImageError(f"{path} is not a file of at most {MANIFEST_LIMIT} bytes", operation=operation)
        return stream.read()


def _flush(path: str) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
