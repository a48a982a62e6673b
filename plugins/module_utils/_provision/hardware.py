# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Registers hardware: every BMC is checked before anything is stored."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .._bmc.errors import BmcError
from .._bmc.fanout import drive
from .._bmc.model import Access
from .._bmc.protocol import Bmc
from .._state.key import secret_key
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
    """The work of the module node; its result. Nothing is stored when one BMC refuses or does not answer."""
    hardware: Mapping[str, Mapping[str, Any]] = private["hardware"]
    with State.open(state_dir, read_only=True) as state:
        before = {name: dict(record.hardware) for name, record in state.nodes().items()}
        replaced = renamed(hardware, before, state.reservations())
    reports: dict[str, dict[str, Any]] = {}
    failures = []
    if check_bmc:
        accesses = [Access.parse(name, fields) for name, fields in private["bmc"].items()]
        outcomes = drive(accesses, _look, name="check the BMC", locks=locks(state_dir), timeout=timeout)
        for name, outcome in outcomes.items():
            if isinstance(outcome, BmcError):
                failures.append(outcome.as_failure())
            else:
                reports[name] = outcome
    changed = sorted([*replaced, *(name for name in hardware if before.get(name) != hardware[name])])
    if not failures and not check:
        with State.open(state_dir) as state:
            # Previews of stacks need the key, and must not make it.
            secret_key(state_dir)
            state.register(hardware, replaced)
            for name, report in reports.items():
                state.set_bmc_report(name, report)
    return {
        "changed": bool(changed) and not failures,
        "total": len(hardware),
        "changed_nodes": changed,
        "failed_nodes": failures,
        "before": {name: before[name] for name in changed if name in before},
        "after": {name: hardware[name] for name in changed if name in hardware},
        "bmc": reports,
    }


def node_report(state_dir: str) -> dict[str, Any]:
    """The work of the module node_info."""
    with State.open(state_dir, read_only=True) as state:
        reserved = state.reservations()
        nodes = [
            {
                "name": record.name,
                "hardware": record.hardware,
                "facts": record.facts,
                "bmc": record.bmc_report,
                "reserved_by": dict(zip(("stack", "path"), reserved[record.name])) if record.name in reserved else None,
            }
            for record in state.nodes().values()
        ]
    return {"changed": False, "nodes": nodes}
