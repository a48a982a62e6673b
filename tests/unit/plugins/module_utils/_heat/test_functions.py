# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.tripleo.cloud.plugins.module_utils._heat.errors import HeatError
from ansible_collections.tripleo.cloud.plugins.module_utils._heat.evaluate import evaluate
from ansible_collections.tripleo.cloud.plugins.module_utils._heat.model import Resource
from ansible_collections.tripleo.cloud.plugins.module_utils._heat.source import load


class NoResources:
    """Drivers of a stack that has parameters and outputs only."""

    def supports(self, type_name: str) -> bool:
        return type_name == "OS::Nova::Server"

    def hidden(self, name: str, value: str | None) -> str:
        return f"%{{given:{name}#0}}"

    def attribute(self, resource: Resource, name: str) -> Any:
        return {"networks": {"ctlplane": ["192.0.2.5"]}}[name]


def value_of(expression: str, version: str = "2018-08-31", parameters: str = "{}") -> Any:
    template = f"""
heat_template_version: {version}
parameters: {parameters}
conditions:
  yes_it_is: {{equals: [1, 1]}}
  no_it_is_not: {{not: yes_it_is}}
outputs:
  out:
    value: {expression}
"""
    if version < "2016-10-14":
        template = template.replace("conditions:", "#").replace("  yes_it_is", "  # yes").replace("  no_it", "  # no")
    return evaluate("t.yaml", {"t.yaml": template, "f.txt": "text"}, [], {}, NoResources()).outputs["out"]


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("{list_join: [',', [a, b], [c]]}", "a,b,c"),
        ("{list_join: ['', ['1', null, {k: v}]]}", '1{"k": "v"}'),
        ("{str_replace: {template: 'a-b-ab', params: {a: 1, ab: 2}}}", "1-b-2"),
        ("{str_replace: {template: 'X Y', params: {X: Y, Y: Z}}}", "Y Z"),
        ("{str_split: ['-', a-b-c]}", ["a", "b", "c"]),
        ("{str_split: ['-', a-b-c, 1]}", "b"),
        ("{digest: [md5, a]}", "0cc175b9c0f1b6a831c399e269772661"),
        ("{map_merge: [{a: 1, b: 1}, {b: 2}]}", {"a": 1, "b": 2}),
        ("{map_replace: [{a: x}, {keys: {a: b}, values: {x: y}}]}", {"b": "y"}),
        ("{list_concat: [[1, 2], [2]]}", [1, 2, 2]),
        ("{list_concat_unique: [[1, 2], [2]]}", [1, 2]),
        ("{contains: [a, [a, b]]}", True),
        ("{filter: [[null, a], [a, b, null]]}", ["b"]),
        ("{make_url: {scheme: http, host: 192.0.2.1, port: 5000, path: /v3}}", "http://192.0.2.1:5000/v3"),
        ("{make_url: {scheme: http, host: '2001:db8::1', port: 80}}", "http://[2001:db8::1]:80"),
        ("{make_url: {scheme: a, username: u, password: p, host: h, path: /d, query: {q: 1}}}", "a://u:p@h/d?q=1"),
        ("{repeat: {for_each: {'%a%': [1, 2]}, template: {k: '%a%'}}}", [{"k": 1}, {"k": 2}]),
        ("{repeat: {for_each: {'%a%': [1, 2], '%b%': [x, y]}, template: '%a%%b%'}}", ["1x", "1y", "2x", "2y"]),
        ("{if: [yes_it_is, a, b]}", "a"),
        ("{if: [no_it_is_not, a, b]}", "b"),
        ("{get_file: f.txt}", "text"),
        ("{get_param: 'OS::stack_name'}", "stack"),
        ("{list_join: [a], other: key}", {"list_join": ["a"], "other": "key"}),
    ],
)
def test_a_function_gives_its_value(expression: str, expected: Any) -> None:
    assert value_of(expression) == expected


def test_a_function_of_a_later_version_is_a_plain_map() -> None:
    assert value_of("{map_merge: [{a: 1}]}", "2013-05-23") == {"map_merge": [{"a": 1}]}
    assert value_of("{list_join: [',', [a]]}", "2014-10-16") == "a"


