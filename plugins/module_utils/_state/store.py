# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The state of a Deployment cloud: one SQLite file, with the plans as JSON beside it."""

from __future__ import annotations

import json
import os
import pathlib
import sqlite3
import time
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any

from .errors import StateError
from .records import Aside, AsideKind, NodeRecord, ServerRecord, StackRecord, dumps
from .schema import is_newest, migrate
from .stages import Stage

DATABASE = "deployment.sqlite"
# How many of a node's last runs are remembered, for each stage.
_KEPT_SILENCES = 5


class State:
    """Open with ``with State.open(state_dir) as state``. Every writing method is one durable transaction.

    read_only: no file is made or changed; a state directory without a database reads as empty.
    """

    def __init__(self, state_dir: str, connection: sqlite3.Connection) -> None:
        self.state_dir = state_dir
        self._db = connection

    @classmethod
    @contextmanager
    def open(cls, state_dir: str, read_only: bool = False) -> Iterator[State]:
        """Open the database, made and migrated where needed; StateError when it cannot be."""
        path = os.path.join(state_dir, DATABASE)
        try:
            connection = _connect(path, read_only)
        except (OSError, sqlite3.Error, ValueError) as error:
            raise StateError(f"{path}: {error}", operation="open the state") from error
        try:
            yield cls(state_dir, connection)
        finally:
            connection.close()

    def nodes(self) -> dict[str, NodeRecord]:
        """Every registered node by its name."""
        rows = self._db.execute("SELECT name, hardware, facts, bmc_report FROM node ORDER BY name")
        return {name: NodeRecord(name, *map(json.loads, parts)) for name, *parts in rows}

    def register(self, nodes: Mapping[str, Mapping[str, Any]], forget: Sequence[str] = ()) -> list[str]:
        """Register hardware by node name; what the file no longer names stays. Returns the names that changed.

        forget: nodes to remove, which no stack may have reserved.
        """
        known = self.nodes()
        changed = [name for name, hardware in nodes.items() if name not in known or known[name].hardware != hardware]
        with self._transaction():
            self._db.executemany("DELETE FROM node WHERE name = ?", [(name,) for name in forget])
            self._db.executemany(
                "INSERT INTO node (name, hardware) VALUES (?, ?)"
                " ON CONFLICT (name) DO UPDATE SET hardware = excluded.hardware",
                [(name, dumps(nodes[name])) for name in changed],
            )
        return changed

    def set_facts(self, name: str, facts: Mapping[str, Any]) -> None:
        """Keep what a node's ramdisk reported."""
        with self._transaction():
            self._db.execute("UPDATE node SET facts = ? WHERE name = ?", (dumps(facts), name))

    def set_bmc_report(self, name: str, report: Mapping[str, Any]) -> None:
        """Keep what a node's BMC said."""
        with self._transaction():
            self._db.execute("UPDATE node SET bmc_report = ? WHERE name = ?", (dumps(report), name))

    def aside(self) -> dict[str, list[Aside]]:
        """Why nodes are set aside, an operator's reason first; nodes that plans may choose are not in it."""
        found: dict[str, list[Aside]] = {}
        for name, kind, cause, since in self._db.execute(
            "SELECT node, kind, cause, since FROM aside ORDER BY node, kind != 'maintenance', kind"
        ):
            found.setdefault(name, []).append(Aside(AsideKind(kind), cause, since))
        return found

    def set_aside(self, causes: Mapping[str, str], kind: AsideKind) -> None:
        """Let no plan choose these nodes. causes: by node name; one of the same kind keeps its time."""
        with self._transaction():
            self._set_aside(causes, kind, time.time())

    def _set_aside(self, causes: Mapping[str, str], kind: AsideKind, now: float) -> None:
        self._db.executemany(
            "INSERT INTO aside VALUES (?, ?, ?, ?) ON CONFLICT (node, kind) DO UPDATE SET cause = excluded.cause",
            [(name, kind.value, cause, now) for name, cause in causes.items()],
        )

    def clear_aside(self, names: Iterable[str], kinds: Iterable[AsideKind] = tuple(AsideKind)) -> None:
        """Let plans choose these nodes again, as far as these kinds kept them from it."""
        with self._transaction():
            self._db.executemany(
                "DELETE FROM aside WHERE node = ? AND kind = ?",
                [(name, kind.value) for name in names for kind in kinds],
            )

    def learn(self, name: str, stage: Stage, seconds: float, *, failed: bool = False) -> None:
        """Remember how long a node said nothing in a stage; of those that it ended well the last five are kept.

        failed: it was given up after so long. That is remembered until it ends the stage well.
        """
        key = (name, stage.value)
        with self._transaction():
            self._db.execute("DELETE FROM silence WHERE node = ? AND stage = ? AND failed", key)
            self._db.execute(
                "INSERT INTO silence (node, stage, seconds, failed) VALUES (?, ?, ?, ?)", (*key, seconds, failed)
            )
            self._db.execute(
                "DELETE FROM silence WHERE node = ? AND stage = ? AND NOT failed AND id NOT IN"
                " (SELECT id FROM silence WHERE node = ? AND stage = ? AND NOT failed ORDER BY id DESC LIMIT ?)",
                (*key, *key, _KEPT_SILENCES),
            )

    def silences(self, *, failed: bool = False) -> dict[str, dict[str, float]]:
        """The longest remembered silence in seconds, by node name and stage; of stages ended well, or that failed."""
        found: dict[str, dict[str, float]] = {}
        for name, stage, seconds in self._db.execute(
            "SELECT node, stage, MAX(seconds) FROM silence WHERE failed = ? GROUP BY node, stage", (failed,)
        ):
            found.setdefault(name, {})[stage] = seconds
        return found

    def reservations(self) -> dict[str, tuple[str, str]]:
        """The stack and resource path that hold a node, by the node's name."""
        rows = self._db.execute("SELECT node, stack, path FROM reservation")
        return {node: (stack, path) for node, stack, path in rows}

    def addresses(self) -> dict[tuple[str, str], tuple[str, str]]:
        """The stack and resource path that hold an address, by network and address."""
        rows = self._db.execute("SELECT network, ip, stack, path FROM address")
        return {(network, ip): (stack, path) for network, ip, stack, path in rows}

    def stack(self, name: str) -> StackRecord | None:
        """A stack, None when nothing is stored for it."""
        columns = "name, id, serial, plan_hash, updated"
        row = self._db.execute(f"SELECT {columns} FROM stack WHERE name = ?", (name,)).fetchone()
        return StackRecord(*row) if row else None

    def stacks(self) -> list[str]:
        """Names of all stacks."""
        return [name for (name,) in self._db.execute("SELECT name FROM stack ORDER BY name")]

    def current_plan(self, stack: str) -> dict[str, Any] | None:
        """The stored plan of a stack, None when there is none."""
        record = self.stack(stack)
        if record is None:
            return None
        path = plan_path(self.state_dir, stack, record.serial)
        try:
            with open(path, encoding="utf-8") as stream:
                plan: dict[str, Any] = json.load(stream)
        except (OSError, ValueError) as error:
            raise StateError(f"{path}: {error}", operation="read the stored plan") from error
        if plan["hash"] != record.plan_hash:
            raise StateError(
                f"{path} is not the plan that was stored, {record.plan_hash[:12]}",
                operation="read the stored plan",
                next_step="Bring the file back from a backup.",
            )
        return plan

    def earlier_plans(self, stack: str) -> Iterator[dict[str, Any]]:
        """The plans before the stored one that can still be read, the newest first."""
        record = self.stack(stack)
        for serial in range(record.serial - 1 if record else 0, 0, -1):
            with (
                suppress(OSError, ValueError),
                open(plan_path(self.state_dir, stack, serial), encoding="utf-8") as stream,
            ):
                yield json.load(stream)

    def plan(self, stack: str, plan_hash: str | None = None) -> dict[str, Any]:
        """The stored plan of a stack; StateError when there is none, or when it is not the one of that hash."""
        stored = self.current_plan(stack)
        if stored is None:
            raise StateError(
                f"stack {stack} has no stored plan",
                operation="read the plan",
                next_step="Run the playbook tripleo.cloud.deploy.",
            )
        if plan_hash is not None and stored["hash"] != plan_hash:
            raise StateError(
                f"the stored plan of stack {stack} is {stored['hash'][:12]}, not {plan_hash[:12] or 'none'}",
                operation="read the plan",
                next_step="Look at the preview again: ansible-playbook tripleo.cloud.deploy --check --diff.",
            )
        return stored

    def servers(self, stack: str) -> dict[str, ServerRecord]:
        """Every server of a stack by its name."""
        columns = "name, path, node, plan_hash, stage, cause, host_key, config_digest, updated"
        rows = self._db.execute(f"SELECT {columns} FROM server WHERE stack = ? ORDER BY name", (stack,))
        return {row[0]: ServerRecord(*row) for row in rows}

    def store_plan(
        self,
        plan: Mapping[str, Any],
        expected_serial: int,
        addresses: Sequence[tuple[str, str, str]],
        stack_id: str = "",
    ) -> None:
        """Write the plan's file and everything that follows from it in one transaction.

        expected_serial: serial of the stored plan that this one was made from, 0 for none.
        addresses: (network, address, resource path) of every address that the stack holds.
        """
        stack, serial = str(plan["stack"]), int(plan["serial"])
        now = time.time()
        with self._transaction():
            found = self.stack(stack)
            if (found.serial if found else 0) != expected_serial:
                raise StateError(
                    f"stack {stack} was changed by another run while this one planned",
                    operation="store the plan",
                    next_step="Run the same command again.",
                )
            # Not before: the file of this serial is that of another run's stored plan when this one came too late.
            write_durably(plan_path(self.state_dir, stack, serial), dumps(plan))
            self._db.execute(
                "INSERT INTO stack VALUES (?, ?, ?, ?, ?) ON CONFLICT (name) DO UPDATE SET"
                " serial = excluded.serial, plan_hash = excluded.plan_hash, updated = excluded.updated",
                (stack, stack_id or str(uuid.uuid4()), serial, plan["hash"], now),
            )
            self._reserve(stack, plan, addresses)
            self._store_servers(stack, plan, now)

    def _reserve(self, stack: str, plan: Mapping[str, Any], addresses: Sequence[tuple[str, str, str]]) -> None:
        self._db.execute("DELETE FROM reservation WHERE stack = ?", (stack,))
        self._db.execute("DELETE FROM address WHERE stack = ?", (stack,))
        try:
            self._db.executemany(
                "INSERT INTO reservation VALUES (?, ?, ?)",
                [(server["node"], stack, path) for path, server in plan["servers"].items()],
            )
            self._db.executemany(
                "INSERT INTO address VALUES (?, ?, ?, ?)",
                [(network, ip, stack, path) for network, ip, path in addresses],
            )
        except sqlite3.IntegrityError as error:
            raise StateError(
                f"a node or an address of the plan was reserved by another stack meanwhile ({error})",
                operation="store the plan",
                next_step="Run the same command again.",
            ) from error

    def _store_servers(self, stack: str, plan: Mapping[str, Any], now: float) -> None:
        kept = {server["name"] for server in plan["servers"].values() if server["action"] == "keep"}
        for name in self.servers(stack):
            if name not in kept:
                self._db.execute("DELETE FROM server WHERE stack = ? AND name = ?", (stack, name))
        for path, server in plan["servers"].items():
            if server["name"] in kept:
                self._db.execute(
                    "UPDATE server SET plan_hash = ? WHERE stack = ? AND name = ?",
                    (plan["hash"], stack, server["name"]),
                )
            else:
                self._db.execute(
                    "INSERT INTO server VALUES (?, ?, ?, ?, ?, ?, NULL, NULL, NULL, ?)",
                    (stack, server["name"], path, server["node"], plan["hash"], Stage.RESERVED.value, now),
                )

    def set_stage(
        self,
        stack: str,
        name: str,
        stage: Stage | str,
        *,
        plan: str,
        cause: str | None = None,
        host_key: str | None = None,
        digest: str | None = None,
    ) -> None:
        """Record how far a server is under a plan, with an event; a server of another plan is a StateError.

        digest: of the documents that it is healthy with. cause: why it failed; its node is set aside then, until a
        server has booted there.
        """
        value, now = Stage(stage).value, time.time()
        with self._transaction():
            done = self._db.execute(
                "UPDATE server SET stage = ?, cause = ?, host_key = COALESCE(?, host_key), updated = ?,"
                " config_digest = COALESCE(?, config_digest) WHERE stack = ? AND name = ? AND plan_hash = ?",
                (value, cause, host_key, now, digest, stack, name, plan),
            )
            if not done.rowcount:
                raise StateError(f"is no server of stack {stack} under plan {plan[:12]}", node=name, operation=value)
            self._db.execute(
                "INSERT INTO event (time, stack, server, node, stage, cause)"
                " SELECT ?, stack, name, node, stage, cause FROM server WHERE stack = ? AND name = ?",
                (now, stack, name),
            )
            (node,) = self._db.execute("SELECT node FROM server WHERE stack = ? AND name = ?", (stack, name)).fetchone()
            if Stage(value).is_booted:
                self._db.execute("DELETE FROM aside WHERE node = ? AND kind = ?", (node, AsideKind.DEPLOYMENT.value))
            elif cause:
                self._set_aside({node: f"server {name} of stack {stack}: {cause}"}, AsideKind.DEPLOYMENT, now)

    def set_healthy(self, stack: str, name: str, digest: str, *, plan: str) -> None:
        """Record that every service of a server works with the documents of that digest."""
        self.set_stage(stack, name, Stage.HEALTHY, plan=plan, digest=digest)

    def deployments(self, stack: str) -> dict[str, dict[str, Any]]:
        """What each server's deployments reported last (name, status, reason, outputs), by server and id."""
        found: dict[str, dict[str, Any]] = {}
        for server, name, report in self._db.execute(
            "SELECT server, id, report FROM deployment WHERE stack = ? ORDER BY server, id", (stack,)
        ):
            found.setdefault(server, {})[name] = json.loads(report)
        return found

    def set_deployments(self, stack: str, server: str, reports: Mapping[str, Any]) -> None:
        """Keep what a server's deployments report, in place of what they reported before."""
        rows = [(stack, server, name, dumps(report)) for name, report in reports.items()]
        where = "FROM deployment WHERE stack = ? AND server = ?"
        if set(rows) == set(self._db.execute(f"SELECT stack, server, id, report {where}", (stack, server))):
            return
        with self._transaction():
            self._db.execute(f"DELETE {where}", (stack, server))
            self._db.executemany("INSERT INTO deployment VALUES (?, ?, ?, ?)", rows)

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")


