# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
import os
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.tripleo.cloud.plugins.module_utils._state.errors import StateError
from ansible_collections.tripleo.cloud.plugins.module_utils._state.key import secret_key
from ansible_collections.tripleo.cloud.plugins.module_utils._state.records import AsideKind
from ansible_collections.tripleo.cloud.plugins.module_utils._state.schema import MIGRATIONS
from ansible_collections.tripleo.cloud.plugins.module_utils._state.secrets import SecretStore
from ansible_collections.tripleo.cloud.plugins.module_utils._state.stages import Stage
from ansible_collections.tripleo.cloud.plugins.module_utils._state.store import State

NODES = {name: {"macs": [name], "capabilities": {}} for name in ("n1", "n2")}


def plan(serial: int = 1, stack: str = "cloud", action: str = "create", **nodes: str) -> dict[str, Any]:
    servers = {f"{name}.Server": {"name": name, "node": node, "action": action} for name, node in nodes.items()}
    return {"stack": stack, "serial": serial, "hash": f"hash-{stack}-{serial}", "servers": servers}


@pytest.fixture
def state_dir(tmp_path: Path) -> str:
    with State.open(str(tmp_path / "state")) as state:
        assert state.register(NODES) == ["n1", "n2"]
    return str(tmp_path / "state")


def test_a_read_only_look_makes_nothing(tmp_path: Path) -> None:
    with State.open(str(tmp_path / "none"), read_only=True) as state:
        assert (state.nodes(), state.stacks(), state.current_plan("cloud")) == ({}, [], None)
    assert list(tmp_path.iterdir()) == []


def as_it_was_left(_database: sqlite3.Connection, folder: str, copy: str) -> None:
    shutil.copytree(folder, copy)


def not_in_wal_mode(database: sqlite3.Connection, folder: str, copy: str) -> None:
    database.execute("PRAGMA journal_mode = DELETE")
    shutil.copytree(folder, copy)


def killed_while_it_wrote(database: sqlite3.Connection, folder: str, copy: str) -> None:
    database.execute('UPDATE node SET bmc_report = \'{"power": "on"}\'')
    shutil.copytree(folder, copy)
    assert os.path.getsize(f"{copy}/deployment.sqlite-wal")


@pytest.mark.parametrize("left", [as_it_was_left, not_in_wal_mode, killed_while_it_wrote])
def test_a_read_only_look_leaves_every_file_as_it_is(left: Any, state_dir: str, tmp_path: Path) -> None:
    database = sqlite3.connect(f"{state_dir}/deployment.sqlite", isolation_level=None)
    if left is as_it_was_left:
        database.close()
    left(database, state_dir, str(tmp_path / "copy"))
    database.close()
    before = files(tmp_path / "copy")
    with State.open(str(tmp_path / "copy"), read_only=True) as state:
        report = {"power": "on"} if left is killed_while_it_wrote else {}
        assert {name: record.bmc_report for name, record in state.nodes().items()} == {"n1": report, "n2": report}
        with pytest.raises(sqlite3.OperationalError):
            state.register({"n3": {}})
    assert files(tmp_path / "copy") == before


def test_a_read_only_look_migrates_nothing(tmp_path: Path) -> None:
    database = sqlite3.connect(tmp_path / "deployment.sqlite", isolation_level=None)
    for number, migration in enumerate(MIGRATIONS[:-1], 1):
        database.executescript(f"{migration}PRAGMA user_version = {number};")
    database.close()
    (tmp_path / "deployment.sqlite").touch()
    before = files(tmp_path)
    with State.open(str(tmp_path), read_only=True) as state:
        assert (state.nodes(), state.stacks(), state.servers("cloud")) == ({}, [], {})
    assert files(tmp_path) == before


def files(folder: Path) -> dict[str, tuple[bytes, int, int]]:
    # SQLite's index of its log is no data, and every reader writes its mark there.
    found = [path for path in folder.rglob("*") if path.is_file() and not path.name.endswith("-shm")]
    return {path.name: (path.read_bytes(), path.stat().st_mode, path.stat().st_mtime_ns) for path in found}


def test_files_are_private(state_dir: str) -> None:
    assert os.stat(state_dir).st_mode & 0o777 == 0o700
    assert os.stat(os.path.join(state_dir, "deployment.sqlite")).st_mode & 0o777 == 0o600


def test_registering_again_changes_only_what_differs(state_dir: str) -> None:
    with State.open(state_dir) as state:
        state.set_facts("n1", {"disks": []})
        assert state.register(NODES) == []
        assert state.register({**NODES, "n2": {"macs": ["other"]}}) == ["n2"]
        assert state.nodes()["n1"].facts == {"disks": []}


