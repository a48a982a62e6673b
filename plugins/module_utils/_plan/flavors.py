# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Flavors, and whether a node satisfies one: Nova's rules."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from .errors import PlanError


@dataclass(frozen=True)
class Flavor:
    """What a server asks of a node. ram: MiB. disk: GiB."""

    name: str
    vcpus: int = 1
    ram: int = 1
    disk: int = 1
    extra_specs: Mapping[str, str] = field(default_factory=dict)


def parse_flavors(data: Any) -> dict[str, Flavor]:
    """Read the flavors of the inventory; a PlanError lists every fault."""
    if not isinstance(data, Mapping):
        raise PlanError("flavors must be a mapping by name", operation="read the flavors")
    faults, flavors = [], {}
    for name, entry in data.items():
        if not isinstance(entry, Mapping):
            faults.append(f"flavor {name} is no mapping")
            continue
        faults += [f"flavor {name} has no key {key!r}" for key in sorted(set(entry) - set(Flavor.__dataclass_fields__))]
        numbers = {key: entry[key] for key in ("vcpus", "ram", "disk") if key in entry}
        faults += [
            f"flavor {name}: {key} must be a whole number above 0"
            for key, value in numbers.items()
            if not isinstance(value, int) or isinstance(value, bool) or value < 1
        ]
        specs = {str(key): str(value) for key, value in (entry.get("extra_specs") or {}).items()}
        flavors[str(name)] = Flavor(str(name), **numbers, extra_specs=specs)
    if faults:
        raise PlanError("; ".join(faults), operation="read the flavors")
    return flavors


def rejections(flavor: Flavor, hardware: Mapping[str, Any]) -> Iterator[str]:
    """Every reason why a node does not satisfy a flavor; none means that it does."""
    for what, wanted, unit in (
        ("cpus", flavor.vcpus, ""),
        ("memory", flavor.ram, " MiB"),
        ("disk", flavor.disk, " GiB"),
    ):
        if hardware[what] < wanted:
            yield f"{what} {hardware[what]}{unit} is less than {wanted}{unit}"
    capabilities = hardware.get("capabilities") or {}
    for key, spec in flavor.extra_specs.items():
        scope, _colon, name = key.partition(":")
        if key == "cpu_arch" or (scope == "capabilities" and name == "cpu_arch"):
            if _ARCHITECTURES.get(spec, spec) != _ARCHITECTURES.get(hardware["arch"], hardware["arch"]):
                yield f"arch {hardware['arch']} is not {spec}"
        elif scope == "capabilities":
            if not satisfies(str(capabilities.get(name, "")) if name in capabilities else None, spec):
                yield f"capability {name}={capabilities.get(name, '(none)')} is not {spec}"
        elif scope == "trait":
            has = name in (hardware.get("traits") or [])
            if has != (spec == "required"):
                yield f"trait {name} is {'there' if has else 'missing'}"
        elif key == "resource_class" and hardware.get("resource_class") != spec:
            yield f"resource class {hardware.get('resource_class')} is not {spec}"


_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}

_TEXT: dict[str, Callable[[str, str], bool]] = {
    "s==": operator.eq,
    "s!=": operator.ne,
    "s<": operator.lt,
    "s<=": operator.le,
    "s>": operator.gt,
    "s>=": operator.ge,
}
_NUMBER: dict[str, Callable[[float, float], bool]] = {
    "=": operator.ge,
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


def satisfies(value: str | None, wanted: str) -> bool:
    """A capability's value meets a requirement in Nova's operators; plain text means equality."""
    if value is None:
        return False
    words = wanted.split()
    first, rest = (words[0], words[1:]) if words else ("", [])
    if first == "<or>":
        return value in [word for word in words if word != "<or>"]
    if first == "<in>":
        return bool(rest) and rest[0] in value
    if first == "<all-in>":
        return all(word in value for word in rest)
    if first in _TEXT and len(rest) == 1:
        return _TEXT[first](value, rest[0])
    if first in _NUMBER and len(rest) == 1:
        try:
            return _NUMBER[first](float(value), float(rest[0]))
        except ValueError:
            return False
    return value == wanted
