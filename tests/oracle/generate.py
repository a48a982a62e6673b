# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Random metadata and templates, from a seed."""

from __future__ import annotations

import random
from typing import Any

KEYS = ["a", "b", "c", "d", "x-y", "a.b", "0", "", "ü", "deployments"]
NAMES = [
    *KEYS,
    ".",
    "a.b",
    "a.b.c",
    "b.c",
    "c.d.a",
    "a.0",
    "b.-1",
    "a.upper",
    "a.keys",
    "missing",
    "missing.a",
    "x-y.a",
]
TEXTS = [
    "",
    "x",
    "0",
    "false",
    "null",
    "<&\"'>",
    "{{b}}",
    "{{#a}}",
    "two\nlines",
    "üñ€",
    " blank ",
    "a,b",
    "1.50",
    "\t",
    "\\n",
]
NUMBERS = [0, 1, -1, 7, 10**20, 0.0, 1.0, 1.5, -0.0, 1e22, 1e-7, 3.14159]


PLAIN = ["text", " ", "\n", "  \n", "\r\n", "=", "ü", "}", "}}", "%", "\n\n", "\t"]
WILD = [
    "{",
    "{{",
    "}}}",
    "{ {a} }",
    "{{!{{a}}",
    "{{=| |=}}|a||={{ }}=|",
    "{{a",
    "{{#a}}x",
    "{{/a}}",
    "{{#}}",
    "{{/}}",
    "{{=}}",
]
VARIABLES = ["{{%s}}", "{{{%s}}}", "{{&%s}}", "{{ %s }}", "{{& %s }}", "{{{ %s }}}", "  {{%s}}\n"]
BEGINS = ["{{#%s}}", "{{^%s}}", "{{# %s }}", "{{#%s}}\n", "{{^%s}}\n", "  {{#%s}}\n", "{{#%s}} \n"]
ENDS = ["{{/%s}}", "{{/ %s }}", "{{/%s}}\n", "  {{/%s}}  \n"]
OTHERS = ["{{! note }}", "{{! note }}\n", "  {{! two\nlines }}\n", "{{>p}}", "{{> p }}\n", "  {{>p}}\n"]


def value(source: random.Random, depth: int = 0) -> Any:
    """A random JSON value."""
    kind = source.random()
    if depth < 4 and kind < 0.35:
        return {source.choice(KEYS): value(source, depth + 1) for _item in range(source.randrange(5))}
    if depth < 4 and kind < 0.5:
        return [value(source, depth + 1) for _item in range(source.randrange(4))]
    if kind < 0.75:
        return source.choice(TEXTS)
    return source.choice([*NUMBERS, True, False, None])


def document(source: random.Random) -> dict[str, Any]:
    """A random metadata document."""
    return {key: value(source, 1) for key in source.sample(KEYS, source.randrange(3, len(KEYS)))}


def template(source: random.Random, wild: bool = False, depth: int = 0) -> str:
    """A random template. A wild one has what may not be parsed: braces of its own, names that do not match."""
    return "".join(_piece(source, wild, depth) for _number in range(source.randrange(1, 7)))


def _piece(source: random.Random, wild: bool, depth: int) -> str:
    # An empty name makes the parser swallow what follows.
    name = source.choice(NAMES) or ("" if wild else "a")
    kind = source.random()
    if wild and kind < 0.15:
        return source.choice(WILD)
    if kind < 0.25:
        return source.choice(PLAIN)
    if kind < 0.55:
        return source.choice(VARIABLES) % name
    if kind < 0.88 and depth < 4:
        closed = source.choice(NAMES) if wild and source.random() < 0.1 else name
        inner = template(source, wild, depth + 1)
        return source.choice(BEGINS) % name + inner + source.choice(ENDS) % closed
    if kind < 0.97:
        return source.choice(
            ["{{! note }}", "{{! note }}\n", "  {{! two\nlines }}\n", "{{>p}}", "{{> p }}\n", "  {{>p}}\n"]
        )
    return f"{{{{=<% %>=}}}}<%{name}%><%={{{{ }}}}=%>"