@pytest.mark.parametrize(
    ("expression", "problem"),
    [
        ("{get_param: gone}", "t.yaml:8: outputs.out: parameter gone is not declared"),
        ("{get_resource: gone}", "there is no resource 'gone'"),
        ("{list_join: [',']}", "list_join needs a delimiter and a list"),
        ("{list_join: [',', text]}", "must be a list, not str"),
        ("{yaql: {expression: x}}", "function yaql is not supported yet"),
        ("{if: [gone, a, b]}", "condition 'gone' is not defined"),
        ("{if: [yes_it_is, a]}", "if needs a condition and two values"),
        ("{get_file: gone.txt}", "there is no file gone.txt"),
        ("{str_replace_strict: {template: x, params: {y: 1}}}", "y not found in the template"),
    ],
)
def test_a_fault_names_its_place(expression: str, problem: str) -> None:
    with pytest.raises(HeatError) as raised:
        value_of(expression)
    assert problem in str(raised.value)


@pytest.mark.parametrize(
    ("schema", "value", "expected"),
    [
        ("number", "3", 3),
        ("number", "1.5", 1.5),
        ("boolean", "yes", True),
        ("comma_delimited_list", "a,b", ["a", "b"]),
        ("comma_delimited_list", "", []),
        ("json", '{"a": 1}', {"a": 1}),
        ("string", 5, "5"),
    ],
)
def test_a_parameter_has_its_type(schema: str, value: Any, expected: Any) -> None:
    template = f"""
heat_template_version: rocky
parameters: {{P: {{type: {schema}}}}}
outputs: {{out: {{value: {{get_param: P}}}}}}
"""
    assert evaluate("t", {"t": template}, [], {"P": value}, NoResources()).outputs == {"out": expected}


@pytest.mark.parametrize(
    ("schema", "value", "problem"),
    [
        ("{type: number}", "x", "'x' is no number"),
        ("{type: boolean}", "maybe", "is no boolean"),
        ("{type: text}", "x", "type 'text' is none of"),
        ("{type: string, defualt: x}", "x", "unknown key 'defualt'"),
        ("{type: number, constraints: [{range: {min: 1, max: 2}}]}", 3, "is not between 1 and 2"),
        ("{type: string, constraints: [{length: {min: 3}}]}", "ab", "has a length that is not between 3 and -"),
        ("{type: string, constraints: [{allowed_values: [a]}]}", "b", "is none of ['a']"),
        ("{type: string, constraints: [{allowed_pattern: '[a-z]+'}]}", "A", "does not match"),
        ("{type: string, hidden: true, constraints: [{length: {min: 9}}]}", "secret12", "the value has a length"),
    ],
)
def test_a_wrong_parameter_is_refused(schema: str, value: Any, problem: str) -> None:
    template = f"heat_template_version: rocky\nparameters:\n  P: {schema}\n"
    with pytest.raises(HeatError) as raised:
        evaluate("t", {"t": template}, [], {"P": value}, NoResources())
    assert "t:3: parameters.P: " in str(raised.value)
    assert problem in str(raised.value)
    assert "secret12" not in str(raised.value)


@pytest.mark.parametrize(
    ("template", "problem"),
    [
        ("a: [", "t:1:"),
        ("heat_template_version: rocky\na: 1\na: 2\n", "t:3: key 'a' stands twice, first in line 2"),
        ("heat_template_version: 2999-01-01\n", "t:1: heat_template_version '2999-01-01' is not known"),
        ("heat_template_version: rocky\nresuorces: {}\n", "t:2: unknown section 'resuorces'"),
        ("heat_template_version: rocky\nresources:\n  R: {properties: {}}\n", "t:3: resources.R: has no type"),
        (
            "heat_template_version: rocky\nresources:\n  R: {type: 'OS::Nova::Volume'}\n",
            "t:3: resources.R: type OS::Nova::Volume is not supported",
        ),
        (
            "heat_template_version: rocky\nresources:\n  R:\n    type: OS::Nova::Server\n    depends_on: S\n",
            "t:5: resources.R: depends_on names no resource 'S'",
        ),
        (
            "heat_template_version: rocky\nresources:\n"
            "  R: {type: 'OS::Heat::Value', properties: {value: {get_attr: [S, value]}}}\n"
            "  S: {type: 'OS::Heat::Value', properties: {value: {get_attr: [R, value]}}}\n",
            "circular dependency: R -> S -> R",
        ),
        ("a: &a [*a]\n", "t:1:"),
        ("- text\n", "t:1: a template must be a mapping"),
    ],
)
def test_a_malformed_template_is_refused_with_file_and_line(template: str, problem: str) -> None:
    with pytest.raises(HeatError) as raised:
        evaluate("t", {"t": template}, [], {}, NoResources())
    assert problem in str(raised.value)


