# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The template dialect: each row is a fact that os-apply-config 14.1.0 was seen to hold."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.tripleo.cloud.plugins.module_utils._node.errors import NodeError
from ansible_collections.tripleo.cloud.plugins.module_utils._node.mustache import render

DIALECT = [
    ("{{a}}{{{a}}}{{&a}}", {"a": "<&\"'>"}, "<&\"'><&\"'><&\"'>"),
    ("{{a}}", {"a": True}, "true"),
    ("{{a}}", {"a": 1}, "1"),
    ("{{a}}", {"a": 1.5}, "1.5"),
    ("{{a}}", {"a": 1e22}, "1e+22"),
    ("{{a}}", {"a": 1.0}, "1.0"),
    ("{{a}}|{{b}}|{{a.b.c}}", {"a": None}, "||"),
    ("{{a}}", {"a": {"b": "é"}}, '{"b": "\\u00e9"}'),
    ("{{a}}", {"a": "é"}, "é"),
    ("{{a}}", {"a": [1, "x", None]}, '[1, "x", null]'),
    ("{{a.0}}", {"a": [7, 8]}, ""),
    ("{{a.upper}}{{b.keys}}", {"a": "x", "b": {}}, ""),
    ("{{a.b}}", {"a.b": "x"}, ""),
    ("{{#a}}[{{.}}]{{/a}}", {"a": "text"}, "[text]"),
    ("{{#a}}[{{.}}]{{/a}}", {"a": True}, "[true]"),
    ("{{#a}}x{{/a}}{{^a}}y{{/a}}", {"a": "false"}, "x"),
    ("{{#a}}{{n}}{{o}},{{/a}}", {"a": [{"n": 1}, {"n": 2}], "o": "!"}, "1!,2!,"),
    ("{{#a}}{{#.}}{{.}}{{/.}};{{/a}}", {"a": [[1, 2], [3]]}, "12;3;"),
    ("{{#a}}{{b.c}}{{/a}}", {"a": {"b": {}}, "b": {"c": 1}}, ""),
    ("{{.}}", {"a": 1}, '{"a": 1}'),
    ("{{.}}", {}, "{}"),
    ("{{a}}", {"a": "{{b}}", "b": 1}, "{{b}}"),
    ("{{=<% %>=}}<%a%>{{a}}", {"a": 1}, "1{{a}}"),
    ("[{{>partial}}]", {}, "[]"),
    ("a\n  {{! note }}\nb\n", {}, "a\nb\n"),
    ("a\n  {{! note }} \nb\n", {}, "a\n   \nb\n"),
    ("a\n{{#b}}\nc\n{{/b}}\nd\n", {"b": 1}, "a\nc\nd\n"),
    ("{{#a}}x", {"a": 1}, "x"),
    ("{{a", {"a": 1}, "{{a"),
]


@pytest.mark.parametrize(("template", "context", "expected"), DIALECT)
def test_dialect(template: str, context: dict[str, Any], expected: str) -> None:
    assert render(template, context) == expected


@pytest.mark.parametrize("value", [False, None, "", 0, 0.0, [], {}])
def test_falsy_values_skip_a_section(value: Any) -> None:
    assert render("{{#a}}x{{/a}}{{^a}}y{{/a}}", {"a": value}) == "y"
    assert render("{{#b}}x{{/b}}{{^b}}y{{/b}}", {"a": value}) == "y"


@pytest.mark.parametrize("template", ["{{#a}}..{{/b}}", "{{/b}}", "{{=x=}}{{a}}"])
def test_broken_templates_are_errors(template: str) -> None:
    with pytest.raises(NodeError):
        render(template, {"a": 1})


def test_a_partial_on_the_disk_is_not_read(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "p.mustache").write_text("from the disk")
    monkeypatch.chdir(tmp_path)
    assert render("[{{>p}}]", {}) == "[]"


def test_missing_keys_are_noted_but_sections_may_ask() -> None:
    missing: list[str] = []
    assert (
        render("{{mysql.password}}{{x}}{{x}}{{#b}}x{{/b}}{{^b}}y{{/b}}{{a}}", {"a": None, "mysql": {}}, missing) == "y"
    )
    assert missing == ["mysql.password", "x"]


def test_sections_nested_too_deeply_are_an_error() -> None:
    depth = 3000
    with pytest.raises(NodeError, match="too deeply"):
        render("{{#a}}" * depth + "{{/a}}" * depth, {"a": {"a": 1}})
