# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Answers of openstack-heat 27.0.1 to the same expressions, and what must not break the evaluator."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from ansible_collections.tripleo.cloud.plugins.module_utils._heat.errors import HeatError
from ansible_collections.tripleo.cloud.plugins.module_utils._heat.evaluate import evaluate
from ansible_collections.tripleo.cloud.plugins.module_utils._heat.model import Resource

REFUSED = object()


class Drivers:
    """Servers with an address, and hidden parameters that were given or made."""

    def supports(self, type_name: str) -> bool:
        return type_name == "OS::Nova::Server"

    def constraint(self, name: str, value: Any) -> None:
        pass

    def hidden(self, name: str, value: str | None) -> str:
        return f"%{{secret:{name}#1}}" if value is None else f"%{{given:{name}#0}}"

    def attribute(self, resource: Resource, name: str) -> Any:
        return [{"ip": "192.0.2.5"}]


def answer(expression: str, version: str = "2018-08-31", parameters: Any = None, **given: Any) -> Any:
    template = {
        "heat_template_version": version,
        "parameters": parameters or {},
        "outputs": {"out": {"value": yaml.safe_load(expression)}},
    }
    try:
        return evaluate("t", {"t": yaml.safe_dump(template)}, [], given, Drivers()).outputs["out"]
    except HeatError:
        return REFUSED


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("{list_join: ['', [{k: [1, 2], j: v}, [a, b]]]}", '{"j": "v", "k": [1, 2]}["a", "b"]'),
        ("{list_join: [',', [null, a]]}", ",a"),
        ("{list_join: [',', null]}", ""),
        ("{list_join: ['', [1]]}", REFUSED),
        ("{list_join: ['', [true]]}", REFUSED),
        ("{str_replace: {template: X, params: {X: true}}}", "True"),
        ("{str_replace: {template: X, params: {X: [1, a]}}}", '[1, "a"]'),
        ("{str_replace: {template: X, params: {X: null}}}", ""),
        ("{str_replace: {template: 5, params: {X: 1}}}", REFUSED),
        ("{str_replace: {template: X, params: {'': 1}}}", REFUSED),
        ("{str_split: ['-', null]}", None),
        ("{str_split: ['-', '']}", [""]),
        ("{str_split: ['', a]}", REFUSED),
        ("{str_split: ['-', a-b, '1']}", "b"),
        ("{digest: [md5, 5]}", REFUSED),
        ("{digest: [sha5, a]}", REFUSED),
        ("{map_merge: [null, {b: 2}]}", {"b": 2}),
        ("{map_replace: [{a: x, b: y}, {keys: {a: b}}]}", REFUSED),
        ("{map_replace: [{a: 1}, {values: {1: y}}]}", {"a": "y"}),
        ("{contains: [a, {a: 1}]}", REFUSED),
        ("{contains: [1, abc]}", REFUSED),
        ("{contains: [a, abc]}", True),
        (
            "{make_url: {scheme: a, username: 'u:/@', password: 'p@:/ %', host: h, path: '/d e',"
            " query: {q: '/ &', r: 'x y'}, fragment: 'f g'}}",
            "a://u%3A%2F%40:p%40%3A%2F%20%25@h/d%20e?q=/+%26&r=x+y#f%20g",
        ),
        ("{make_url: {scheme: file, path: /x}}", "file:///x"),
        ("{make_url: {scheme: a, host: h, path: d}}", "a://h/d"),
        ("{make_url: {scheme: a, password: p, host: h}}", "a://:p@h"),
        ("{make_url: {host: h}}", "//h"),
        ("{make_url: {scheme: 'a:', host: h}}", REFUSED),
        ("{make_url: {scheme: a, host: h, port: x}}", REFUSED),
        ("{make_url: {scheme: a, host: h, port: 70000}}", REFUSED),
        ("{make_url: {scheme: a, host: h, query: x=1}}", REFUSED),
        ("{repeat: {for_each: {'%a%': null}, template: '%a%'}}", []),
        ("{repeat: {for_each: {'%a%': {x: 1, y: 2}}, template: 'k%a%'}}", ["kx", "ky"]),
        ("{repeat: {for_each: {'%a%': abc}, template: 'k%a%'}}", REFUSED),
        ("{repeat: {for_each: {'%a%': [k]}, template: {'%a%': 1}}}", [{"k": 1}]),
        ("{if: [{equals: [{not: {equals: [1, 1]}}, false]}, a, b]}", "a"),
        ("{if: [{equals: [{list_join: ['', [a]]}, a]}, a, b]}", REFUSED),
        ("{equals: [1, 1]}", {"equals": [1, 1]}),
        ("{not: it}", {"not": "it"}),
        ("{Ref: a}", REFUSED),
        ("{'Fn::Join': [',', [a]]}", REFUSED),
        ("{get_attr: a}", REFUSED),
    ],
)
def test_a_value_is_what_heat_makes_of_it(expression: str, expected: Any) -> None:
    assert answer(expression) == expected


