# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Environment files: merged in order, the registry relative to the file that names it."""

from __future__ import annotations

import fnmatch
import posixpath
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from .errors import HeatError
from .source import Map, load

SECTIONS = frozenset(
    {"parameters", "parameter_defaults", "resource_registry", "parameter_merge_strategies", "event_sinks"}
    | {"encrypted_param_names"}
)


@dataclass(frozen=True)
class Environment:
    """All environment files as one.

    registry: type name or alias to a type name or a file's key. places: file and line of each value, by the name of its
    parameter; those of `parameters` count before those of `parameter_defaults`.
    """

    parameters: dict[str, Any] = field(default_factory=dict)
    defaults: dict[str, Any] = field(default_factory=dict)
    registry: dict[str, str] = field(default_factory=dict)
    places: dict[str, str] = field(default_factory=dict)

    def lookup(self, type_name: str) -> str:
        """What a type stands for: the end of its chain of aliases."""
        seen = set()
        while type_name not in seen:
            seen.add(type_name)
            target = self.registry.get(type_name)
            if target is None:
                patterns = [pattern for pattern in self.registry if "*" in pattern]
                target = next((self.registry[p] for p in patterns if fnmatch.fnmatchcase(type_name, p)), None)
            if target is None:
                break
            type_name = target
        return type_name


def merge(names: Iterable[str], files: Mapping[str, str]) -> Environment:
    """Read environment files in order, later ones win; HeatError with every fault of all of them."""
    merged, faults = Environment(), []
    for name in names:
        if name not in files:
            faults.append(f"there is no environment file {name}")
            continue
        try:
            faults += _add(merged, name, load(files[name], name))
        except HeatError as error:
            faults += error.faults
    if faults:
        raise HeatError(faults)
    return merged


def _add(merged: Environment, name: str, content: Any) -> list[str]:
    if content is None:
        return []
    if not isinstance(content, Map):
        return [f"{name}:1: an environment must be a mapping"]
    faults = [f"{content.where(key)}: unknown section {key!r}" for key in content if key not in SECTIONS]
    strategies = content.get("parameter_merge_strategies") or {}
    if not isinstance(strategies, Mapping):
        faults.append(f"{content.where('parameter_merge_strategies')}: parameter_merge_strategies must be a mapping")
        strategies = {}
    for section, target in (("parameter_defaults", merged.defaults), ("parameters", merged.parameters)):
        values = content.get(section) or Map(name)
        if not isinstance(values, Map):
            faults.append(f"{content.where(section)}: {section} must be a mapping")
            continue
        for key, value in values.items():
            if section == "parameters" or key not in merged.parameters:
                merged.places[key] = values.where(key)
            strategy = strategies.get(key, strategies.get("default", "overwrite")) if strategies else "overwrite"
            target[key] = _joined(strategy, target.get(key), value)
    registry = content.get("resource_registry") or Map(name)
    if not isinstance(registry, Map):
        return [*faults, f"{content.where('resource_registry')}: resource_registry must be a mapping"]
    for key, value in registry.items():
        if key == "resources":
            faults.append(f"{registry.where(key)}: overrides by the name of a resource are not supported yet")
        elif not isinstance(value, str):
            faults.append(f"{registry.where(key)}: resource_registry.{key} must be a text")
        else:
            merged.registry[key] = beside(name, value) if is_file(value) else value
    return faults


def _joined(strategy: str, old: Any, new: Any) -> Any:
    if old is None or strategy == "overwrite":
        return new
    if isinstance(old, list) and isinstance(new, list):
        return [*old, *new]
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        deep = strategy == "deep_merge"
        return {**old, **{key: _joined(strategy, old.get(key), value) if deep else value for key, value in new.items()}}
    return new


def is_file(type_name: str) -> bool:
    """A type that names a template file."""
    return type_name.endswith((".yaml", ".yml", ".template"))


def beside(name: str, path: str) -> str:
    """The key of a file that another file names relative to itself."""
    return posixpath.normpath(posixpath.join(posixpath.dirname(name), path))
