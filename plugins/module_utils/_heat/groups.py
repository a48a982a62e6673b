# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""OS::Heat::ResourceGroup: members from one definition, and its attributes over all of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from .errors import Fault
from .functions import need_list, need_map
from .source import Map
from .template import walk

TYPE = "OS::Heat::ResourceGroup"
LARGEST_COUNT = 100_000
_PROPERTIES = frozenset({"count", "index_var", "resource_def", "removal_policies", "removal_policies_mode"})


class Group:
    """The members of a group, made in order."""

    def __init__(
        self, scope: Any, path: str, properties: Any, where: str, group: str, value: Callable[[Any, list[Any]], Any]
    ) -> None:
        self.path = path
        self._value = value
        given = need_map(properties, "properties")
        for key in set(given) - _PROPERTIES:
            raise Fault(f"{TYPE} has no property {key!r}")
        definition = given.get("resource_def")
        if not isinstance(definition, Mapping) or "type" not in definition:
            raise Fault("resource_def must be a mapping with a type")
        count = scope.resolve(given.get("count", 1))
        if not isinstance(count, int) or isinstance(count, bool) or not 0 <= count <= LARGEST_COUNT:
            raise Fault(f"count must be a whole number between 0 and {LARGEST_COUNT}, not {count!r}")
        if any(need_list(scope.resolve(given.get("removal_policies") or []), "removal_policies")):
            raise Fault("removal_policies is not supported yet")
        variable = str(scope.resolve(given.get("index_var", "%index%")))
        self.members: dict[str, Any] = {}
        for number in range(count):
            index = str(number)
            member = _indexed(definition, variable, index)
            self.members[index] = scope.instance(f"{path}.{index}", index, member, where, group)

    def attribute(self, path: list[Any]) -> Any:
        """refs, refs_map, attributes, resource.<index>.<attribute>, or an attribute of every member as a list."""
        if not path:
            raise Fault("get_attr of a group needs an attribute")
        first, rest = str(path[0]), path[1:]
        if first == "refs":
            return walk([member.path for member in self.members.values()], rest)
        if first == "refs_map":
            return walk({index: member.path for index, member in self.members.items()}, rest)
        if first == "attributes":
            if not rest:
                raise Fault("'attributes' of a group needs the name of an attribute")
            return {index: self._of(member, rest) for index, member in self.members.items()}
        if first.startswith("resource."):
            index, _dot, name = first[len("resource.") :].partition(".")
            if index not in self.members:
                raise Fault(f"group {self.path} has no member {index!r}")
            return self._of(self.members[index], ([name] if name else []) + rest) if name or rest else self.path
        return [self._of(member, path) for member in self.members.values()]

    def _of(self, member: Any, path: list[Any]) -> Any:
        return member.path if path[0] == "OS::stack_id" else self._value(member, path)


def _indexed(value: Any, variable: str, index: str) -> Any:
    if isinstance(value, str):
        return value.replace(variable, index)
    if isinstance(value, list):
        return [_indexed(part, variable, index) for part in value]
    if isinstance(value, Map):
        copied = Map(value.file, value.line)
        copied.lines = value.lines
        copied.update({_indexed(key, variable, index): _indexed(part, variable, index) for key, part in value.items()})
        return copied
    return value
