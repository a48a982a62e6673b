# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""os-apply-config's dialect of mustache: pystache parses; values print as JSON, nothing is escaped, no partials."""

from __future__ import annotations

import json
import os
import time
from typing import Any, Optional

from .errors import NodeError
from .metadata import MAX_BYTES

try:
    from pystache import parser
except ImportError:
    HAS_PYSTACHE = False
else:
    HAS_PYSTACHE = True

LIMIT_SECONDS = 60.0
LIMIT_VARIABLE = "NODE_AGENT_TEMPLATE_SECONDS"
_STEPS_BETWEEN_CLOCKS = 1024
_MISSING = object()


def to_text(value: Any) -> str:
    """How a value that is no string appears: JSON, and nothing for null."""
    return "" if value is None else json.dumps(value)


def seconds_limit() -> float:
    """Seconds that one template may take. Raises NodeError when the variable that sets it is no number."""
    try:
        return float(os.environ.get(LIMIT_VARIABLE) or LIMIT_SECONDS)
    except ValueError:
        raise NodeError(f"{LIMIT_VARIABLE} is not a number of seconds") from None


def render(template: str, context: dict[str, Any], missing: Optional[list[str]] = None) -> str:
    """Render a template. Raises NodeError for one that cannot be parsed, or that passes a limit of time or size.

    A variable without a value is empty, and its name is added to missing; a section on a missing key is skipped: that
    is how a template asks.
    """
    if not HAS_PYSTACHE:
        raise NodeError("the Python library pystache is needed to render templates")
    rendering = _Rendering(context)
    try:
        rendering.add(parser.parse(template))
    except NodeError:
        raise
    except RecursionError as error:
        raise NodeError("sections are nested too deeply") from error
    except Exception as error:  # pystache raises bare Exceptions and IndexErrors for what it cannot parse
        raise NodeError(str(error)) from error
    if missing is not None:
        missing.extend(rendering.missing)
    return "".join(rendering.parts)


class _Rendering:
    """Walks the parsed tree; names are looked up as pystache's ContextStack does for values that came from JSON."""

    def __init__(self, context: dict[str, Any]) -> None:
        self.stack: list[Any] = [context]
        self.parts: list[str] = []
        self.missing: dict[str, None] = {}
        self.length = 0
        self.steps = 0
        self.seconds = seconds_limit()
        self.deadline = time.monotonic() + self.seconds

    def add(self, parsed: Any) -> None:
        for node in parsed._parse_tree:
            kind = type(node)
            if kind is str:
                self._add_text(node)
            elif kind is parser._EscapeNode or kind is parser._LiteralNode:
                value = self._find(node.key)
                if value is _MISSING:
                    self.missing[node.key] = None
                else:
                    self._add_text(value if isinstance(value, str) else to_text(value))
            elif kind is parser._SectionNode:
                for value in self._section(node.key):
                    self._step()
                    self.stack.append(value)
                    self.add(node.parsed)
                    self.stack.pop()
            elif kind is parser._InvertedNode:
                value = self._find(node.key)
                if value is _MISSING or not value:
                    self.add(node.parsed_section)

    def _add_text(self, text: str) -> None:
        self._step()
        self.length += len(text)
        if self.length > MAX_BYTES:
            raise NodeError(f"what it renders passes the limit of {MAX_BYTES} characters")
        self.parts.append(text)

    def _step(self) -> None:
        self.steps += 1
        if self.steps % _STEPS_BETWEEN_CLOCKS == 0 and time.monotonic() > self.deadline:
            raise NodeError(f"it takes more than the limit of {self.seconds:g} s")

    def _section(self, name: str) -> list[Any]:
        value = self._find(name)
        if value is _MISSING or not value:
            return []
        return value if isinstance(value, list) else [value]

    def _find(self, name: str) -> Any:
        if name == ".":
            return self.stack[-1]
        first, *rest = name.split(".")
        value: Any = _MISSING
        for item in reversed(self.stack):
            if isinstance(item, dict) and first in item:
                value = item[first]
                break
        for key in rest:
            if not isinstance(value, dict) or key not in value:
                return _MISSING
            value = value[key]
        return value
