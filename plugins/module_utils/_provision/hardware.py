# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Registers hardware, each node whose BMC was checked. One that was registered before and is dead is set aside."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from .._bmc.errors import BmcError, Cause
from .._bmc.fanout import drive
from .._bmc.model import Access
from .._bmc.protocol import Bmc
from .._state.key import secret_key
from .._state.records import Aside, AsideKind
from .._state.store import State
from .errors import ProvisionError
from .targets import locks


async def _look(bmc: Bmc) -> dict[str, Any]:
    """What is kept of a BMC: that it answers to these credentials, its power state and firmware."""
    power = await bmc.power()
    identity = await bmc.identify()
    return {"power": power.value, "firmware": identity.firmware, "manufacturer": identity.manufacturer}


def renamed(
    hardware: Mapping[str, Mapping[str, Any]],
    before: Mapping[str, Mapping[str, Any]],
    reserved: Mapping[str, tuple[str, str]],
) -> list[str]:
    """Registered nodes whose machines the file has under other names, which replace them.

    ProvisionError when a stack has reserved one: under its new name the machine would look free, and be overwritten.
    """
    owners = {key: name for name, fields in before.items() for key in _identity(fields, name not in hardware)}
    gone = set()
    for name, fields in hardware.items():
        for key in _identity(fields, True):
            old = owners.get(key, name)
            if old != name and old in reserved:
                raise ProvisionError(
                    f"its {key} is that of node {old}, which stack {reserved[old][0]} has reserved",
                    node=name,
                    operation="register",
                    next_step=f"Call the machine {old} in the nodes file, as it was. Nothing was registered.",
                )
            if old not in hardware:
                gone.add(old)
    return sorted(gone)


def _identity(fields: Mapping[str, Any], by_bmc: bool) -> list[str]:
    """What tells one machine from another, in words. BMCs may change their addresses among machines that all stay."""
    bmc = fields.get("bmc") or {}
    return [
        *(f"MAC address {mac}" for mac in fields.get("macs") or ()),
        *([f"BMC {bmc['address']} port {bmc['port']}"] if by_bmc and bmc else []),
    ]


def register(
    state_dir: str, private: Mapping[str, Any], *, check_bmc: bool, timeout: float, check: bool
) -> dict[str, Any]:
    """The work of the module node when it registers; its result.

    A node is a failure and not stored when it is new and its BMC fails, or when its BMC refuses the credentials; the
    others are stored. A node that was registered before is set aside while its BMC does not answer.
    """
    hardware: Mapping[str, Mapping[str, Any]] = private["hardware"]
    with State.open(state_dir, read_only=True) as state:
        before = {name: dict(record.hardware) for name, record in state.nodes().items()}
        reserved = state.reservations()
        aside = {
            name: reason.cause
            for name, reasons in state.aside().items()
            for reason in reasons
            if reason.kind is AsideKind.REGISTRATION
        }
    renamed(hardware, before, reserved)
    outcomes: Mapping[str, Any] = {}
    if check_bmc:
        accesses = [Access.parse(name, fields) for name, fields in private["bmc"].items()]
        folder = locks(state_dir, accesses if check else ())
        outcomes = drive(accesses, _look, name="check the BMC", locks=folder, timeout=timeout)
    reports = {name: outcome for name, outcome in outcomes.items() if not isinstance(outcome, BmcError)}
    errors = {name: outcome for name, outcome in outcomes.items() if isinstance(outcome, BmcError)}
    failures = {name: error for name, error in errors.items() if name not in before or error.cause is Cause.CREDENTIALS}
    dead = {name: f"{error.operation}: {error.message}" for name, error in errors.items() if name not in failures}
    stored = {name: fields for name, fields in hardware.items() if name not in failures}
    # A registered node that fails stays as it was.
    replaced = renamed({**stored, **{name: before[name] for name in failures if name in before}}, before, reserved)
    answering = sorted(set(aside) & set(reports))
    marked = {*(name for name in dead if name not in aside), *answering}
    changed = sorted({*replaced, *marked, *(name for name in stored if before.get(name) != stored[name])})
    if not check:
        with State.open(state_dir) as state:
            # Previews of stacks need the key, and must not make it.
            secret_key(state_dir)
            state.register(stored, replaced)
            for name, report in reports.items():
                state.set_bmc_report(name, report)
            state.set_aside(dead, AsideKind.REGISTRATION)
            state.clear_aside(answering, [AsideKind.REGISTRATION])
    after = {name: cause for name, cause in aside.items() if name not in answering} | dead
    return {
        "changed": bool(changed),
        "total": len(hardware),
        "changed_nodes": changed,
        "failed_nodes": [error.as_failure() for error in failures.values()],
        "set_aside": dead,
        "warnings": [
            f"{errors[name]} Until its BMC answers when nodes are registered, no plan chooses node {name}."
            for name in sorted(dead)
        ],
        "before": {name: _shown(before[name], aside.get(name)) for name in changed if name in before},
        "after": {name: _shown(stored[name], after.get(name)) for name in changed if name in stored},
        "bmc": reports,
    }


def _shown(hardware: Mapping[str, Any], cause: str | None) -> dict[str, Any]:
    return {**hardware, **({"set_aside": cause} if cause is not None else {})}


def maintain(state_dir: str, names: Iterable[str], wanted: bool, reason: str, *, check: bool) -> dict[str, Any]:
    """The work of the module node when it sets nodes aside or gives them free; its result.

    Giving free takes away every mark, also those that deployments and registrations made. Unknown names are a
    ProvisionError, and nothing is changed.
    """
    chosen = sorted(set(names))
    with State.open(state_dir, read_only=True) as state:
        known = state.nodes()
        before = {name: state.aside().get(name, []) for name in chosen}
    unknown = [name for name in chosen if name not in known]
    if unknown:
        raise ProvisionError(
            f"no node {', '.join(unknown)} is registered",
            operation="maintenance",
            next_step="Run: ansible-playbook tripleo.cloud.prepare, or name one of: " + ", ".join(sorted(known)) + ".",
        )
    given = {name: [it.cause for it in marks if it.kind is AsideKind.MAINTENANCE] for name, marks in before.items()}
    changed = [name for name in chosen if (given[name] != [reason] if wanted else before[name])]
    if changed and not check:
        with State.open(state_dir) as state:
            if wanted:
                state.set_aside(dict.fromkeys(changed, reason), AsideKind.MAINTENANCE)
            else:
                state.clear_aside(changed)
    return {
        "changed": bool(changed),
        "total": len(chosen),
        "changed_nodes": changed,
        "failed_nodes": [],
        "before": {name: [it.as_result() for it in before[name]] for name in changed},
        "after": {name: _maintained(before[name], reason) if wanted else [] for name in changed},
    }


def _maintained(marks: Iterable[Aside], reason: str) -> list[dict[str, Any]]:
    own = {"by": AsideKind.MAINTENANCE.value, "cause": reason}
    return [own, *(it.as_result() for it in marks if it.kind is not AsideKind.MAINTENANCE)]


def node_report(state_dir: str) -> dict[str, Any]:
    """The work of the module node_info."""
    with State.open(state_dir, read_only=True) as state:
        reserved, aside = state.reservations(), state.aside()
        nodes = [
            {
                "name": record.name,
                "hardware": record.hardware,
                "facts": record.facts,
                "bmc": record.bmc_report,
                "set_aside": [reason.as_result() for reason in aside.get(record.name, [])],
                "reserved_by": dict(zip(("stack", "path"), reserved[record.name])) if record.name in reserved else None,
            }
            for record in state.nodes().values()
        ]
    return {"changed": False, "nodes": nodes}