def plan_path(state_dir: str, stack: str, serial: int) -> str:
    """File of a stored plan."""
    return os.path.join(state_dir, "plans", f"{stack}-{serial}.json")


def write_durably(path: str, text: str) -> None:
    """Write a file of mode 0600 whole or not at all, flushed to the disk."""
    write_all_durably({path: text})


def write_all_durably(files: Mapping[str, str]) -> None:
    """Write files by their paths, each whole or not at all, all flushed to the disk."""
    drafts = {path: f"{path}.{os.getpid()}.part" for path in files}
    for folder in {os.path.dirname(path) for path in files}:
        os.makedirs(folder, mode=0o700, exist_ok=True)
    for path, text in files.items():
        descriptor = os.open(drafts[path], os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
            stream.write(text)
    # Only now: flushing each file before the next is written takes seven times as long.
    for draft in drafts.values():
        descriptor = os.open(draft, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    for path, draft in drafts.items():
        os.replace(draft, path)


def _connect(path: str, read_only: bool) -> sqlite3.Connection:
    if read_only:
        connection = _connect_to_read(path)
        connection.execute("PRAGMA query_only = ON")
        return connection
    os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
    fresh = not os.path.exists(path)
    connection = sqlite3.connect(path, timeout=30, isolation_level=None)
    if fresh:
        os.chmod(path, 0o600)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA foreign_keys = ON")
    migrate(connection)
    return connection


def _connect_to_read(path: str) -> sqlite3.Connection:
    """A connection that leaves the files as they are. What has an older schema, or is not there, is made in memory."""
    memory = sqlite3.connect(":memory:", isolation_level=None)
    if os.path.exists(path):
        # SQLite's `ro` leaves files of its own behind; with `rw`, whoever closes last writes back what a killed writer
        # had left in the log.
        mode = "ro" if os.path.exists(f"{path}-wal") else "rw"
        uri = f"{pathlib.Path(path).absolute().as_uri()}?mode={mode}"
        connection = sqlite3.connect(uri, uri=True, timeout=30, isolation_level=None)
        try:
            if is_newest(connection):
                return connection
            connection.backup(memory)
        except BaseException:
            connection.close()
            raise
        connection.close()
    migrate(memory)
    return memory
