# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The last generations of rendered files: content, mode, owner or absence of each, kept so that they can come back."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Optional

from . import journal, metadata
from .atomic import make_folder, stage, staged_path, sync_folder
from .errors import NodeError
from .files import Attributes, Change, differing, to_state
from .phases import locked
from .store import write_file

KEEP = 5
LOCK_SECONDS = 60.0
_MANIFEST = re.compile(r"(\d+)\.json")


@dataclass(frozen=True)
class Kept:
    """A file as it was: the digest of its content, which lies among the objects, and its attributes."""

    sha256: str
    mode: int
    uid: int
    gid: int


Files = dict[str, Optional[Kept]]


@dataclass(frozen=True)
class Generation:
    """files: each managed path as this generation has it, None when absent. origin: as it was before it was managed.

    good: with these files the node was healthy. time: when it was made, seconds since the epoch.
    """

    number: int
    files: Files
    origin: Files
    good: bool = False
    time: float = 0.0


class Generations:
    """The generations in one folder. Files of mode 0600: contents hold secrets."""

    def __init__(self, folder: str, keep: int = KEEP) -> None:
        self.folder = folder
        self.keep = max(1, keep)
        self._journal = os.path.join(folder, "journal.json")
        self._current = os.path.join(folder, "current.json")

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Keep others out, and bring to its end what a run that was cut off has begun. Raises NodeError."""
        os.makedirs(self.folder, mode=0o700, exist_ok=True)
        with locked(os.path.join(self.folder, "lock"), LOCK_SECONDS):
            journal.finish(self._journal, self._commit)
            yield

    def current(self) -> Optional[Generation]:
        """The generation whose files lie on the disk; None before the first."""
        for number in metadata.read_files([self._current]):
            return self.load(int(number))
        return None

    def newest(self) -> int:
        """Number of the newest; 0 without one."""
        return max(self.numbers(), default=0)

    def good_before(self, number: int) -> Optional[Generation]:
        """The newest good generation before this one."""
        for earlier in reversed(self.numbers()):
            if earlier < number:
                found = self.load(earlier)
                if found and found.good:
                    return found
        return None

    def put(self, survey: Sequence[Change], now: float) -> Generation:
        """Swap the files in as a new generation, kept before the first is touched; nothing to do when none differs."""
        current = self.current()
        wanted: Files = {change.path: self._kept(change.after, change.new) for change in survey}
        changes = differing(survey)
        if current and not changes and current.files == wanted:
            return current
        origin = {
            change.path: current.origin[change.path]
            if current and change.path in current.origin
            else self._kept(change.before, change.old)
            for change in survey
        }
        self._keep([content for change in survey for content in (change.after, change.before) if content is not None])
        made = Generation(self.newest() + 1, wanted, origin, time=now)
        self._save(made)
        journal.swap(changes, self._journal, made.number, self._commit)
        self._prune()
        return made

    def mark_good(self, generation: Generation) -> None:
        """Remember that the node was healthy with it."""
        self._mark(generation, True)
        self._prune()

    def way_back(self, current: Generation, target: Generation) -> list[Change]:
        """What brings the files of target back. Raises NodeError when a content is gone."""
        wanted = {path: current.origin.get(path) for path in current.files}
        wanted.update(target.files)
        return differing([self._to_state(path, kept) for path, kept in wanted.items()])

    def go_back(self, changes: Sequence[Change], target: Generation) -> None:
        """Swap them in; target is the current generation then, and the newer ones are not good any more."""
        journal.swap(changes, self._journal, target.number, self._commit)
        for number in self.numbers():
            newer = self.load(number) if number > target.number else None
            if newer:
                self._mark(newer, False)

    def drift(self) -> list[Change]:
        """What makes the files what they were when they were applied last; empty when nothing differs."""
        current = self.current()
        if current is None:
            return []
        return differing([self._to_state(path, kept) for path, kept in current.files.items()])

    def _to_state(self, path: str, kept: Optional[Kept]) -> Change:
        if kept is None:
            return to_state(path, None, None)
        return to_state(path, self._object(path, kept), Attributes(kept.mode, kept.uid, kept.gid))

    def _object(self, path: str, kept: Kept) -> bytes:
        try:
            with open(self._object_path(kept.sha256), "rb") as stream:
                content = stream.read()
        except OSError as error:
            raise NodeError(f"the kept content of {path} cannot be read: {error.strerror}") from error
        if hashlib.sha256(content).hexdigest() != kept.sha256:
            raise NodeError(f"the kept content of {path} was changed")
        return content

    def _object_path(self, sha256: str) -> str:
        return os.path.join(self.folder, "objects", sha256)

    def _kept(self, content: Optional[bytes], attributes: Optional[Attributes]) -> Optional[Kept]:
        if content is None or attributes is None:
            return None
        return Kept(hashlib.sha256(content).hexdigest(), attributes.mode, attributes.uid, attributes.gid)

    def _keep(self, contents: Sequence[bytes]) -> None:
        folder = os.path.join(self.folder, "objects")
        try:
            make_folder(folder, 0o700)
            for content in contents:
                path = self._object_path(hashlib.sha256(content).hexdigest())
                if not os.path.exists(path):
                    stage(staged_path(path), content, 0o600)
                    os.rename(staged_path(path), path)
            sync_folder(folder)
        except OSError as error:
            raise NodeError(f"the files cannot be kept in {folder}: {error.strerror}") from error

    def numbers(self) -> list[int]:
        """Of the generations that are kept, sorted."""
        try:
            names = os.listdir(self.folder)
        except FileNotFoundError:
            return []
        return sorted(int(match.group(1)) for match in map(_MANIFEST.fullmatch, names) if match)

    def _mark(self, generation: Generation, good: bool) -> None:
        if generation.good != good:
            self._save(replace(generation, good=good))

    def load(self, number: int) -> Optional[Generation]:
        """The generation of this number; None when it is not kept, or its manifest is damaged."""
        try:
            for found in metadata.read_files([self._manifest(number)]):
                files, origin = _files(found["files"]), _files(found["origin"])
                return Generation(number, files, origin, bool(found["good"]), float(found["time"]))
        except (NodeError, AttributeError, KeyError, TypeError, ValueError):
            pass
        return None

    def _save(self, generation: Generation) -> None:
        write_file(self._manifest(generation.number), json.dumps(asdict(generation)).encode())

    def _manifest(self, number: int) -> str:
        return os.path.join(self.folder, f"{number}.json")

    def _commit(self, number: int) -> None:
        write_file(self._current, json.dumps(number).encode())

    def _prune(self) -> None:
        current = self.current()
        numbers = self.numbers()
        kept = {*numbers[-self.keep :]}
        if current:
            good = self.good_before(current.number)
            kept |= {current.number} | ({good.number} if good else set())
        gone = [number for number in numbers if number not in kept]
        if not gone:
            return
        for number in gone:
            os.unlink(self._manifest(number))
        used = {
            one.sha256
            for number in kept
            for found in [self.load(number)]
            if found
            for one in [*found.files.values(), *found.origin.values()]
            if one
        }
        for name in os.listdir(os.path.join(self.folder, "objects")):
            if name not in used:
                os.unlink(self._object_path(name))


def _files(stored: dict[str, Optional[dict[str, Any]]]) -> Files:
    return {path: Kept(**kept) if kept else None for path, kept in stored.items()}