@pytest.mark.parametrize(
    ("version", "expression", "expected"),
    [
        ("2013-05-23", "{list_join: [',', [a]]}", "a"),
        ("2015-04-30", "{list_join: [',', [a], [b]]}", REFUSED),
        ("2015-04-30", "{list_join: [',', [{a: 1}]]}", REFUSED),
        ("2015-10-15", "{list_join: [',', [a], [b]]}", "a,b"),
        ("2015-04-30", "{str_replace: {template: X, params: {X: {a: 1}}}}", REFUSED),
        ("2015-10-15", "{str_replace: {template: X, params: {X: {a: 1}}}}", '{"a": 1}'),
        ("2015-10-15", "{map_merge: [{a: 1}]}", {"map_merge": [{"a": 1}]}),
        ("2016-04-08", "{if: [true, a, b]}", {"if": [True, "a", "b"]}),
        ("newton", "{if: [true, a, b]}", "a"),
        ("2018-08-31", "{if: [true, a]}", REFUSED),
        ("wallaby", "{if: [false, a]}", None),
        ("wallaby", "[{if: [false, a]}, {if: [true, b]}]", ["b"]),
        ("wallaby", "{a: {if: [false, a]}, b: 1}", {"b": 1}),
    ],
)
def test_a_version_has_its_own_functions(version: str, expression: str, expected: Any) -> None:
    assert answer(expression, version) == expected


@pytest.mark.parametrize(
    ("schema", "value", "expected"),
    [
        ({"type": "string"}, True, "True"),
        ({"type": "comma_delimited_list"}, "a, b", ["a", " b"]),
        ({"type": "comma_delimited_list"}, ["a,b", 1], ["a,b", "1"]),
        ({"type": "comma_delimited_list"}, 5, REFUSED),
        ({"type": "comma_delimited_list"}, {"a": 1}, REFUSED),
        ({"type": "number"}, "1e3", 1000.0),
        ({"type": "number"}, "nan", REFUSED),
        ({"type": "json"}, "x", REFUSED),
        ({"type": "string", "tags": "a"}, "v", REFUSED),
        ({"type": "string", "immutable": "maybe"}, "v", REFUSED),
        ({"type": "number", "constraints": [{"range": {}}]}, 1, REFUSED),
        ({"type": "string", "constraints": [{"length": 5}]}, "v", REFUSED),
        ({"type": "string", "constraints": [{"allowed_pattern": "("}]}, "v", REFUSED),
        ({"type": "string", "constraints": [{"allowed_pattern": "a|b"}]}, "ac", REFUSED),
    ],
)
def test_a_parameter_is_what_heat_makes_of_it(schema: Any, value: Any, expected: Any) -> None:
    assert answer("{get_param: P}", parameters={"P": schema}, P=value) == expected


