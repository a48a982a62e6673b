# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which servers and nodes a batch works on, and what their BMCs are reached with."""

from __future__ import annotations

import contextlib
import os
import stat
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from .._bmc.lock import lock_file
from .._bmc.model import Access
from .._errors import NEXT
from .errors import ProvisionError

# Stages of a server, in the order of its life; `failed` may follow on any of them.
BOOTED = ("booted", "configured", "healthy")
WRITTEN = ("written", *BOOTED)


class ServerRecord(Protocol):
    """What is read of the state's record of a server."""

    @property
    def plan_hash(self) -> Any: ...

    @property
    def stage(self) -> Any: ...

    @property
    def cause(self) -> Any: ...

    @property
    def updated(self) -> float: ...


class State(Protocol):
    """What a batch needs of `_state.store.State`."""

    def nodes(self) -> Mapping[str, Any]: ...

    def servers(self, stack: str) -> Mapping[str, ServerRecord]: ...

    def set_stage(self, stack: str, name: str, stage: Any, *, plan: str, cause: Any = None) -> Any: ...


@dataclass(frozen=True)
class Target:
    """A server of the plan. entry: the plan's words on it.

    stage: "" when this plan never touched it. cause: why it failed since it was at this stage.
    updated: when that was, seconds since the epoch.
    """

    server: str
    node: str
    stage: str
    entry: Mapping[str, Any]
    cause: str = ""
    updated: float = 0.0

    @property
    def booted(self) -> bool:
        """Its operating system has reported under this plan."""
        return self.stage in BOOTED

    @property
    def written(self) -> bool:
        """Its image is on the disk under this plan."""
        return self.stage in WRITTEN

    @property
    def started(self) -> bool:
        """Its machine has been started under this plan, and has not failed since."""
        return self.stage not in ("", "reserved", "failed") and not self.cause


def targets(state: State, stored: Mapping[str, Any], only: Iterable[str]) -> list[Target]:
    """The servers of a stored plan, or the named ones only; unknown names are a ProvisionError."""
    records = state.servers(str(stored["stack"]))
    wanted = set(only)
    found = []
    for entry in stored["servers"].values():
        name = str(entry["name"])
        if wanted and name not in wanted:
            continue
        record = records.get(name)
        stage, cause, updated = "", "", 0.0
        if record is not None and record.plan_hash == stored["hash"]:
            stage, cause = str(getattr(record.stage, "value", record.stage)), str(record.cause or "")
            updated = record.updated
        found.append(Target(name, str(entry["node"]), stage, entry, cause, updated))
    unknown = wanted - {target.server for target in found}
    if unknown:
        raise ProvisionError(
            f"the plan has no server {', '.join(sorted(unknown))}",
            operation="choose the servers",
            next_step="Name servers as the preview of tripleo.cloud.deploy shows them.",
        )
    return found


def failures(chosen: Iterable[Target], result: Mapping[str, Any]) -> dict[str, str]:
    """Cause and next step of the nodes that failed in a batch's result, by the names of their servers."""
    servers = {target.node: target.server for target in chosen}
    return {
        servers[entry["node"]]: f"{entry['operation']}: {entry['cause']}{NEXT}{entry['next_step']}"
        for entry in result["failed_nodes"]
    }


def bmc_of(target: Target, private: Mapping[str, Any]) -> Access:
    """How the BMC of a server's node is reached."""
    fields = private.get("bmc", {}).get(target.node)
    if not fields:
        raise ProvisionError(
            f"the nodes file has no node {target.node}, which the plan uses for {target.server}",
            node=target.node,
            operation="read the BMC's credentials",
            next_step="Give the nodes file that was used for tripleo.cloud.prepare (tripleo_nodes_file).",
        )
    return Access.parse(target.node, fields)


def uefi_nodes(state: State, chosen: Iterable[Target]) -> frozenset[str]:
    """Nodes with the capability ``boot_mode: uefi``."""
    nodes = state.nodes()
    return frozenset(
        target.node
        for target in chosen
        if target.node in nodes and nodes[target.node].capabilities.get("boot_mode") == "uefi"
    )


def inline_nodes(parameters: Mapping[str, Any]) -> list[Access]:
    """BMCs from a module's own options: ``nodes``, or one node's address, user name and password."""
    entries = parameters.get("nodes") or []
    if not entries:
        entries = [{**parameters, "name": parameters.get("name") or parameters["address"]}]
    names = [str(entry.get("name") or entry.get("address")) for entry in entries]
    twice = {name for name in names if names.count(name) > 1}
    if twice:
        raise ProvisionError(f"node {', '.join(sorted(twice))} is given twice", operation="read the nodes")
    return [Access.parse(name, entry) for name, entry in zip(names, entries)]


def locks(state_dir: str, preview_of: Iterable[Access] = ()) -> str:
    """Folder of the BMC lock files; where there is no state directory, one of this user's own.

    preview_of: BMCs that check mode looks at. Where one has no lock file yet, none is made in the state directory.
    ProvisionError when somebody else has laid something in the place of that one.
    """
    shared = os.path.join(state_dir, "locks")
    if os.path.isdir(state_dir) and all(lock_file(shared, access).exists() for access in preview_of):
        return shared
    own = os.environ.get("XDG_RUNTIME_DIR", "")
    if own and os.path.isdir(own) and os.stat(own).st_uid == os.geteuid():
        return os.path.join(own, "tripleo-cloud", "locks")
    # Everybody can write to the folder above it: only a folder that is ours, and only ours, is used.
    folder = os.path.join(tempfile.gettempdir(), f"tripleo-cloud-{os.geteuid()}")
    with contextlib.suppress(FileExistsError):
        os.mkdir(folder, 0o700)
    found = os.lstat(folder)
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o077:
        raise ProvisionError(
            f"{folder} is not a folder of this user alone",
            operation="lock the BMCs",
            next_step="Remove it, or name a state_dir that exists.",
        )
    return os.path.join(folder, "locks")