def test_a_plan_reserves_all_or_nothing(state_dir: str) -> None:
    with State.open(state_dir) as state:
        state.store_plan(plan(a="n1"), 0, [("ctlplane", "192.0.2.1", "a.Server")])
        with pytest.raises(StateError, match="was reserved by another stack meanwhile"):
            state.store_plan(plan(stack="other", b="n2", c="n1"), 0, [])
        assert state.reservations() == {"n1": ("cloud", "a.Server")}
        with pytest.raises(StateError, match="was reserved by another stack"):
            state.store_plan(plan(stack="other", b="n2"), 0, [("ctlplane", "192.0.2.1", "b.Server")])
        assert state.stacks() == ["cloud"]
        assert state.current_plan("cloud") == plan(a="n1")


def test_a_plan_made_from_an_older_one_is_refused(state_dir: str) -> None:
    with State.open(state_dir) as state:
        state.store_plan(plan(a="n1"), 0, [])
        with pytest.raises(StateError, match="changed by another run"):
            state.store_plan(plan(a="n2"), 0, [])
        assert state.current_plan("cloud") == plan(a="n1")
        state.store_plan(plan(2, a="n1"), 1, [])


def test_only_the_plan_that_is_meant_is_read(state_dir: str) -> None:
    with State.open(state_dir) as state:
        with pytest.raises(StateError, match="cloud has no stored plan"):
            state.plan("cloud")
        state.store_plan(plan(a="n1"), 0, [])
        assert state.plan("cloud") == state.plan("cloud", "hash-cloud-1") == plan(a="n1")
        for wrong in ("hash-cloud-2", ""):
            with pytest.raises(StateError, match="is hash-cloud-1, not "):
                state.plan("cloud", wrong)
        Path(state_dir, "plans", "cloud-1.json").write_text(json.dumps({**plan(a="n2"), "hash": "other"}))
        with pytest.raises(StateError, match=r"cloud-1\.json is not the plan that was stored"):
            state.plan("cloud")


def test_stages_follow_the_plan(state_dir: str) -> None:
    with State.open(state_dir) as state:
        state.store_plan(plan(a="n1", b="n2"), 0, [])
        assert {name: record.stage for name, record in state.servers("cloud").items()} == {
            "a": "reserved",
            "b": "reserved",
        }
        state.set_stage("cloud", "a", Stage.WRITTEN, plan="hash-cloud-1", host_key="ssh-ed25519 A")
        state.set_stage("cloud", "a", "failed", plan="hash-cloud-1", cause="no DHCP answer")
        record = state.servers("cloud")["a"]
        assert (record.stage, record.cause, record.host_key) == ("failed", "no DHCP answer", "ssh-ed25519 A")
        with pytest.raises(StateError, match="under plan other"):
            state.set_stage("cloud", "a", Stage.BOOTED, plan="other")
        with pytest.raises(ValueError, match="is not a valid Stage"):
            state.set_stage("cloud", "a", "flying", plan="hash-cloud-1")
        state.set_healthy("cloud", "b", "digest", plan="hash-cloud-1")
        assert state.servers("cloud")["b"].config_digest == "digest"


def test_a_new_plan_keeps_the_stage_of_kept_servers_only(state_dir: str) -> None:
    with State.open(state_dir) as state:
        state.store_plan(plan(a="n1", b="n2"), 0, [])
        state.set_stage("cloud", "a", Stage.BOOTED, plan="hash-cloud-1")
        state.store_plan(plan(2, action="keep", a="n1"), 1, [])
        (record,) = state.servers("cloud").values()
        assert (record.name, record.stage, record.plan_hash) == ("a", "booted", "hash-cloud-2")
        assert "n2" not in state.reservations()


