# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Mustache as os-apply-config knows it: pystache's parser, JSON coercion, no escaping, no partials."""

from __future__ import annotations

import json
from typing import Any, Optional

from .errors import NodeError

try:
    from pystache.context import ContextStack, KeyNotFoundError
    from pystache.parser import parse
    from pystache.renderengine import RenderEngine
except ImportError:
    HAS_PYSTACHE = False
    RenderEngine = object
else:
    HAS_PYSTACHE = True


def to_text(value: Any) -> str:
    """How a value that is no string appears: JSON, and nothing for null."""
    return "" if value is None else json.dumps(value)


def render(template: str, context: dict[str, Any], missing: Optional[list[str]] = None) -> str:
    """Render a template. Raises NodeError for a template that cannot be parsed.

    A variable without a value is empty, and its name is added to missing; a section on a missing key is skipped: that
    is how a template asks.
    """
    if not HAS_PYSTACHE:
        raise NodeError("the Python library pystache is needed to render templates")
    try:
        parsed = parse(template)
        text: str = parsed.render(_Engine([] if missing is None else missing), ContextStack.create(context))
        return text
    except NodeError:
        raise
    except RecursionError as error:
        raise NodeError("sections are nested too deeply") from error
    except Exception as error:  # pystache raises bare Exceptions and IndexErrors for what it cannot parse
        raise NodeError(str(error)) from error


def _same(text: str) -> str:
    return text


def _resolve(stack: Any, name: str) -> Any:
    try:
        return stack.get(name)
    except KeyNotFoundError:
        return ""


def _no_partial(name: str) -> str:
    return ""


class _Engine(RenderEngine):  # type: ignore[misc]
    def __init__(self, missing: list[str]) -> None:
        super().__init__(
            literal=_same, escape=_same, resolve_context=_resolve, resolve_partial=_no_partial, to_str=to_text
        )
        self.missing = missing

    def fetch_string(self, context: Any, name: str) -> str:
        try:
            value = context.get(name)
        except KeyNotFoundError:
            if name not in self.missing:
                self.missing.append(name)
            return ""
        return value if isinstance(value, str) else to_text(value)
