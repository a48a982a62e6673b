# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The database's schema, as the list of its migrations."""

from __future__ import annotations

import sqlite3

# Entry N brings a database from user_version N to N + 1. Entries are never changed once released.
MIGRATIONS: tuple[str, ...] = (
    """
    CREATE TABLE node (name TEXT PRIMARY KEY, hardware TEXT NOT NULL, facts TEXT NOT NULL DEFAULT '{}',
      bmc_report TEXT NOT NULL DEFAULT '{}', maintenance INTEGER NOT NULL DEFAULT 0);
    CREATE TABLE stack (name TEXT PRIMARY KEY, id TEXT NOT NULL, serial INTEGER NOT NULL, plan_hash TEXT NOT NULL,
      updated REAL NOT NULL);
    CREATE TABLE reservation (node TEXT PRIMARY KEY REFERENCES node(name), stack TEXT NOT NULL, path TEXT NOT NULL,
      UNIQUE (stack, path));
    CREATE TABLE address (network TEXT NOT NULL, ip TEXT NOT NULL, stack TEXT NOT NULL, path TEXT NOT NULL,
      PRIMARY KEY (network, ip));
    CREATE TABLE server (stack TEXT NOT NULL, name TEXT NOT NULL, path TEXT NOT NULL, node TEXT NOT NULL,
      plan_hash TEXT NOT NULL, stage TEXT NOT NULL, cause TEXT, host_key TEXT, config_digest TEXT,
      updated REAL NOT NULL, PRIMARY KEY (stack, name));
    CREATE TABLE event (id INTEGER PRIMARY KEY, time REAL NOT NULL, stack TEXT NOT NULL, server TEXT NOT NULL,
      node TEXT NOT NULL, stage TEXT NOT NULL, cause TEXT);
    CREATE INDEX event_stack ON event (stack, id);
    """,
    """
    ALTER TABLE node DROP COLUMN maintenance;
    CREATE TABLE aside (node TEXT NOT NULL REFERENCES node(name) ON DELETE CASCADE, kind TEXT NOT NULL,
      cause TEXT NOT NULL, since REAL NOT NULL, PRIMARY KEY (node, kind));
    CREATE TABLE silence (id INTEGER PRIMARY KEY, node TEXT NOT NULL REFERENCES node(name) ON DELETE CASCADE,
      stage TEXT NOT NULL, seconds REAL NOT NULL);
    CREATE INDEX silence_node ON silence (node, stage, id);
    """,
    """
    ALTER TABLE silence ADD COLUMN failed INTEGER NOT NULL DEFAULT 0;
    """,
    """
    CREATE TABLE deployment (stack TEXT NOT NULL, server TEXT NOT NULL, id TEXT NOT NULL, report TEXT NOT NULL,
      PRIMARY KEY (stack, server, id), FOREIGN KEY (stack, server) REFERENCES server(stack, name) ON DELETE CASCADE);
    """,
)


def is_newest(connection: sqlite3.Connection) -> bool:
    """The database needs no migration."""
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    return bool(version == len(MIGRATIONS))


def migrate(connection: sqlite3.Connection) -> None:
    """Bring a database to the newest schema; a newer one than this code knows is a ValueError."""
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version > len(MIGRATIONS):
        raise ValueError(f"schema version {version} is newer than this collection's {len(MIGRATIONS)}")
    for number in range(version, len(MIGRATIONS)):
        connection.executescript(f"BEGIN IMMEDIATE;{MIGRATIONS[number]}PRAGMA user_version = {number + 1};COMMIT;")
