# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""evaluate(): a template, its environments and the drivers' answers give one resolved stack."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from . import deployments, groups, parameters
from .environment import Environment, is_file, merge
from .errors import Fault, HeatError
from .functions import need_map
from .model import Drivers, Resource, Stack
from .source import Map, load
from .template import Lookups, Template, present, walk

DEEPEST_NESTING = 10
EVALUATED = frozenset({"OS::Heat::Value", "OS::Heat::None"})


def evaluate(
    template: str,
    files: Mapping[str, str],
    environment: Sequence[str],
    given: Mapping[str, Any],
    drivers: Drivers,
    stack_name: str = "stack",
    stack_id: str = "",
) -> Stack:
    """Resolve a stack. No I/O.

    template: key of the top template in files. files: text of every file by its key, a relative path.
    environment: keys of environment files, later ones win. given: parameters that win over the environments'.
    drivers: what resource types and secrets mean. HeatError lists every fault that was found, with file and line.
    """
    if template not in files:
        raise HeatError([f"there is no template {template}"])
    merged = merge(environment, files)
    run = _Run(files, merged, drivers, stack_name, stack_id)
    places = {**merged.places, **dict.fromkeys(given, "the given parameters")}
    top = _Scope(run, template, "", {**merged.parameters, **given}, places, "", 0)
    outputs = top.outputs() if not run.faults else {}
    if run.faults:
        raise HeatError(run.faults)
    documents = deployments.gather(run.resources.values())
    hidden = tuple(sorted(run.hidden))
    shown = {name: value for name, value in top.template.parameters.items() if not name.startswith("OS::")}
    return Stack(stack_name, run.resources, shown, hidden, outputs, documents)


class _Run:
    """What all templates of one evaluation share."""

    def __init__(
        self, files: Mapping[str, str], environment: Environment, drivers: Drivers, stack_name: str, stack_id: str
    ) -> None:
        self.files = files
        self.environment = environment
        self.drivers = drivers
        self.stack_name = stack_name
        self.stack_id = stack_id
        self.faults: list[str] = []
        self.hidden: set[str] = set()
        self.resources: dict[str, Resource] = {}
        self._loaded: dict[str, Any] = {}

    def load(self, name: str) -> Any:
        """A template file's content, read once."""
        if name not in self._loaded:
            try:
                self._loaded[name] = load(self.files[name], name)
            except HeatError as error:
                self.faults += error.faults
                self._loaded[name] = None
        return self._loaded[name]


class _Broken(Exception):
    """A resource that another one needs has a fault that was noted already."""


