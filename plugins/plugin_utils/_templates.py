# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Gathers a template with all the files that it names, as the heat client does; vaulted files are decrypted."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible_collections.tripleo.cloud.plugins.module_utils._heat.environment import beside, is_file
from ansible_collections.tripleo.cloud.plugins.module_utils._heat.errors import HeatError
from ansible_collections.tripleo.cloud.plugins.module_utils._heat.source import LARGEST_BYTES, load

COLLECTION = os.fspath(Path(__file__).resolve().parents[2])
Names = Callable[[Any], Iterator[tuple[str, bool]]]


class Gathered:
    """A template, its environments and every file they name, by paths relative to the template's folder.

    Relative paths of template and environments are looked for beside the playbook, then in the current folder, then in
    this collection.
    """

    def __init__(self, loader: Any, template: str, environments: Sequence[str]) -> None:
        self._loader = loader
        path = self._find(template)
        self._base = os.path.dirname(path)
        self.files: dict[str, str] = {}
        self.template = self._key(path)
        self.environments = [self._key(self._find(environment)) for environment in environments]
        for key in self.environments:
            self._add(key, _registered)
        self._add(self.template, _named)

    def _find(self, path: str) -> str:
        expanded = os.path.expanduser(path)
        bases = (self._loader.get_basedir(), os.getcwd(), COLLECTION)
        places = [os.path.normpath(os.path.join(base, expanded)) for base in bases]
        for place in places:
            if os.path.isfile(place):
                return os.path.abspath(place)
        raise AnsibleActionFail(f"there is no file {' or '.join(dict.fromkeys(places))}")

    def _key(self, path: str) -> str:
        return os.path.relpath(path, self._base).replace(os.sep, "/")

    def _add(self, key: str, names: Names | None) -> None:
        if key in self.files:
            return
        path = os.path.normpath(os.path.join(self._base, key))
        if not os.path.isfile(path):
            return  # The evaluator names it, with file and line of who asks for it.
        self.files[key] = self._read(path)
        if names is None:
            return
        try:
            content = load(self.files[key], key)
        except HeatError:
            return  # Likewise.
        for name, is_template in names(content):
            self._add(beside(key, name), _named if is_template else None)

    def _read(self, path: str) -> str:
        if os.path.getsize(path) > LARGEST_BYTES:
            raise AnsibleActionFail(f"{path} is larger than the limit of {LARGEST_BYTES // 1024 // 1024} MiB")
        text: str = self._loader.get_text_file_contents(path)
        try:
            text.encode()  # The loader lets other bytes pass as surrogates.
        except UnicodeEncodeError:
            raise AnsibleActionFail(f"{path} is not text in UTF-8") from None
        return text


def _registered(content: Any) -> Iterator[tuple[str, bool]]:
    """Files that an environment names."""
    registry = content.get("resource_registry") if isinstance(content, dict) else None
    for target in registry.values() if isinstance(registry, dict) else ():
        if isinstance(target, str) and is_file(target):
            yield target, True


def _named(content: Any) -> Iterator[tuple[str, bool]]:
    """Files that a template names, and whether each is a template."""
    if isinstance(content, dict):
        for key, value in content.items():
            if key == "get_file" and isinstance(value, str):
                yield value, False
            elif key == "type" and isinstance(value, str) and is_file(value):
                yield value, True
            else:
                yield from _named(value)
    elif isinstance(content, list):
        for value in content:
            yield from _named(value)