@pytest.mark.parametrize(
    ("path", "expected"),
    [("[P, a, b, 0]", "x"), ("[P, a, b, '0']", "x"), ("[P, a, b, -1]", "x"), ("[P, a, c]", ""), ("[P, a, b, 5]", "")],
)
def test_a_path_into_a_parameter_that_is_not_there_gives_an_empty_text(path: str, expected: str) -> None:
    assert (
        answer(f"{{get_param: {path}}}", parameters={"P": {"type": "json", "default": {"a": {"b": ["x"]}}}}) == expected
    )


def test_a_url_takes_a_secret_only_where_quoting_cannot_change_it() -> None:
    url = "{make_url: {scheme: a, username: u, password: {get_param: P}, host: h}}"
    parameters = {"P": {"type": "string", "hidden": True}}
    assert answer(url, parameters=parameters) == "a://u:%{secret:P#1}@h"
    assert answer(url, parameters=parameters, P="p@ss") is REFUSED


@pytest.mark.parametrize(
    ("environment", "faults"),
    [
        (
            "foo: 1\nparameters:\n  P: [x]\nresource_registry:\n  a: 5\n",
            ["e:1: unknown section 'foo'", "e:5: resource_registry.a must be a text"],
        ),
        (
            "parameters:\n  Q: 1\nparameter_defaults:\n  P: x\n  Unused: 1\n",
            ["e:2: t: parameter Q is given but not declared", "t:3: parameters.P: 'x' is no number (set in e:4)"],
        ),
        ("parameters: [1]\nresource_registry: [1]", ["e:1: parameters must", "e:2: resource_registry must"]),
        ("parameter_merge_strategies: 5", ["e:1: parameter_merge_strategies must be a mapping"]),
        ("- a", ["e:1: an environment must be a mapping"]),
        ("a: {", ["e:1: "]),
        (None, ["there is no environment file e"]),
    ],
)
def test_faults_of_an_environment_come_at_once_with_their_lines(environment: str | None, faults: list[str]) -> None:
    files = {"t": "heat_template_version: rocky\nparameters:\n  P: {type: number, default: 1}\n"}
    with pytest.raises(HeatError) as raised:
        evaluate("t", files if environment is None else {**files, "e": environment}, ["e"], {}, Drivers())
    assert len(raised.value.faults) == len(faults)
    for found, expected in zip(raised.value.faults, faults, strict=True):
        assert found.startswith(expected)


STACK = """
heat_template_version: rocky
resources:
  S: {type: OS::Nova::Server, properties: {name: n}, metadata: {m: 1}}
  C: {type: OS::Heat::StructuredConfig, properties: {config: {a: {get_input: i}}, inputs: [{name: i, default: d}]}}
  D: {type: OS::Heat::StructuredDeployment, properties: {config: C, server: S, input_values: {i: 1}}}
  G: {type: OS::Heat::ResourceGroup, properties: {count: 1, resource_def: {type: OS::Nova::Server, properties: {}}}}
outputs:
  o: {value: {get_attr: [S, networks, 0, ip]}}
"""
JUNK = [None, 5, "x", [], {}, [None], {"a": 1}, {"get_param": [[]]}, {"get_attr": [[], {}]}, {"if": [[], 1, 2]}, {5: 6}]


def places(value: Any) -> list[tuple[Any, Any]]:
    """Every place in a document: its container and its key or index."""
    keys = list(value) if isinstance(value, dict) else list(range(len(value))) if isinstance(value, list) else []
    return [(value, key) for key in keys] + [place for key in keys for place in places(value[key])]


def test_nothing_in_any_place_of_a_template_breaks_the_evaluator() -> None:
    whole = yaml.safe_load(STACK)
    assert answer_of(whole) is not REFUSED
    refused = 0
    for container, key in places(whole):
        kept = container[key]
        for junk in JUNK:
            container[key] = junk
            refused += answer_of(whole) is REFUSED
        container[key] = kept
    assert refused > 200


def answer_of(template: Any) -> Any:
    try:
        return evaluate("t", {"t": yaml.safe_dump(template)}, [], {}, Drivers())
    except HeatError as error:
        assert all(fault.startswith("t:") for fault in error.faults), error.faults
        return REFUSED
