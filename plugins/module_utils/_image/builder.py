# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run diskimage-builder for one image and say which element failed where it does."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Sequence

from .commands import Run, contained, environment, tail
from .elements import Element, owner_of
from .errors import ImageError
from .inputs import ImageSpec

_STARTED_RE = re.compile(r"dib-run-parts Running \S*/(?P<phase>[a-z-]+)\.d/(?P<script>\S+)$")
_COMPLETED_RE = re.compile(r"dib-run-parts (?P<script>\S+) completed$")


def build_tree(
    spec: ImageSpec,
    found: Sequence[Element],
    *,
    paths: Sequence[str],
    work: str,
    cache: str,
    node_agent: str,
    release: str,
    apt_lines: Sequence[str],
    run: Run,
    log_path: str,
) -> str:
    """Run the elements of a disk image; returns the folder below ``work`` that is its root file system.

    cache: folder for what builds share. Raises ImageError that names element, phase and script, with the log's end.
    """
    program = os.path.join(sys.prefix, "bin", "disk-image-create")
    if not os.path.exists(program):
        raise ImageError(
            f"{program} is missing",
            operation=f"image {spec.name}",
            next_step="run the playbook tripleo.cloud.prepare, which makes the Python environment",
        )
    own_cache = os.path.join(cache, "images", spec.name)
    folders = {"TMP_DIR": "tmp", "DIB_LOCKFILES": "lock"}
    variables = {name: os.path.join(work, folder) for name, folder in folders.items()}
    for folder in (*variables.values(), own_cache, os.path.join(cache, "base")):
        os.makedirs(folder, exist_ok=True)
    tree = os.path.join(work, "tree")
    variables.update(
        {
            "TRIPLEO_TREE": tree,
            "USER": "root",
            "PYTHONUNBUFFERED": "1",
            "ARCH": spec.arch,
            "ELEMENTS_PATH": ":".join(paths),
            "DIB_IMAGE_CACHE": own_cache,
            "DIB_DEBIAN_BASE_CACHE": os.path.join(cache, "base"),
            "TRIPLEO_NODE_AGENT": node_agent,
            "DIB_RELEASE": release,
            "DIB_APT_LINES": "\n".join(apt_lines),
            **dict(spec.environment),
        }
    )
    # GNU tar reads no file when it writes to /dev/null; the image is the tree itself.
    output = os.path.join(work, "root")
    os.symlink("/dev/null", f"{output}.tar")
    arguments = [sys.executable, program, "--no-tmpfs", "-t", "tar", "-a", spec.arch, "-o", output]
    if spec.skip_base:
        arguments.append("-n")
    if spec.packages:
        arguments += ["-p", ",".join(spec.packages)]
    try:
        run(
            contained([*arguments, *(name for name in spec.all_elements() if name != "base")]),
            step="elements",
            env=environment(variables, path_first=os.path.join(sys.prefix, "bin")),
        )
    except ImageError:
        fault = explain(spec.name, found, log_path)
        if fault is None:
            raise
        raise fault from None
    return tree


def explain(image: str, found: Sequence[Element], log_path: str) -> ImageError | None:
    """The error for the script that was running when the log of a build ended, None when none was."""
    running = None
    with open(log_path, encoding="utf-8", errors="replace") as stream:
        for line in stream:
            match = _STARTED_RE.search(line.rstrip())
            if match:
                running = match
                continue
            match = _COMPLETED_RE.search(line.rstrip())
            if match and running and match["script"] == running["script"]:
                running = None
    if running is None:
        return None
    element = owner_of(running["phase"], running["script"], found)
    return ImageError(
        f"script {running['script']} failed; the log ends with:\n{tail(log_path)}",
        operation=f"image {image}: element {element or '?'}, phase {running['phase']}",
        next_step=f"read {log_path}",
    )
