# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What evaluate() takes and gives."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

try:
    from typing import Protocol
except ImportError:  # pragma: no cover
    Protocol = object  # type: ignore[assignment]


@dataclass(frozen=True)
class Resource:
    """A resource with resolved properties.

    path: its place, such as ``Controller.0.Server``. name: its name in its template. group: the ResourceGroup at the
    top that it belongs to, else empty. where: file and line.
    """

    path: str
    name: str
    type: str
    properties: Mapping[str, Any]
    metadata: Mapping[str, Any]
    group: str = ""
    where: str = ""


class Drivers(Protocol):
    """What gives resource types and secrets their meaning; the language knows neither."""

    def attribute(self, resource: Resource, name: str) -> Any:
        """Value of a resource's attribute; Fault when the type has no such one."""

    def supports(self, type_name: str) -> bool:
        """The type means something here."""

    def constraint(self, name: str, value: Any) -> None:
        """Fault when a value breaks a custom constraint, or when there is no constraint of that name."""

    def hidden(self, name: str, value: str | None) -> str:
        """The text that stands for a hidden parameter's value; value is None when none was given (Fault: refused)."""


@dataclass(frozen=True)
class Stack:
    """A resolved stack.

    resources: by path, in dependency order. parameters: the top template's, hidden ones as their stand-ins.
    hidden: names of hidden parameters. documents: per server path, the deployments' documents by name, in order.
    """

    name: str
    resources: Mapping[str, Resource]
    parameters: Mapping[str, Any]
    hidden: tuple[str, ...]
    outputs: Mapping[str, Any]
    documents: Mapping[str, tuple[tuple[str, Any], ...]] = field(default_factory=dict)
