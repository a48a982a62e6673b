# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Parameters: types, defaults and constraints."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from typing import Any

from .errors import Fault

TYPES = ("string", "number", "boolean", "json", "comma_delimited_list")
KEYS = frozenset(
    {"type", "default", "hidden", "immutable", "label", "description", "tags", "constraints"},
)
CONSTRAINTS = frozenset({"length", "range", "modulo", "allowed_values", "allowed_pattern", "custom_constraint"})
_TRUE = ("t", "true", "on", "y", "yes", "1")
_FALSE = ("f", "false", "off", "n", "no", "0")


def convert(kind: str, value: Any) -> Any:
    """A value as its parameter's type; Fault when it is none."""
    if kind == "string":
        return str(value)
    if kind == "number":
        return _number(value)
    if kind == "boolean":
        text = str(value).lower()
        if text in _TRUE or text in _FALSE:
            return text in _TRUE
        raise Fault(f"{value!r} is no boolean")
    if kind == "comma_delimited_list":
        if isinstance(value, (list, tuple)):
            return [str(part) for part in value]
        if not isinstance(value, str):
            raise Fault(f"{value!r} is no comma-delimited list")
        return value.split(",") if value else []
    if isinstance(value, str):
        try:
            value = json.loads(value) if value else {}
        except ValueError as error:
            raise Fault(f"is no JSON: {error}") from error
    if not isinstance(value, (dict, list)):
        raise Fault(f"{value!r} is neither a map nor a list")
    return value


def _number(value: Any) -> Any:
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        number: float = value
    else:
        try:
            number = int(str(value))
        except ValueError:
            try:
                number = float(str(value))
            except ValueError:
                raise Fault(f"{value!r} is no number") from None
    if not math.isfinite(number):
        raise Fault(f"{value!r} is no finite number")
    return number


def check_schema(schema: Any) -> None:
    """Fault when a parameter is not declared rightly."""
    if not isinstance(schema, Mapping):
        raise Fault("is no mapping")
    if schema.get("type") not in TYPES:
        raise Fault(f"type {schema.get('type')!r} is none of {', '.join(TYPES)}")
    for key in schema:
        if key not in KEYS:
            raise Fault(f"unknown key {key!r}")
    if not isinstance(schema.get("tags") or [], list):
        raise Fault("tags must be a list")
    for key in ("hidden", "immutable"):
        convert("boolean", schema.get(key, False))
    constraints = schema.get("constraints") or []
    if not isinstance(constraints, list):
        raise Fault("constraints must be a list")
    for constraint in constraints:
        if not isinstance(constraint, Mapping) or len(set(constraint) - {"description"}) != 1:
            raise Fault("a constraint must be a mapping of one kind")
        for kind in set(constraint) - {"description"}:
            if kind not in CONSTRAINTS:
                raise Fault(f"unknown constraint {kind!r}")
            bounds = constraint[kind] if isinstance(constraint[kind], Mapping) else {}
            if kind in ("length", "range") and not {"min", "max"} & set(bounds):
                raise Fault(f"a {kind} constraint needs min, max or both")


def check_constraints(schema: Mapping[str, Any], value: Any) -> None:
    """Fault when a value breaks a constraint; custom ones are the driver's."""
    for constraint in schema.get("constraints") or []:
        for kind, wanted in constraint.items():
            try:
                problem = _CHECKS[kind](wanted, value) if kind in _CHECKS else ""
            except (Fault, ArithmeticError, AttributeError, LookupError, TypeError, ValueError, re.error):
                # Their own words may hold a hidden value.
                raise Fault(f"the constraint {kind} {wanted!r} does not fit the value") from None
            if problem:
                shown = "the value" if schema.get("hidden") else repr(value)
                raise Fault(constraint.get("description") or f"{shown} {problem}")


def _within(number: float, wanted: Mapping[str, Any], what: str) -> str:
    low, high = wanted.get("min"), wanted.get("max")
    if (low is not None and number < low) or (high is not None and number > high):
        return f"{what} not between {'-' if low is None else low} and {'-' if high is None else high}"
    return ""


def _length(wanted: Any, value: Any) -> str:
    return _within(len(value), wanted, "has a length that is") if hasattr(value, "__len__") else ""


def _range(wanted: Any, value: Any) -> str:
    return _within(_number(value), wanted, "is")


def _modulo(wanted: Any, value: Any) -> str:
    step, offset = int(wanted["step"]), int(wanted.get("offset", 0))
    return "" if int(value) % step == offset else f"is no multiple of {step} plus {offset}"


def _allowed_values(wanted: Any, value: Any) -> str:
    values = value if isinstance(value, list) else [value]
    return "" if all(part in wanted or str(part) in map(str, wanted) for part in values) else f"is none of {wanted}"


def _allowed_pattern(wanted: Any, value: Any) -> str:
    return "" if re.fullmatch(wanted, str(value)) else f"does not match {wanted!r}"


_CHECKS = {
    "length": _length,
    "range": _range,
    "modulo": _modulo,
    "allowed_values": _allowed_values,
    "allowed_pattern": _allowed_pattern,
}
