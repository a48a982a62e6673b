# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Decide which images must be built, build them side by side, and put them into the store."""

from __future__ import annotations

import glob
import json
import os
import shutil
import time
import uuid
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import IO, Any, Optional

from . import builder, commands, disk, frames, inputs, ramdisk
from .elements import Element
from .errors import ImageError
from .inputs import ImageSpec, Inputs
from .store import ImageStore, StoredImage, hash_file, stored_files

INPUTS_FILE = "inputs.json"
_KEPT_BASES = 3


@dataclass(frozen=True)
class Settings:
    """What all images of one call share.

    paths: folders of elements, earlier ones win; diskimage-builder's own come last.
    core_dir: folder with the code that runs in the deploy ramdisk. node_agent: the agent's zipapp, empty for none.
    """

    state_dir: str
    paths: tuple[str, ...]
    core_dir: str
    release: str
    apt_lines: tuple[str, ...]
    node_agent: str = ""
    refresh: bool = False

    @property
    def cache(self) -> str:
        """Folder of what builds share."""
        return os.path.join(self.state_dir, "cache")

    def log_path(self, name: str) -> str:
        """The log of an image's latest build."""
        return os.path.join(self.state_dir, "log", f"image-{name}.log")


@dataclass(frozen=True)
class Job:
    """One image: ``action`` is ``build`` or ``keep``; ``changed`` names the inputs that differ from the stored ones."""

    spec: ImageSpec
    inputs: Inputs
    elements: tuple[Element, ...]
    stored: Optional[StoredImage]
    action: str
    reason: str
    changed: tuple[str, ...]
    old_parts: Optional[Mapping[str, Any]]


@dataclass(frozen=True)
class Built:
    """A job's outcome: the image now in the store and the seconds that its build took (0.0 when kept)."""

    job: Job
    image: StoredImage
    seconds: float


def plan_jobs(specs: Sequence[ImageSpec], settings: Settings, store: ImageStore) -> tuple[Job, ...]:
    """What a build would do for each image; reads only."""
    names = [spec.name for spec in specs]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ImageError(f"named more than once: {', '.join(twice)}", operation="images")
    return tuple(_plan(spec, settings, store) for spec in specs)


def _plan(spec: ImageSpec, settings: Settings, store: ImageStore) -> Job:
    found: tuple[Element, ...] = ()
    if spec.kind == "disk":
        wanted, found = inputs.disk_inputs(
            spec,
            settings.paths,
            node_agent=settings.node_agent,
            release=settings.release,
            apt_lines=settings.apt_lines,
        )
    else:
        wanted = inputs.ramdisk_inputs(
            spec, settings.core_dir, ramdisk, release=settings.release, apt_lines=settings.apt_lines
        )
    stored = store.get(spec.name)
    old = _stored_parts(stored)
    changed = tuple(inputs.changes(old, wanted.parts))
    action, reason = "build", ""
    if stored is None:
        reason = "there is no build of it"
    elif stored.manifest.get("inputs") != wanted.digest:
        reason = f"changed: {', '.join(changed) or 'its inputs'}"
    elif not _is_whole(stored):
        reason = "a file of its build is missing or has another size"
    elif settings.refresh:
        reason = "refresh is asked for"
    else:
        action, reason = "keep", "its inputs did not change"
    return Job(spec, wanted, found, stored, action, reason, changed, old)


def build_images(jobs: Sequence[Job], settings: Settings, store: ImageStore) -> tuple[Built, ...]:
    """Build what the jobs say, several at once; good images are stored even when another one fails.

    Raises ImageError for the first image that failed, which also counts the others.
    """
    todo = [job for job in jobs if job.action == "build"]
    done = {job.spec.name: Built(job, job.stored, 0.0) for job in jobs if job.action == "keep" and job.stored}
    if not todo:
        return tuple(done[job.spec.name] for job in jobs)
    if os.geteuid() != 0:
        raise ImageError("only root can build images", operation="build images", next_step="set become to true")
    frames.require_libraries()
    # One by one: the mode is that of the last folder only.
    for folder in (settings.state_dir, os.path.join(settings.state_dir, "log")):
        os.makedirs(folder, mode=0o700, exist_ok=True)
    failed: list[ImageError] = []
    with store.lock():
        if settings.refresh:
            _remove_bases(settings, keep=0)
        # One more than processors: images that wait for the shared base or the network cost none.
        with ThreadPoolExecutor(min(len(todo), (os.cpu_count() or 1) + 1)) as pool:
            futures = [pool.submit(_build, job, settings, store) for job in todo]
        for future in futures:
            error = future.exception()
            if isinstance(error, ImageError):
                failed.append(error)
            else:
                built = future.result()
                done[built.job.spec.name] = built
        _remove_bases(settings, keep=_KEPT_BASES)
    if failed:
        first = failed[0]
        more = f" ({len(failed) - 1} more images failed)" if len(failed) > 1 else ""
        raise ImageError(first.message + more, operation=first.operation, next_step=first.next_step) from first
    return tuple(done[job.spec.name] for job in jobs)


