# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Pushes to real sshd processes on loopback addresses; each address is a node with a root of its own."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.tripleo.cloud.plugins.module_utils._errors import TripleoError
from ansible_collections.tripleo.cloud.plugins.module_utils._push.errors import PushError
from ansible_collections.tripleo.cloud.plugins.module_utils._push.preview import LOST, configured_with, pending
from ansible_collections.tripleo.cloud.plugins.module_utils._state.store import State
from push_cloud import SECRET, STACK, Cloud, wait_for


@pytest.fixture
def cloud(tmp_path: Path) -> Iterator[Cloud]:
    made = Cloud(tmp_path)
    yield made
    made.stop()


def test_from_booted_to_healthy_and_only_what_differs_is_touched_again(cloud: Cloud) -> None:
    cloud.start()
    first = cloud.deliver()
    assert [outcome.error for outcome in first.values()] == [None, None, None]
    assert all(outcome.pushed and outcome.changed for outcome in first.values())
    for name in cloud.names:
        assert (cloud.node(name) / "root/etc/app.conf").read_text() == f"password = {SECRET}\n"
        record = cloud.record(name)
        assert (record.stage, record.cause, len(record.config_digest)) == ("healthy", None, 64)
        assert cloud.calls(name) == ["push"]
    stages = [event["stage"] for event in cloud.events() if event["server"] == "server-0"]
    assert stages[0] == "booted" and stages[-2:] == ["configured", "healthy"]
    assert "post-configure/50-app" in [event.get("step") for event in cloud.events()]

    second = cloud.deliver()
    assert not any(outcome.pushed or outcome.changed or outcome.error for outcome in second.values())
    assert [cloud.calls(name) for name in cloud.names] == [["push"]] * 3

    (cloud.node("server-1") / "root/etc/app.conf").write_text("by hand\n")
    (cloud.node("server-2") / "state/sick").write_text("")
    preview = cloud.deliver(check=True)
    assert [outcome.changed for outcome in preview.values()] == [False, True, True]
    assert "app.conf" in preview["server-1"].reason and "not healthy: app" in preview["server-2"].reason
    assert (cloud.node("server-1") / "root/etc/app.conf").read_text() == "by hand\n"
    (cloud.node("server-2") / "phases/post-configure.d/50-app").write_text("#!/bin/sh\nrm $NODE_AGENT_STATE/sick\n")
    third = cloud.deliver()
    assert [outcome.changed for outcome in third.values()] == [False, True, True]
    assert (cloud.node("server-1") / "root/etc/app.conf").read_text() == f"password = {SECRET}\n"
    assert cloud.record("server-2").stage == "healthy"


def test_a_preview_records_nothing_of_a_server_that_turns_out_healthy(cloud: Cloud) -> None:
    cloud.start()
    cloud.deliver("server-0")
    with State.open(str(cloud.state_dir)) as state:
        state.set_stage(STACK, "server-0", "booted", plan=cloud.plan["hash"], cause="the run was killed")
    events = cloud.events()
    outcome = cloud.deliver("server-0", check=True)["server-0"]
    assert (outcome.pushed, outcome.changed, outcome.error) == (False, False, None)
    assert (cloud.record("server-0").stage, cloud.events()) == ("booted", events)
    cloud.deliver("server-0")
    assert cloud.record("server-0").stage == "healthy"


def test_what_a_server_has_is_found_among_the_plans_of_old(cloud: Cloud) -> None:
    had = {name: target.digest for name, target in zip(cloud.names, cloud.targets())}
    first = cloud.plan
    cloud.make_plan({"mysql": {"root-password": "%{secret:Mysql#2}"}})
    entries = {path: entry for path, entry in cloud.plan["servers"].items() if entry["name"] != "server-2"}
    with State.open(str(cloud.state_dir), read_only=True) as state:
        plans = [state.plan(STACK), *state.earlier_plans(STACK)]
    assert [plan["serial"] for plan in plans] == [2, 1]
    lost = {"metadata": LOST, "documents": [["again", LOST]]}
    cases: list[tuple[dict[str, str], Any]] = [
        (had, first["servers"]["server-0.Server"]),
        ({**had, "server-0": "another"}, lost),
        ({}, plans[0]["servers"]["server-0.Server"]),
        ({"server-0": ""}, None),
    ]
    for digests, expected in cases:
        found = configured_with(plans, entries, digests)
        assert found.get("server-0.Server") == expected
        assert "server-2.Server" not in found


