# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Gathers a template with all the files that it names, as the heat client does; vaulted files are decrypted."""

from __future__ import annotations

import os
import posixpath
from collections.abc import Iterator
from typing import Any

import yaml
from ansible.errors import AnsibleActionFail


class Gathered:
    """A template, its environments and every file they name, by paths relative to the template's folder."""

    def __init__(self, loader: Any, template: str, environments: list[str]) -> None:
        self._loader = loader
        self._base = os.path.dirname(os.path.abspath(template))
        self.files: dict[str, str] = {}
        self.template = self._key(template)
        self.environments = [self._key(path) for path in environments]
        for path in [template, *environments]:
            if not os.path.isfile(path):
                raise AnsibleActionFail(f"there is no file {path}")
        for key in self.environments:
            self._add(key, self._registered)
        self._add(self.template, self._named)

    def _key(self, path: str) -> str:
        return os.path.relpath(os.path.abspath(path), self._base).replace(os.sep, "/")

    def _add(self, key: str, names: Any) -> None:
        if key in self.files:
            return
        path = os.path.normpath(os.path.join(self._base, key))
        if not os.path.isfile(path):
            return  # The evaluator names it, with file and line of who asks for it.
        self.files[key] = self._loader.get_text_file_contents(path)
        try:
            content = yaml.safe_load(self.files[key])
        except yaml.YAMLError:
            return  # Likewise.
        for name, is_template in names(content):
            other = posixpath.normpath(posixpath.join(posixpath.dirname(key), name))
            self._add(other, self._named if is_template else lambda _content: ())

    @staticmethod
    def _registered(content: Any) -> Iterator[tuple[str, bool]]:
        registry = content.get("resource_registry") if isinstance(content, dict) else None
        for target in (registry or {}).values() if isinstance(registry, dict) else ():
            if isinstance(target, str) and target.endswith((".yaml", ".yml", ".template")):
                yield target, True

    def _named(self, content: Any) -> Iterator[tuple[str, bool]]:
        if isinstance(content, dict):
            for key, value in content.items():
                if key == "get_file" and isinstance(value, str):
                    yield value, False
                elif key == "type" and isinstance(value, str) and value.endswith((".yaml", ".yml", ".template")):
                    yield value, True
                else:
                    yield from self._named(value)
        elif isinstance(content, list):
            for value in content:
                yield from self._named(value)