def test_a_node_is_set_aside_until_what_did_it_is_gone(state_dir: str) -> None:
    def why(state: State) -> dict[str, list[str]]:
        return {name: [f"{it.kind.value}: {it.cause}" for it in marks] for name, marks in state.aside().items()}

    with State.open(state_dir) as state:
        state.store_plan(plan(a="n1", b="n2"), 0, [])
        state.set_aside({"n1": "no answer"}, AsideKind.REGISTRATION)
        state.set_aside({"n1": "new memory"}, AsideKind.MAINTENANCE)
        since = state.aside()["n1"][0].since
        state.set_aside({"n1": "a new disk"}, AsideKind.MAINTENANCE)
        assert state.aside()["n1"][0].since == since
        state.set_stage("cloud", "a", Stage.FAILED, plan="hash-cloud-1", cause="no disk")
        state.set_stage("cloud", "b", Stage.WRITTEN, plan="hash-cloud-1", cause="silent")
        assert why(state) == {
            "n1": [
                "maintenance: a new disk",
                "deployment: server a of stack cloud: no disk",
                "registration: no answer",
            ],
            "n2": ["deployment: server b of stack cloud: silent"],
        }
        for name in "ab":
            state.set_stage("cloud", name, Stage.POWERED, plan="hash-cloud-1")
        assert len(why(state)["n1"]) == 3, "trying again clears nothing yet"
        for name in "ab":
            state.set_stage("cloud", name, Stage.BOOTED, plan="hash-cloud-1")
        assert why(state) == {"n1": ["maintenance: a new disk", "registration: no answer"]}
        state.set_stage("cloud", "b", Stage.BOOTED, plan="hash-cloud-1", cause="its configuration failed")
        assert "n2" not in why(state), "its disk is good"
        state.clear_aside(["n1"], [AsideKind.REGISTRATION])
        assert why(state) == {"n1": ["maintenance: a new disk"]}
        state.clear_aside(["n1"])
        assert why(state) == {}


def test_the_last_five_silences_of_a_stage_are_kept(state_dir: str) -> None:
    with State.open(state_dir) as state:
        for seconds in (90, 1, 2, 3, 4, 5):
            state.learn("n1", Stage.PXE, seconds)
        state.learn("n1", Stage.POWERED, 80)
        assert state.silences() == {"n1": {"powered": 80, "pxe": 5}}
        for seconds in (60, 180):
            state.learn("n1", Stage.PXE, seconds, failed=True)
        assert (state.silences()["n1"]["pxe"], state.silences(failed=True)) == (5, {"n1": {"pxe": 180}})
        state.learn("n1", Stage.PXE, 6)
        assert (state.silences()["n1"]["pxe"], state.silences(failed=True)) == (6, {})
        state.set_aside({"n1": ""}, AsideKind.MAINTENANCE)
        state.register({}, forget=["n1"])
        assert (state.silences(), state.aside()) == ({}, {})


def test_a_database_of_the_first_schema_is_migrated(tmp_path: Path) -> None:
    path = tmp_path / "deployment.sqlite"
    with sqlite3.connect(path) as connection:
        connection.executescript(f"{MIGRATIONS[0]}PRAGMA user_version = 1;")
        connection.execute("INSERT INTO node (name, hardware) VALUES ('n1', '{}')")
    connection.close()
    with State.open(str(tmp_path)) as state:
        assert list(state.nodes()) == ["n1"]
        state.set_aside({"n1": "x"}, AsideKind.MAINTENANCE)
        assert list(state.aside()) == ["n1"]


def test_a_lost_plan_file_is_named(state_dir: str) -> None:
    with State.open(state_dir) as state:
        state.store_plan(plan(a="n1"), 0, [])
        os.unlink(os.path.join(state_dir, "plans", "cloud-1.json"))
        with pytest.raises(StateError, match=r"cloud-1\.json"):
            state.current_plan("cloud")


def test_a_newer_schema_is_refused(state_dir: str) -> None:
    path = os.path.join(state_dir, "deployment.sqlite")
    with sqlite3.connect(path) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (len(MIGRATIONS),)
        connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(StateError, match="schema version 99 is newer"), State.open(state_dir):
        pass


def test_the_key_is_made_once_by_whoever_asks_first(tmp_path: Path) -> None:
    code = (
        "import sys; from ansible_collections.tripleo.cloud.plugins.module_utils._state.key import secret_key;"
        "print(secret_key(sys.argv[1]).hex())"
    )
    racers = [
        subprocess.Popen([sys.executable, "-c", code, str(tmp_path / "s")], stdout=subprocess.PIPE, text=True)
        for _number in range(4)
    ]
    keys = {racer.communicate()[0].strip() for racer in racers}
    assert keys == {secret_key(str(tmp_path / "s")).hex()}
    assert len(keys.pop()) == 64
    assert [path.name for path in (tmp_path / "s").iterdir()] == ["key"]
    assert json.dumps(oct((tmp_path / "s" / "key").stat().st_mode & 0o777)) == '"0o600"'


def test_the_secret_store_never_replaces_a_value(tmp_path: Path) -> None:
    store = SecretStore(str(tmp_path), "cloud")
    assert store.values() == {}
    assert store.store({"a": "1"}) is True
    assert store.store({"a": "2", "b": "3"}) is True
    assert store.store({"a": "4"}) is False
    assert store.values() == {"a": "1", "b": "3"}
    assert Path(store.path).stat().st_mode & 0o777 == 0o600
    assert Path(store.folder).stat().st_mode & 0o777 == 0o700