def test_who_has_to_be_configured_under_a_plan_that_is_not_stored() -> None:
    def server(name: str, action: str, document: str) -> dict[str, Any]:
        return {"name": name, "action": action, "metadata": "m", "documents": [["all", document]]}

    stored = {"servers": {name: server(name, "keep", "one") for name in ("same", "other", "again")}}
    plan = {
        "servers": {
            "same": server("same", "keep", "one"),
            "other": server("other", "keep", "two"),
            "again": server("again", "create", "one"),
            "new": server("new", "create", "one"),
        }
    }
    boots = dict.fromkeys(("again", "new"), "it is not booted yet")
    assert pending(plan, stored) == {"other": "its documents differ", **boots}
    assert set(pending(plan, None)) == set(plan["servers"])


def test_a_rotated_secret_is_pushed_and_no_secret_is_stored(cloud: Cloud) -> None:
    cloud.start()
    cloud.deliver()
    cloud.make_plan({"mysql": {"root-password": "%{secret:Mysql#2}"}})
    outcomes = cloud.deliver("server-0")
    assert list(outcomes) == ["server-0"] and outcomes["server-0"].changed
    assert (cloud.node("server-0") / "root/etc/app.conf").read_text() == "password = other-1\n"
    shutil.rmtree(cloud.state_dir / "secrets")
    for path in cloud.state_dir.rglob("*"):
        if path.is_file():
            assert SECRET.encode() not in path.read_bytes() and b"other-1" not in path.read_bytes(), path


SETUP = "run: ansible-playbook tripleo.cloud.setup"


def test_a_node_that_fails_does_not_stop_the_others_and_is_tried_again(cloud: Cloud) -> None:
    cloud.start()
    script = cloud.node("server-1") / "phases/post-configure.d/50-app"
    good = script.read_text()
    script.write_text(f"#!/bin/sh\necho because {SECRET} is wrong\nexit 3\n")
    outcomes = cloud.deliver()
    error = outcomes["server-1"].error
    assert error.node == "server-1" and error.operation == "post-configure.d/50-app"
    assert "status 3: because" in error.message and SECRET not in str(error)
    assert "node-agent.log" in error.next_step and error.next_step.endswith(SETUP)
    assert [outcomes[name].error for name in ("server-0", "server-2")] == [None, None]
    assert not any(outcome.rolled_back for outcome in outcomes.values())  # There was nothing to go back to.
    record = cloud.record("server-1")
    assert record.stage == "booted" and "status 3" in record.cause
    assert cloud.events()[-1]["stage"] in ("failed", "healthy")
    assert SECRET not in (cloud.state_dir / "events.jsonl").read_text()
    script.write_text(good)
    outcomes = cloud.deliver()
    assert [outcome.pushed for outcome in outcomes.values()] == [False, True, False]
    assert cloud.record("server-1").stage == "healthy" and cloud.record("server-1").cause is None

    cloud.make_plan({"mysql": {"root-password": "%{secret:Mysql#2}"}})
    script.write_text("#!/bin/sh\ngrep -q other-1 $NODE_AGENT_ROOT/etc/app.conf && exit 3\nexit 0\n")
    outcome = cloud.deliver("server-1")["server-1"]
    assert outcome.rolled_back and "the files of generation" in outcome.error.message
    assert (cloud.node("server-1") / "root/etc/app.conf").read_text() == f"password = {SECRET}\n"


def test_a_service_that_stays_sick_leaves_its_server_configured(cloud: Cloud) -> None:
    cloud.start()
    (cloud.node("server-0") / "state").mkdir()
    (cloud.node("server-0") / "state/sick").write_text("")
    outcome = cloud.deliver("server-0")["server-0"]
    assert outcome.error.operation == "health" and "app" in outcome.error.message
    assert cloud.record("server-0").stage == "configured"


def test_sshd_that_starts_late_is_waited_for(cloud: Cloud) -> None:
    process = subprocess.Popen(["sleep", "1"])
    started = False

    def alive() -> None:
        nonlocal started
        if not started and process.poll() is not None:
            cloud.start()
            started = True

    assert cloud.deliver("server-0", alive=alive)["server-0"].error is None


def test_a_server_that_never_answers(cloud: Cloud) -> None:
    error = cloud.deliver("server-0", access=cloud.access(connect_seconds=1.0))["server-0"].error
    assert "no answer from 127.0.1.1" in error.message and "Connection refused" in error.message
    assert error.next_step == f"look at its messages on its console, then {SETUP}"
    assert cloud.record("server-0").stage == "booted"


