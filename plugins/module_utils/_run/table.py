# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the servers of a stored plan are, from the state."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from .._errors import TripleoError
from .._state.stages import Stage
from .._state.store import State
from .evidence import evidence
from .limits import Limit, limits


def servers_of(state_dir: str, stack: str, plan: str, only: Collection[str]) -> dict[str, dict[str, str]]:
    """Each server of the stored plan by its name: ``node``, ``stage``, ``cause``. only: names, empty means all.

    A server that this plan has not touched yet is `reserved`; one with a cause has failed, unless it has booted.
    """
    with State.open(state_dir, read_only=True) as state:
        stored, records = state.plan(stack, plan), state.servers(stack)
    entries = {server["name"]: server for server in stored["servers"].values()}
    unknown = sorted(set(only) - set(entries))
    if unknown:
        raise TripleoError(
            f"the plan has no server {', '.join(unknown)}; it has {', '.join(sorted(entries))}",
            operation="follow the servers",
        )
    table = {}
    for name in sorted(only or entries):
        record = records.get(name)
        stage, cause = Stage.RESERVED, ""
        if record is not None and record.plan_hash == plan:
            stage, cause = Stage(record.stage), record.cause or ""
            if cause and not stage.is_booted:
                stage = Stage.FAILED
        table[name] = {"node": str(entries[name]["node"]), "stage": stage.value, "cause": cause}
    return table


def limits_of(state_dir: str, servers: Mapping[str, Mapping[str, str]], most: float) -> dict[str, dict[str, Limit]]:
    """The limits of servers that have not booted, by server and stage, as far as something is known.

    most: seconds that no limit exceeds.
    """
    with State.open(state_dir, read_only=True) as state:
        hardware = {name: node.hardware for name, node in state.nodes().items()}
        silences, failed = state.silences(), state.silences(failed=True)
    names = {name: server["node"] for name, server in servers.items() if not Stage(server["stage"]).is_booted}
    return limits(names, hardware, silences, failed, most)


def evidence_of(state_dir: str, stack: str, names: Collection[str]) -> dict[str, list[str]]:
    """What the logs of the boot services and the consoles know of these servers, by their names."""
    with State.open(state_dir, read_only=True) as state:
        stored = state.current_plan(stack) or {"servers": {}}
    found = {}
    for server in stored["servers"].values():
        if server["name"] in names:
            addresses = [address for group in server["networks"].values() for address in group]
            mac, address = str(server.get("mac") or "-"), (addresses or [""])[0]
            found[server["name"]] = evidence(state_dir, mac, address, str(server["node"]))
    return found


def bmcs_of(state_dir: str, servers: Mapping[str, Mapping[str, str]]) -> dict[str, dict[str, Any]]:
    """Address and port of the BMC of each server's node, by the node's name, as far as they are registered."""
    with State.open(state_dir, read_only=True) as state:
        nodes = state.nodes()
    wanted = {server["node"] for server in servers.values()}
    return {name: dict(node.hardware.get("bmc") or {}) for name, node in nodes.items() if name in wanted}
