# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Results and differences for people and playbooks."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, Optional

from .build import Built, Job
from .store import StoredImage

_PROGRESS_RES = (
    re.compile(r"dib-run-parts Running \S*/([a-z-]+\.d/\S+)$"),
    re.compile(r"\| (?:> )?((?:Unpacking|Setting up|Fetched|Get:\d+) \S+)"),
    re.compile(r"^\d\d:\d\d:\d\d \+ ([^:]+):"),
)


def summary(jobs: Sequence[Job], built: Sequence[Built]) -> list[dict[str, Any]]:
    """One entry for each image; without outcomes (check mode) it tells what is in the store now."""
    outcomes = {outcome.job.spec.name: outcome for outcome in built}
    entries = []
    for job in jobs:
        outcome = outcomes.get(job.spec.name)
        image = outcome.image if outcome else job.stored
        entries.append(
            {
                "name": job.spec.name,
                "kind": job.spec.kind,
                "action": job.action,
                "reason": job.reason,
                "inputs": job.inputs.digest,
                "build_id": image.build_id if image else "",
                "manifest_sha256": image.manifest_sha256 if image else "",
                "directory": image.directory if image else "",
                "seconds": outcome.seconds if outcome else 0.0,
            }
        )
    return entries


def difference(jobs: Sequence[Job]) -> list[dict[str, str]]:
    """Ansible's diff: the inputs of each image to build, before and after."""
    return [
        {
            "before_header": f"inputs of {job.spec.name}",
            "after_header": f"inputs of {job.spec.name} ({job.reason})",
            "before": _lines(job.old_parts),
            "after": _lines(job.inputs.parts),
        }
        for job in jobs
        if job.action == "build"
    ]


def described(image: StoredImage, *, verified: Optional[bool]) -> dict[str, Any]:
    """What `image_info` tells of an image; verified is None when nobody asked."""
    manifest = image.manifest
    entry = {
        "name": image.name,
        "kind": image.kind,
        "arch": manifest.get("arch"),
        "build_id": image.build_id,
        "created": manifest.get("created"),
        "elements": manifest.get("elements", []),
        "size": manifest.get("size"),
        "sha256": manifest.get("sha256"),
        "manifest_sha256": image.manifest_sha256,
        "directory": image.directory,
    }
    return entry if verified is None else {**entry, "verified": verified}


def _lines(parts: Optional[Mapping[str, Any]]) -> str:
    return "".join(f"{name}: {json.dumps(value, sort_keys=True)}\n" for name, value in sorted((parts or {}).items()))


def progress(text: str) -> str:
    """What the end of a build's log says of its step, empty when it says nothing."""
    for line in reversed(text.splitlines()):
        for pattern in _PROGRESS_RES:
            match = pattern.search(line)
            if match:
                return match[1]
    return ""
