# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One template of a stack with its parameters: resolves values, functions and conditions in their place."""

from __future__ import annotations

import re
from collections.abc import Callable, Hashable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from . import functions
from .environment import beside
from .errors import Fault
from .source import Map
from .versions import allows_short_if, condition_functions, takes_json
from .versions import functions as functions_of

SECTIONS = frozenset(
    {"heat_template_version", "description", "parameter_groups", "parameters", "resources", "outputs", "conditions"}
)
RESOURCE_KEYS = frozenset(
    {"type", "properties", "metadata", "depends_on", "condition", "update_policy", "deletion_policy", "external_id"}
)
STAND_IN = re.compile(r"%\{(?:secret|given):")


@dataclass(frozen=True)
class Lookups:
    """What the functions that look around need from the stack."""

    resource: Callable[[str], Any]
    attribute: Callable[[str, list[Any]], Any]


class Template:
    """A template's sections and the values of its parameters."""

    def __init__(self, name: str, content: Any, files: Mapping[str, str]) -> None:
        self.name = name
        self.files = files
        self.content: Map = content if isinstance(content, Map) else Map(name, 1)
        self.version = str(self.content.get("heat_template_version", ""))
        self.known = functions_of(self.version) or frozenset()
        self.of_conditions = condition_functions(self.version)
        self.parameters: dict[str, Any] = {}
        self._conditions: dict[str, bool | None] = {}

    def faults(self) -> Iterator[str]:
        """What is wrong with the template's outer form."""
        if not self.content:
            yield f"{self.name}:1: a template must be a mapping"
            return
        if functions_of(self.version) is None:
            yield f"{self.content.where('heat_template_version')}: heat_template_version {self.version!r} is not known"
        for key in self.content:
            if key not in SECTIONS:
                yield f"{self.content.where(key)}: unknown section {key!r}"
        for section in ("parameters", "resources", "outputs", "conditions"):
            entries = self.section(section)
            if not isinstance(entries, Mapping):
                yield f"{self.content.where(section)}: {section} must be a mapping"
        outputs = self.section("outputs")
        for name in outputs if isinstance(outputs, Map) else ():
            if not isinstance(outputs[name], Map) or "value" not in outputs[name]:
                yield f"{outputs.where(name)}: outputs.{name}: has no value"
        for name, entry in self.resources().items():
            where = self.section("resources").where(name)
            if not isinstance(entry, Map) or not isinstance(entry.get("type"), str):
                yield f"{where}: resources.{name}: has no type"
                continue
            for key in entry:
                if key not in RESOURCE_KEYS:
                    yield f"{entry.where(key)}: resources.{name}: unknown key {key!r}"
            depends = entry.get("depends_on") or []
            for other in [depends] if isinstance(depends, str) else depends:
                if other not in self.resources():
                    yield f"{entry.where('depends_on')}: resources.{name}: depends_on names no resource {other!r}"

    def section(self, name: str) -> Any:
        """A section, empty when the template has none."""
        found = self.content.get(name)
        return Map(self.name, self.content.line) if found is None else found

    def resources(self) -> Map:
        """The resources by name; empty where the section is no mapping."""
        found = self.section("resources")
        return found if isinstance(found, Map) else Map(self.name)

    def condition(self, name: Any) -> bool:
        """Value of a named or written-out condition."""
        if isinstance(name, bool):
            return name
        if not isinstance(name, str):
            return self._truth(name)
        if name not in self.section("conditions"):
            raise Fault(f"condition {name!r} is not defined")
        if name not in self._conditions:
            self._conditions[name] = None
            self._conditions[name] = self._truth(self.section("conditions")[name])
        value = self._conditions[name]
        if value is None:
            raise Fault(f"condition {name!r} refers to itself")
        return value

    def _truth(self, expression: Any) -> bool:
        if isinstance(expression, (bool, str)):
            return self.condition(expression)
        if isinstance(expression, Mapping) and len(expression) == 1:
            ((function, arguments),) = expression.items()
            if function in self.of_conditions:
                if function == "not":
                    return not self._truth(arguments)
                if function in ("and", "or"):
                    parts = functions.need_list(arguments, f"{function}'s argument")
                    if len(parts) < 2:
                        raise Fault(f"{function} needs at least two conditions")
                    return (all if function == "and" else any)([self._truth(part) for part in parts])
                value = self.resolve(arguments, None) if function == "equals" else self.resolve(expression, None)
                if function == "equals":
                    pair = functions.need_list(value, "equals' argument")
                    if len(pair) != 2:
                        raise Fault("equals needs two values")
                    refuse_stand_ins("equals", pair)
                    return bool(pair[0] == pair[1])
                return bool(value)
        raise Fault(f"{expression!r} is no condition")

    def resolve(self, value: Any, lookups: Lookups | None) -> Any:
        """A value with every function in it carried out; a Fault says which one failed. lookups None: a condition."""
        if isinstance(value, list):
            return [part for part in (self.resolve(part, lookups) for part in value) if part is not _ABSENT]
        if not isinstance(value, Mapping):
            return value
        if len(value) == 1:
            ((function, arguments),) = value.items()
            if lookups is None and function in self.known | self.of_conditions:
                return self._call_in_condition(function, arguments)
            if function in self.known:
                return self._call(function, arguments, lookups)
        resolved = {key: self.resolve(part, lookups) for key, part in value.items()}
        return {key: part for key, part in resolved.items() if part is not _ABSENT}

    def _call_in_condition(self, function: str, arguments: Any) -> Any:
        if function not in self.of_conditions:
            raise Fault(f"function {function} is not allowed in a condition")
        if function in ("equals", "not", "and", "or"):
            return self._truth({function: arguments})
        return self._call(function, arguments, None)

    def _call(self, function: str, arguments: Any, lookups: Lookups | None) -> Any:
        if function == "if":
            return self._if(arguments, lookups)
        if function == "repeat":
            return self._repeat(arguments, lookups)
        resolved = present(self.resolve(arguments, lookups))
        if function == "get_param":
            return self._get_param(resolved)
        if function == "get_file":
            key = beside(self.name, str(resolved))
            if key not in self.files:
                raise Fault(f"get_file: there is no file {resolved}")
            return self.files[key]
        if function in functions.SIMPLE:
            if function in functions.NEEDS_THE_VALUE:
                refuse_stand_ins(function, resolved)
            if function in ("list_join", "str_replace") and not takes_json(self.version):
                _refuse_json(function, resolved)
            return functions.SIMPLE[function](resolved)
        if function in ("get_resource", "get_attr") and lookups is not None:
            if function == "get_resource":
                return lookups.resource(str(resolved))
            path = functions.need_list(resolved, "get_attr's argument")
            if not path:
                raise Fault("get_attr needs a resource")
            return lookups.attribute(str(path[0]), path[1:])
        if function == "Ref" or "::" in function:
            raise Fault(f"function {function} is of CloudFormation's templates; version {self.version} has others")
        raise Fault(f"function {function} is not supported yet")

    def _if(self, arguments: Any, lookups: Lookups | None) -> Any:
        parts = functions.need_list(arguments, "if's argument")
        if len(parts) == 2 and allows_short_if(self.version):
            parts = [*parts, _ABSENT]
        if len(parts) != 3:
            raise Fault("if needs a condition and two values")
        chosen = parts[1] if self.condition(parts[0]) else parts[2]
        return chosen if chosen is _ABSENT else self.resolve(chosen, lookups)

    def _repeat(self, arguments: Any, lookups: Lookups | None) -> list[Any]:
        given = functions.need_map(arguments, "repeat's argument")
        if not {"for_each", "template"} <= set(given) <= {"for_each", "template", "permutations"}:
            raise Fault("repeat needs 'for_each' and 'template'")
        for_each = functions.need_map(self.resolve(given["for_each"], lookups), "repeat's for_each")
        lists = [
            list(values or ())
            if values is None or isinstance(values, Mapping)
            else functions.need_list(values, "repeat's list")
            for values in for_each.values()
        ]
        if given.get("permutations", True):
            rows: Any = _product(lists)
        else:
            if len(set(map(len, lists))) > 1:
                raise Fault("repeat without permutations needs lists of one length")
            rows = zip(*lists)
        template = self.resolve(given["template"], lookups)
        return [_put_in(template, dict(zip(for_each, row))) for row in rows]

    def _get_param(self, argument: Any) -> Any:
        path = argument if isinstance(argument, list) else [argument]
        name = str(path[0]) if path else ""
        if name not in self.parameters:
            raise Fault(f"parameter {name} is not declared")
        return walk(self.parameters[name], path[1:], "")