def test_aliases_may_not_expand_without_limit() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 9)]
    with pytest.raises(HeatError, match="expands to more than the limit"):
        evaluate("t", {"t": "\n".join(lines)}, [], {}, NoResources())


def test_several_faults_come_at_once() -> None:
    template = "heat_template_version: rocky\nparameters:\n  A: {type: text}\n  B: {type: string}\n"
    with pytest.raises(HeatError) as raised:
        evaluate("t", {"t": template}, [], {}, NoResources())
    assert len(raised.value.faults) == 2


GROUP = """
heat_template_version: rocky
resources:
  Group:
    type: OS::Heat::ResourceGroup
    properties:
      count: 2
      resource_def:
        type: My::Role
        properties: {Name: node-%index%}
  Config:
    type: OS::Heat::StructuredConfig
    properties: {config: {who: {get_input: who}, raw: {get_input: gone}, kept: {get_input: who, other: 1}}}
  Deployments:
    type: OS::Heat::StructuredDeploymentGroup
    properties:
      name: common
      config: {get_resource: Config}
      servers: {get_attr: [Group, attributes, server]}
      input_values: {who: me}
outputs:
  names: {value: {get_attr: [Group, name]}}
  first: {value: {get_attr: [Group, resource.0.address]}}
  refs: {value: {get_attr: [Group, refs]}}
"""
ROLE = """
heat_template_version: rocky
parameters: {Name: {type: string}}
resources:
  Server: {type: OS::Nova::Server, properties: {name: {get_param: Name}}, metadata: {a: {get_param: Name}}}
outputs:
  server: {value: {get_resource: Server}}
  name: {value: {get_param: Name}}
  address: {value: {get_attr: [Server, networks, ctlplane, 0]}}
"""


def test_groups_of_nested_templates_and_their_documents() -> None:
    files = {"t": GROUP, "env/e": "resource_registry: {'My::Role': ../roles/r.yaml}", "roles/r.yaml": ROLE}
    stack = evaluate("t", files, ["env/e"], {}, NoResources())
    assert stack.outputs == {"names": ["node-0", "node-1"], "first": "192.0.2.5", "refs": ["Group.0", "Group.1"]}
    assert stack.resources["Group.1.Server"].metadata == {"a": "node-1"}
    assert stack.resources["Group.1.Server"].group == "Group"
    document = {"who": "me", "raw": None, "kept": {"get_input": "who", "other": 1}}
    assert stack.documents == dict.fromkeys(("Group.0.Server", "Group.1.Server"), (("common", document),))


def test_later_environments_win_and_may_merge() -> None:
    template = """
heat_template_version: rocky
parameters: {A: {type: string}, L: {type: comma_delimited_list}}
outputs: {a: {value: {get_param: A}}, l: {value: {get_param: L}}}
"""
    files = {
        "t": template,
        "one": "parameter_defaults: {A: one, L: [1]}",
        "two": "parameter_defaults: {A: two, L: [2]}\nparameter_merge_strategies: {L: merge}",
    }
    assert evaluate("t", files, ["one", "two"], {}, NoResources()).outputs == {"a": "two", "l": ["1", "2"]}
    with pytest.raises(HeatError, match="unknown section 'paramters'"):
        evaluate("t", {**files, "one": "paramters: {}"}, ["one"], {}, NoResources())


@pytest.mark.parametrize(
    "value",
    ["*hunter2", "!hunter2", "!!int hunter2", "!!float hunter2", "!!binary hunter2", "&a hunter2\nb: &a hunter2",
     "[hunter2", '"hunter2\\q"', "!<hunter2", "!hunter2!x y"],
)  # fmt: skip
def test_a_fault_of_yaml_does_not_quote_it(value: str) -> None:
    with pytest.raises(HeatError, match=r"environment\.yaml:[12]: ") as error:
        load(f"password: {value}\n", "environment.yaml")
    assert "hunter2" not in str(error.value) and error.value.__cause__ is None