class _Scope:
    """One template in its place: the top one, or a nested one under the path of its resource."""

    def __init__(
        self,
        run: _Run,
        name: str,
        path: str,
        values: Mapping[str, Any],
        places: Mapping[str, str],
        group: str,
        depth: int,
    ) -> None:
        self.run = run
        self.path = path
        self.group = group
        self.depth = depth
        self.template = Template(name, run.load(name), run.files)
        self._made: dict[str, Any] = {}
        self._making: list[str] = []
        self._lookups = Lookups(self._reference, self._attribute)
        faults = [] if run.faults else list(self.template.faults())
        run.faults += faults
        if not run.faults:
            self._set_parameters(values, places)
        if not run.faults:
            for resource in self.template.resources():
                self._try(f"resources.{resource}", self.template.section("resources").where(resource), resource)

    def _try(self, title: str, where: str, resource: str) -> None:
        try:
            self.make(resource)
        except Fault as fault:
            self.note(where, title, fault)
        except _Broken:
            pass

    def note(self, where: str, title: str, fault: Fault) -> None:
        """Keep a fault with its place."""
        place = f"{self.path}: " if self.path else ""
        self.run.faults.append(f"{where}: {place}{title}: {fault}")

    def _set_parameters(self, values: Mapping[str, Any], places: Mapping[str, str]) -> None:
        schemas = self.template.section("parameters")
        run, defaults = self.run, self.run.environment.defaults
        self.template.parameters.update(
            {
                "OS::stack_name": run.stack_name
                if not self.path
                else f"{run.stack_name}-{self.path.replace('.', '-')}",
                "OS::stack_id": run.stack_id or run.stack_name,
                "OS::project_id": "",
            }
        )
        for name in values:
            if name not in schemas:
                fault = Fault(f"parameter {name} is given but not declared")
                self.note(places.get(name, self.template.name), self.template.name, fault)
        for name, schema in schemas.items():
            try:
                parameters.check_schema(schema)
                self.template.parameters[name] = self._parameter(name, schema, {**defaults, **values})
            except Fault as fault:
                place = places.get(name) or ("" if name in values else run.environment.places.get(name))
                told = Fault(f"{fault} (set in {place})") if place else fault
                self.note(schemas.where(name), f"parameters.{name}", told)

    def _parameter(self, name: str, schema: Map, values: Mapping[str, Any]) -> Any:
        value = values.get(name, schema.get("default"))
        if not schema.get("hidden"):
            if value is None:
                raise Fault("has no value and no default")
            value = parameters.convert(schema["type"], value)
            parameters.check_constraints(schema, value)
            for constraint in schema.get("constraints") or []:
                if "custom_constraint" in constraint:
                    self.run.drivers.constraint(str(constraint["custom_constraint"]), value)
            return value
        self.run.hidden.add(name)
        if value is None:
            return self.run.drivers.hidden(name, None)
        text = parameters.convert("string", value)
        if not text.startswith("%{"):
            parameters.check_constraints(schema, text)
        return self.run.drivers.hidden(name, text)

    def make(self, name: str) -> Any:
        """A resource by its name: a Resource, a nested _Scope, a groups.Group, or None where its condition is false."""
        if name in self._making:
            raise Fault(f"circular dependency: {' -> '.join([*self._making, name])}")
        if name in self._made:
            if self._made[name] is _Broken:
                raise _Broken
            return self._made[name]
        entry = self.template.resources().get(name)
        if entry is None:
            raise Fault(f"there is no resource {name!r}")
        self._making.append(name)
        self._made[name] = _Broken
        noted = len(self.run.faults)
        try:
            made = self._make(name, entry)
        finally:
            self._making.remove(name)
        if len(self.run.faults) > noted:
            raise _Broken
        self._made[name] = made
        return made

    def _make(self, name: str, entry: Map) -> Any:
        if "condition" in entry and not self.template.condition(entry["condition"]):
            return None
        depends = entry.get("depends_on") or []
        for other in [depends] if isinstance(depends, str) else depends:
            self.make(other)
        path = f"{self.path}.{name}" if self.path else name
        return self.instance(path, name, entry, entry.where(), self.group)

    def instance(self, path: str, name: str, entry: Mapping[str, Any], where: str, group: str) -> Any:
        """A resource, nested template or group from a definition with type, properties and metadata."""
        properties = entry.get("properties") or {}
        target = self.run.environment.lookup(str(entry["type"]))
        if target == groups.TYPE:
            return groups.Group(self, path, properties, where, group or path, self._value)
        resolved = need_map(self._resolve_each(properties, f"{path}.properties", where), "properties")
        if is_file(target):
            if target not in self.run.files:
                raise Fault(f"type {entry['type']} stands for {target}, and there is no such file")
            if self.depth + 1 > DEEPEST_NESTING:
                raise Fault(f"is nested deeper than the limit of {DEEPEST_NESTING} templates")
            places = {key: properties.where(key) for key in properties} if isinstance(properties, Map) else {}
            return _Scope(self.run, target, path, resolved, places, group, self.depth + 1)
        known = target in EVALUATED or target in deployments.TYPES
        if not known and not self.run.drivers.supports(target):
            raise Fault(f"type {target} is not supported")
        metadata = need_map(self.resolve(entry.get("metadata") or {}) or {}, "metadata")
        made = Resource(path, name, target, resolved, metadata, group, where)
        self.run.resources[path] = made
        return made

    def _resolve_each(self, properties: Any, title: str, where: str) -> Any:
        if not isinstance(properties, Map) or (len(properties) == 1 and next(iter(properties)) in self.template.known):
            return self.template.resolve(properties, self._lookups)
        resolved = {}
        for key in properties:
            try:
                one = self.template.resolve({key: properties[key]}, self._lookups)
                if key in one:
                    resolved[key] = one[key]
            except Fault as fault:
                self.run.faults.append(f"{properties.where(key)}: {title}.{key}: {fault}")
        return resolved

    def resolve(self, value: Any) -> Any:
        """A value of this template with its functions carried out."""
        return present(self.template.resolve(value, self._lookups))

    def _reference(self, name: str) -> Any:
        made = self.make(name)
        return None if made is None else made.path

    def _attribute(self, name: str, path: list[Any]) -> Any:
        return self._value(self.make(name), path)

    def _value(self, made: Any, path: list[Any]) -> Any:
        return attribute(self.run.drivers, made, path)

    def outputs(self) -> dict[str, Any]:
        """Every output whose condition holds."""
        found = {}
        section = self.template.section("outputs")
        for name in section:
            try:
                if name in self.wanted_outputs():
                    found[name] = self.output(name)
            except Fault as fault:
                self.note(section.where(name), f"outputs.{name}", fault)
            except _Broken:
                pass
        return found

    def wanted_outputs(self) -> list[str]:
        """Names of the outputs whose condition holds."""
        section = self.template.section("outputs")
        return [name for name in section if self.template.condition(section[name].get("condition", True))]

    def output(self, name: str) -> Any:
        """The value of an output."""
        section = self.template.section("outputs")
        if name not in section:
            raise Fault(f"template {self.template.name} has no output {name!r}")
        return self.resolve(section[name].get("value"))


def attribute(drivers: Drivers, made: Any, path: list[Any]) -> Any:
    """The attribute of what a name stands for, by path; Fault when there is none."""
    if made is None:
        return None
    if isinstance(made, groups.Group):
        return made.attribute(path)
    if isinstance(made, _Scope):
        if not path:
            return made.outputs()
        return walk(made.path if path[0] == "OS::stack_id" else made.output(str(path[0])), path[1:])
    if made.type == "OS::Heat::Value":
        return walk(made.properties if not path else made.properties.get(path[0]), path[1:])
    if not path:
        raise Fault("get_attr of a resource needs an attribute")
    if made.type in deployments.TYPES or made.type in EVALUATED:
        raise Fault(f"{made.type} has no attribute {path[0]!r} before it was deployed")
    return walk(drivers.attribute(made, str(path[0])), path[1:])
