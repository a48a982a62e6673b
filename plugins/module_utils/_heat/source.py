# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads YAML with line numbers, within limits, and without the surprises of YAML 1.1."""

from __future__ import annotations

import re
from typing import Any

from .errors import HeatError

try:
    import yaml

    HAS_YAML = True
except ImportError:  # pragma: no cover
    HAS_YAML = False

LARGEST_BYTES = 64 * 1024 * 1024
DEEPEST = 100
MOST_NODES = 5_000_000


class Map(dict):  # type: ignore[type-arg]
    """A mapping that knows the file and the line of each of its keys."""

    def __init__(self, file: str = "", line: int = 0) -> None:
        super().__init__()
        self.file = file
        self.line = line
        self.lines: dict[Any, int] = {}

    def where(self, key: Any = None) -> str:
        """File and line of a key, or of the mapping."""
        return f"{self.file}:{self.lines.get(key, self.line)}"


def load(text: str, name: str) -> Any:
    """The document of a file; HeatError with file and line for all that is wrong with it."""
    if not HAS_YAML:
        raise HeatError(["PyYAML is not installed"])
    if len(text.encode()) > LARGEST_BYTES:
        raise HeatError([f"{name}: is larger than the limit of {LARGEST_BYTES // 1024 // 1024} MiB"])
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise HeatError([f"{name}:{line}: {without_text(error.problem or error.context or 'is no YAML')}"]) from None
    except (yaml.YAMLError, RecursionError) as error:
        raise HeatError([f"{name}: is no YAML: {type(error).__name__}"]) from None
    if root is None:
        return None
    builder = _Builder(name)
    builder.measure(root, 0)
    built = builder.build(root)
    if builder.faults:
        raise HeatError(builder.faults)
    return built


def without_text(problem: str) -> str:
    """PyYAML's words on a fault without what they quote of the document: ``password: !mine`` is a tag to it."""
    return re.sub(r"\b(alias|anchor|handle|tag) ['\"].*", r"\1", problem)


class _Builder:
    def __init__(self, name: str) -> None:
        self.name = name
        self.faults: list[str] = []
        self._sizes: dict[int, int] = {}
        self._constructor = yaml.constructor.SafeConstructor()

    def measure(self, node: Any, depth: int) -> int:
        """Number of nodes after the expansion of aliases; HeatError beyond the limits."""
        line = node.start_mark.line + 1
        if depth > DEEPEST:
            raise HeatError([f"{self.name}:{line}: is nested deeper than the limit of {DEEPEST}, or refers to itself"])
        known = self._sizes.get(id(node))
        if known is not None:
            return known
        size = 1
        if isinstance(node, yaml.MappingNode):
            size += sum(self.measure(part, depth + 1) for pair in node.value for part in pair)
        elif isinstance(node, yaml.SequenceNode):
            size += sum(self.measure(part, depth + 1) for part in node.value)
        if size > MOST_NODES:
            raise HeatError([f"{self.name}:{line}: expands to more than the limit of {MOST_NODES} values"])
        self._sizes[id(node)] = size
        return size

    def build(self, node: Any) -> Any:
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node)
        if isinstance(node, yaml.SequenceNode):
            return [self.build(part) for part in node.value]
        if node.tag == "tag:yaml.org,2002:timestamp":
            return node.value
        try:
            return self._constructor.construct_object(node)
        except (yaml.YAMLError, ValueError) as error:
            problem = getattr(error, "problem", "") or f"its value does not fit the tag {node.tag.rpartition(':')[2]}"
            self.faults.append(f"{self.name}:{node.start_mark.line + 1}: {without_text(problem)}")
            return None

    def _mapping(self, node: Any) -> Map:
        found = Map(self.name, node.start_mark.line + 1)
        for key_node, value_node in node.value:
            line = key_node.start_mark.line + 1
            if not isinstance(key_node, yaml.ScalarNode):
                self.faults.append(f"{self.name}:{line}: a key must be a plain value")
                continue
            key = self.build(key_node)
            if key in found:
                self.faults.append(f"{self.name}:{line}: key {key!r} stands twice, first in line {found.lines[key]}")
            found[key] = self.build(value_node)
            found.lines[key] = line
        return found