def test_another_host_key_is_refused_at_once(cloud: Cloud) -> None:
    cloud.pin((cloud.state_dir / "secrets" / STACK / "ssh_key.pub").read_text())
    cloud.start()
    wait_for(cloud)
    outcomes = cloud.deliver(access=cloud.access(connect_seconds=600.0))
    assert all("host key" in outcome.error.message for outcome in outcomes.values())
    assert cloud.calls("server-0") == []


def test_a_server_that_does_not_know_the_key(cloud: Cloud) -> None:
    cloud.start()
    wait_for(cloud)
    (cloud.state_dir / "secrets" / STACK / "ssh_key.pub").write_text("")
    error = cloud.deliver("server-0", access=cloud.access(connect_seconds=600.0))["server-0"].error
    assert "does not accept the stack's SSH key" in error.message


def test_an_image_without_an_agent(cloud: Cloud) -> None:
    cloud.start()
    error = cloud.deliver("server-0", access=cloud.access(agent="/nonexistent/agent"))["server-0"].error
    assert "status 127" in error.message and "element node-agent" in error.next_step


def test_a_server_that_hangs_ends_at_its_limit(cloud: Cloud) -> None:
    cloud.start()
    (cloud.node("server-0") / "phases/post-configure.d/50-app").write_text("#!/bin/sh\nsleep 60\n")
    outcome = cloud.deliver("server-0", node_seconds=1.0)["server-0"]
    assert "killed at the time limit" in outcome.error.message


def test_an_agent_that_is_stopped_is_told_with_its_last_step(cloud: Cloud) -> None:
    cloud.start()
    (cloud.node("server-0") / "phases/post-configure.d/50-app").write_text('#!/bin/sh\nkill "$PPID"\n')
    error = cloud.deliver("server-0")["server-0"].error
    assert "status 143" in error.message and "(its last step: post-configure/50-app)" in error.message


def test_an_agent_that_is_killed_again_and_again_is_given_up(cloud: Cloud) -> None:
    cloud.start()
    script = '#!/bin/sh\necho >> "$NODE_AGENT_STATE/runs"\nkill -9 "$PPID"\n'
    (cloud.node("server-0") / "phases/post-configure.d/50-app").write_text(script)
    error = cloud.deliver("server-0")["server-0"].error
    assert "its agent was cut off 5 times" in error.message and "kernel's messages" in error.next_step
    assert (cloud.node("server-0") / "state/runs").read_text() == "\n" * 5


def test_a_lost_lease_ends_the_work(cloud: Cloud) -> None:
    cloud.start()
    (cloud.node("server-0") / "phases/post-configure.d/50-app").write_text("#!/bin/sh\nsleep 5\n")

    def alive() -> None:
        raise TripleoError("the lease is lost")

    with pytest.raises(TripleoError, match="the lease is lost"):
        cloud.deliver("server-0", alive=alive)


def test_a_killed_process_takes_its_ssh_along(cloud: Cloud) -> None:
    cloud.start()
    code = (
        "import asyncio, sys\n"
        "from ansible_collections.tripleo.cloud.plugins.module_utils._push.ssh import Access, call_agent\n"
        "access = Access(sys.argv[1], sys.argv[2], port=int(sys.argv[3]), agent='sleep 60; true')\n"
        "asyncio.run(call_agent(access, 'server-0', '127.0.1.1', 'push', b'', print, 60))\n"
    )
    access = cloud.access()
    command = [sys.executable, "-c", code, access.key, access.known_hosts, str(cloud.port)]
    with subprocess.Popen(command) as process:
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
        deadline = time.monotonic() + 20
        while (
            not (found := children.read_text().split())
            or b"ssh\0-F" not in Path(f"/proc/{found[0]}/cmdline").read_bytes()[:6]
        ):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        process.kill()
    while Path(f"/proc/{found[0]}").exists():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_servers_that_are_not_booted_are_refused_and_previewed(cloud: Cloud) -> None:
    with State.open(str(cloud.state_dir)) as state:
        state.set_stage(STACK, "server-0", "writing", plan=str(cloud.plan["hash"]))
    error = cloud.deliver("server-0")["server-0"].error
    assert "not booted but writing" in error.message and "deploy" in error.next_step
    assert cloud.record("server-0").stage == "writing"
    assert cloud.deliver("server-0", check=True)["server-0"].reason == "it is not booted yet"


def test_names_and_documents_are_checked_before_anything_is_done(cloud: Cloud) -> None:
    with pytest.raises(PushError, match="no server nonsense"):
        cloud.targets("nonsense")
    (document,) = (cloud.state_dir / "documents").iterdir()
    document.write_text("{}")
    with pytest.raises(PushError, match="changed after it was written"):
        cloud.targets()
