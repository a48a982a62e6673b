# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an image is made from, and the digest that tells whether a build would make something else.

The mirrors' content is no input: an image is built anew for it only when somebody asks.
"""

from __future__ import annotations

import hashlib
import inspect
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Optional

from . import disk, elements, frames
from .errors import ImageError
from .store import NAME_RE, hash_file

KINDS = ("disk", "ramdisk")
TREE_ONLY = "tree-only"
NODE_AGENT = "node-agent"
MIB = 1024 * 1024
_VARIABLE_RE = re.compile(r"[A-Z][A-Z0-9_]*\Z")
_PACKAGE_RE = re.compile(r"[a-z0-9][a-z0-9.+-]*\Z")
_ARCHES = ("amd64",)


@dataclass(frozen=True)
class ImageSpec:
    """One image that somebody wants.

    size: bytes of the disk, 0 for what the content needs. environment: variables for the elements.
    skip_base: leave out diskimage-builder's element ``base``. modules, kernel_package: of a ramdisk.
    """

    name: str
    kind: str = "disk"
    arch: str = "amd64"
    elements: tuple[str, ...] = ()
    packages: tuple[str, ...] = ()
    size: int = 0
    skip_base: bool = True
    environment: tuple[tuple[str, str], ...] = ()
    kernel_package: str = ""
    modules: tuple[str, ...] = ()

    def all_elements(self) -> tuple[str, ...]:
        """The elements to give to diskimage-builder, and the one that image_build adds."""
        base = () if self.skip_base else ("base",)
        return (*self.elements, *base, TREE_ONLY)


@dataclass(frozen=True)
class Inputs:
    """Every input by name (``element NAME``, ``packages``, ...) and the digest of all."""

    parts: Mapping[str, Any]
    digest: str


def parse_spec(data: Mapping[str, Any]) -> ImageSpec:
    """Check one entry of ``images``; raises ImageError that names the image and the key."""
    name = str(data.get("name"))
    operation = f"image {name}"
    if not NAME_RE.match(name):
        raise ImageError("its name is not of lower case letters, digits and ._-", operation=operation)
    spec = ImageSpec(
        name=name,
        kind=data.get("kind") or "disk",
        arch=data.get("arch") or "amd64",
        elements=tuple(data.get("elements") or ()),
        packages=tuple(data.get("packages") or ()),
        size=int(data.get("size") or 0) * MIB,
        skip_base=data.get("skip_base") is not False,
        environment=tuple(sorted((str(key), str(value)) for key, value in (data.get("environment") or {}).items())),
        kernel_package=data.get("kernel_package") or "",
        modules=tuple(data.get("modules") or ()),
    )
    problems = [
        f"package {package!r} is no package name" for package in spec.packages if not _PACKAGE_RE.match(package)
    ]
    problems += [
        f"environment {key!r} is no variable" for key, _value in spec.environment if not _VARIABLE_RE.match(key)
    ]
    if spec.kind not in KINDS:
        problems.append(f"kind {spec.kind!r} is none of {', '.join(KINDS)}")
    if spec.arch not in _ARCHES:
        problems.append(f"arch {spec.arch!r} is none of {', '.join(_ARCHES)}")
    if spec.kind == "disk" and not spec.elements:
        problems.append("a disk needs elements")
    if spec.kind == "ramdisk" and not (spec.kernel_package and spec.modules):
        problems.append("a ramdisk needs kernel_package and modules")
    if problems:
        raise ImageError("; ".join(problems), operation=operation)
    return spec


def disk_inputs(
    spec: ImageSpec, paths: Sequence[str], *, node_agent: str, release: str, apt_lines: Sequence[str]
) -> tuple[Inputs, tuple[elements.Element, ...]]:
    """The inputs of a disk image, and the elements found for it."""
    found = elements.expand(spec.all_elements(), paths, image=spec.name)
    parts: dict[str, Any] = {f"element {element.name}": elements.tree_digest(element.directory) for element in found}
    if node_agent and any(element.name == NODE_AGENT for element in found):
        parts["node agent"] = hash_file(node_agent)[1]
    parts.update(
        {
            "kind": spec.kind,
            "arch": spec.arch,
            "elements": list(spec.elements),
            "packages": list(spec.packages),
            "size": spec.size,
            "skip_base": spec.skip_base,
            "environment": dict(spec.environment),
            "release": release,
            "apt_lines": list(apt_lines),
            "diskimage-builder": elements.builder_version(),
            "disk format": _source_digest(disk, frames),
        }
    )
    return seal(parts), found


def ramdisk_inputs(spec: ImageSpec, core_dir: str, builder: Any, *, release: str, apt_lines: Sequence[str]) -> Inputs:
    """The inputs of a deploy ramdisk: its kernel and modules, the code inside it, and the code that makes it."""
    return seal(
        {
            "kind": spec.kind,
            "arch": spec.arch,
            "kernel_package": spec.kernel_package,
            "modules": list(spec.modules),
            "core": elements.tree_digest(core_dir),
            "release": release,
            "apt_lines": list(apt_lines),
            "ramdisk format": _source_digest(builder),
        }
    )


def seal(parts: Mapping[str, Any]) -> Inputs:
    """Inputs with their digest: sha256 of the canonical JSON."""
    raw = json.dumps(parts, sort_keys=True, separators=(",", ":")).encode()
    return Inputs(dict(parts), hashlib.sha256(raw).hexdigest())


def changes(old: Optional[Mapping[str, Any]], new: Mapping[str, Any]) -> list[str]:
    """Names of the inputs that differ, sorted; empty when there was nothing before."""
    if old is None:
        return []
    return sorted(name for name in {*old, *new} if old.get(name) != new.get(name))


def _source_digest(*modules: Any) -> str:
    digest = hashlib.sha256()
    for module in modules:
        digest.update(inspect.getsource(module).encode())
    return digest.hexdigest()