def _build(job: Job, settings: Settings, store: ImageStore) -> Built:
    started = time.monotonic()
    name = job.spec.name
    work = os.path.join(settings.state_dir, "build", name)
    shutil.rmtree(work, ignore_errors=True)
    os.makedirs(work, mode=0o700)
    try:
        with open(settings.log_path(name), "w", encoding="utf-8") as log, store.staging(name) as directory:
            run = commands.runner(name, log)
            make = _make_disk if job.spec.kind == "disk" else _make_ramdisk
            manifest = make(job, settings, work, directory, run, log)
            with open(os.path.join(directory, INPUTS_FILE), "w", encoding="utf-8") as stream:
                json.dump(job.inputs.parts, stream, sort_keys=True)
            image = store.add(directory, manifest)
            log.write(f"build {image.build_id} is in the store after {time.monotonic() - started:.1f} s\n")
    except OSError as error:
        raise ImageError(f"{error}", operation=f"image {name}") from error
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return Built(job, image, round(time.monotonic() - started, 1))


def _common(job: Job, build_id: str) -> dict[str, Any]:
    return {
        "schema": 1,
        "kind": job.spec.kind,
        "name": job.spec.name,
        "build_id": build_id,
        "arch": job.spec.arch,
        "elements": list(job.spec.elements),
        "inputs": job.inputs.digest,
        "created": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }


def _make_disk(
    job: Job, settings: Settings, work: str, directory: str, run: commands.Run, log: IO[str]
) -> dict[str, Any]:
    build_id = uuid.uuid4().hex
    tree = builder.build_tree(
        job.spec,
        job.elements,
        paths=settings.paths,
        work=work,
        cache=settings.cache,
        node_agent=settings.node_agent,
        release=settings.release,
        apt_lines=settings.apt_lines,
        run=run,
        log_path=settings.log_path(job.spec.name),
    )
    raw = disk.assemble(tree, work, image=job.spec.name, build_id=build_id, size=job.spec.size, run=run)
    commands.note(log, "pack")
    packed = frames.pack(raw.path, directory)
    os.unlink(raw.path)  # before the stored file is flushed: some file systems would write it out, too
    return {
        **_common(job, build_id),
        "size": packed.size,
        "sha256": packed.sha256,
        "root_partition": disk.ROOT_PARTITION,
        "stored": packed.stored,
        "chunk_size": frames.CHUNK_SIZE,
        "chunks": packed.chunks,
    }


def _make_ramdisk(
    job: Job, settings: Settings, work: str, directory: str, run: commands.Run, log: IO[str]
) -> dict[str, Any]:
    made = ramdisk.build_ramdisk(
        work,
        kernel_package=job.spec.kernel_package,
        modules=list(job.spec.modules),
        apt_lines=list(settings.apt_lines),
        core_dir=settings.core_dir,
        cache_dir=settings.cache,
        run=run,
    )
    files = {}
    for role in ("kernel", "ramdisk"):
        target = os.path.join(directory, role)
        shutil.copyfile(made[role], target)
        size, digest = hash_file(target)
        files[role] = {"file": role, "size": size, "sha256": digest}
    return {**_common(job, uuid.uuid4().hex), "files": files}


def _stored_parts(image: Optional[StoredImage]) -> Optional[Mapping[str, Any]]:
    if image is None:
        return None
    try:
        with open(os.path.join(image.directory, INPUTS_FILE), encoding="utf-8") as stream:
            parts = json.load(stream)
    except (OSError, ValueError):
        return None
    return parts if isinstance(parts, dict) else None


def _is_whole(image: StoredImage) -> bool:
    for _role, entry in stored_files(image.manifest):
        path = os.path.join(image.directory, entry["file"])
        if not os.path.isfile(path) or os.path.getsize(path) != entry["size"]:
            return False
    return True


def _remove_bases(settings: Settings, *, keep: int) -> None:
    """Remove cached base tars but for the ones used last."""
    bases = glob.glob(os.path.join(glob.escape(settings.cache), "base", "debian-base-*.tar"))
    for path in sorted(bases, key=os.path.getmtime, reverse=True)[keep:]:
        for victim in (path, f"{path}.lock"):
            if os.path.exists(victim):
                os.unlink(victim)
