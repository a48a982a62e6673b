# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""``os-collect-config``: collect from all sources, keep what was collected, run a command when something changed."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any, Callable, NoReturn

from . import heat_sources, metadata, options, sources
from .errors import NodeError
from .options import Settings
from .sources import NotConfigured, Source, Unavailable
from .store import write_file

LIST = "os_config_files"

_log = logging.getLogger("os-collect-config")


def known_sources(request: sources.Request) -> dict[str, Callable[[Settings], Source]]:
    """Every collector by its name."""
    return {
        "heat_local": sources.heat_local,
        "ec2": sources.ec2,
        "cfn": heat_sources.cfn,
        "heat": heat_sources.heat,
        "request": request,
        "local": sources.local,
        "zaqar": heat_sources.zaqar,
    }


def check_names(collectors: Sequence[str]) -> None:
    """Raise NodeError when there is no collector of such a name."""
    unknown = sorted(set(collectors) - set(options.COLLECTORS))
    if unknown:
        raise NodeError(f"Unknown collectors {unknown}. Valid collectors are: {list(options.COLLECTORS)}")


class Cache:
    """The folder of what was collected: ``K.json`` now, ``K.json.orig`` the first, ``K.json.last`` processed last."""

    def __init__(self, folder: str) -> None:
        self.folder = folder

    def path(self, name: str) -> str:
        """Where a document lies. Raises NodeError for a name that would lie elsewhere."""
        if "/" in name or "\0" in name:
            raise NodeError(f"the name {name!r} of a source cannot be a file name")
        return os.path.join(self.folder, f"{name}.json")

    def store(self, name: str, content: Any) -> bool:
        """Store a document; whether it differs, by type too, from the one that was processed last."""
        if name == LIST:
            raise NodeError(f"the name {name!r} of a source is that of the list of documents")
        if not os.path.exists(self.folder):
            os.mkdir(self.folder)
        path = self.path(name)
        text = json.dumps(content, indent=1).encode()
        first = not os.path.exists(f"{path}.orig")
        if first:
            write_file(f"{path}.orig", text)
        write_file(path, text)
        return first or not self._same(f"{path}.last", content)

    def store_list(self, names: Sequence[str]) -> None:
        """Store the list of the documents' files."""
        write_file(self.path(LIST), json.dumps([self.path(name) for name in names]).encode())

    def commit(self, name: str) -> None:
        """Remember a document as processed."""
        if os.path.exists(self.path(name)):
            with open(self.path(name), "rb") as stream:
                write_file(f"{self.path(name)}.last", stream.read())

    def back_up(self, folder: str) -> None:
        """Replace folder by a copy of the cache."""
        if os.path.exists(folder):
            shutil.rmtree(folder)
        shutil.copytree(self.folder, folder)

    def _same(self, path: str, content: Any) -> bool:
        try:
            with open(path, "rb") as stream:
                return metadata.canonical(json.loads(stream.read())) == metadata.canonical(content)
        except FileNotFoundError:
            return False
        except ValueError:
            _log.warning("%s is not valid JSON; its source counts as changed", path)
            return False


class Collector:
    """One process of os-collect-config."""

    def __init__(self, settings: Settings, environment: Mapping[str, str]) -> None:
        self.settings = settings
        self.environment = environment
        self.cache = Cache(settings["cachedir"])
        self.sources = known_sources(sources.Request())
        self._busy = False
        self._hung_up = False

    def main(self) -> int:
        """Collect until there is nothing more to do; the exit status."""
        settings = self.settings
        if settings["print_cachedir"]:
            sys.stdout.write(f"{settings['cachedir']}\n")
            return 0
        check_names(settings["collectors"])
        once = settings["one_time"] or settings["force"]
        if not once and settings["splay"] > 0:
            time.sleep(random.randrange(0, max(1, int(settings["splay"]))))
        if not settings["command"] or settings["print_only"]:
            content = {name: content for found in self._collected() for name, content in found}
            sys.stdout.write(json.dumps(content, indent=1) + "\n")
            return 0
        if once:
            return self._pass()[1]
        signal.signal(signal.SIGHUP, self._hang_up)
        self._follow()

    def _collected(self) -> list[Source]:
        found = []
        for name in self.settings["collectors"]:
            try:
                found.append(self.sources[name](self.settings))
            except NotConfigured:
                _log.debug("Source [%s] Not configured.", name)
            except Unavailable:
                _log.warning("Source [%s] Unavailable.", name)
        return found

    def _pass(self) -> tuple[bool, int]:
        """Collect once and run the command when it is due; whether changes were processed, and the exit status."""
        paths = []
        names = []
        changed = set()
        for name, content in [entry for found in self._collected() for entry in found]:
            if self.cache.store(name, content):
                changed.add(name)
            names.append(name)
            paths.append(self.cache.path(name))
        if changed:
            self.cache.store_list(names)
            self.cache.back_up(self.settings["backup_cachedir"])
        elif not self.settings["force"]:
            _log.debug("No changes detected.")
            return False, 0
        status = self._call(paths)
        if status == 0:
            for name in changed:
                self.cache.commit(name)
        return bool(changed) and status == 0, status

    def _call(self, paths: Sequence[str]) -> int:
        command = self.settings["command"]
        listed = ":".join(paths)
        _log.info("Executing %s with OS_CONFIG_FILES=%s", command, listed)
        sys.stdout.flush()
        self._busy = True
        done = subprocess.run(
            ["/bin/sh", "-c", command], env={**self.environment, "OS_CONFIG_FILES": listed}, check=False
        )
        self._busy = False
        if done.returncode:
            cause = subprocess.CalledProcessError(done.returncode, command)
            _log.error("Command failed, will not cache new data. %s", cause)
        return done.returncode

    def _follow(self) -> NoReturn:
        known = self._settings_digest()
        interval = self.settings["min_polling_interval"]
        while True:
            processed, _status = self._pass()
            if self._hung_up or self._settings_digest() != known:
                _execute_again()
            if processed:
                interval = self.settings["min_polling_interval"]
            _log.info("Sleeping %.2f seconds.", interval)
            time.sleep(interval)
            interval = min(interval * 2, self.settings["polling_interval"])

    def _hang_up(self, *_signal: object) -> None:
        # While the command runs, it and what it changed come to their end first.
        self._hung_up = True
        if not self._busy:
            _execute_again()

    def _settings_digest(self) -> str:
        digest = hashlib.sha256()
        for path in self.settings.files:
            try:
                with open(path, "rb") as stream:
                    digest.update(stream.read())
            except OSError:
                continue
        return digest.hexdigest()


def _execute_again() -> NoReturn:
    _log.info("Starting anew with the settings that hold now.")
    sys.stdout.flush()
    os.execv(sys.executable, getattr(sys, "orig_argv", [sys.executable, *sys.argv]))