def present(value: Any) -> Any:
    """A value, null where ``if`` without an else left nothing."""
    return None if value is _ABSENT else value


def walk(value: Any, path: list[Any], missing: Any = None) -> Any:
    """Go into maps and lists; what is not there is `missing`: as in Heat, null for attributes, "" for parameters."""
    for step in path:
        if isinstance(value, Mapping) and isinstance(step, Hashable) and step in value:
            value = value[step]
        elif isinstance(value, list) and _is_in(step, value):
            value = value[int(step)]
        else:
            return missing
    return value


def _is_in(step: Any, items: list[Any]) -> bool:
    return str(step).lstrip("-").isdecimal() and -len(items) <= int(step) < len(items)


def _refuse_json(function: str, arguments: Any) -> None:
    """Fault for what an old version's list_join and str_replace do not take."""
    if function == "list_join" and isinstance(arguments, list) and len(arguments) > 2:
        raise Fault("list_join joins one list only in this heat_template_version")
    values = arguments[1] if function == "list_join" and isinstance(arguments, list) and len(arguments) == 2 else None
    if function == "str_replace" and isinstance(arguments, Mapping) and isinstance(arguments.get("params"), Mapping):
        values = list(arguments["params"].values())
    if isinstance(values, list) and any(isinstance(value, (list, Mapping)) for value in values):
        raise Fault(f"{function} takes no maps and lists in this heat_template_version")


def refuse_stand_ins(function: str, value: Any) -> None:
    """Fault when a function would work on the stand-in of a secret."""
    if isinstance(value, str) and STAND_IN.search(value):
        raise Fault(f"function {function} on a secret value is not supported yet")
    for part in value.values() if isinstance(value, Mapping) else value if isinstance(value, list) else ():
        refuse_stand_ins(function, part)


def _product(lists: list[list[Any]]) -> list[tuple[Any, ...]]:
    rows: list[tuple[Any, ...]] = [()]
    for values in lists:
        rows = [(*row, value) for row in rows for value in values]
    return rows


def _put_in(template: Any, values: Mapping[str, Any]) -> Any:
    if isinstance(template, str):
        if template in values:
            return values[template]
        for key, value in values.items():
            template = template.replace(key, functions.text_of(value))
        return template
    if isinstance(template, list):
        return [_put_in(part, values) for part in template]
    if isinstance(template, Mapping):
        return {_put_in(key, values): _put_in(part, values) for key, part in template.items()}
    return template


_ABSENT = object()
