# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Pushes in batches, deltas, kept connections and deployment outputs, over real sshd processes."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.tripleo.cloud.plugins.module_utils._push import control
from ansible_collections.tripleo.cloud.plugins.module_utils._push.batches import Rollout
from ansible_collections.tripleo.cloud.plugins.module_utils._push.errors import PushError
from ansible_collections.tripleo.cloud.plugins.module_utils._state.store import State
from push_cloud import SECRET, STACK, Cloud, wait_for

GOOD = "#!/bin/sh\necho run >> $NODE_AGENT_STATE/runs\n"


@pytest.fixture
def cloud(tmp_path: Path) -> Iterator[Cloud]:
    made = Cloud(tmp_path, servers=4)
    made.start()
    wait_for(made)
    yield made
    made.stop()


def script(cloud: Cloud, name: str, text: str) -> None:
    (cloud.node(name) / "phases/post-configure.d/50-app").write_text(text)


def runs(cloud: Cloud) -> list[int]:
    files = [cloud.node(name) / "state/runs" for name in cloud.names]
    return [len(file.read_text().split()) if file.exists() else 0 for file in files]


def test_a_canary_that_fails_keeps_the_others_as_they_are(cloud: Cloud) -> None:
    script(cloud, "server-2", "#!/bin/sh\nexit 3\n")
    found = cloud.deliver(rollout=Rollout(canary=["server-2"], most_failed=100.0))
    assert "status 3" in found["server-2"].error.message
    rest = [found[name] for name in ("server-0", "server-1", "server-3")]
    assert {one.skipped for one in rest} == {"1 of 1 servers of canary failed: server-2"}
    assert not any(one.pushed or one.changed or one.error for one in rest)
    assert [cloud.calls(name) for name in cloud.names] == [[], [], ["push"], []]
    assert [cloud.record(name).stage for name in cloud.names] == ["booted"] * 4

    script(cloud, "server-2", GOOD)
    again = cloud.deliver(rollout=Rollout(canary=["server-2"]))
    assert not any(one.error or one.skipped for one in again.values())
    assert runs(cloud) == [1, 1, 1, 1]


def test_a_canary_ends_before_the_others_begin_and_is_one_with_news(cloud: Cloud) -> None:
    cloud.deliver("server-0", "server-1")
    script(cloud, "server-2", f"#!/bin/sh\nsleep 1\nls {cloud.folder}/nodes/*/calls > $NODE_AGENT_STATE/begun\n")
    for name in cloud.names:
        (cloud.node(name) / "calls").unlink(missing_ok=True)
    found = cloud.deliver(rollout=Rollout(canary=["1"]))
    assert [one.pushed for one in found.values()] == [False, False, True, True]
    assert (cloud.node("server-2") / "state/begun").read_text().split() == [str(cloud.node("server-2") / "calls")]


@pytest.mark.parametrize(("most", "begun"), [(50.0, 4), (49.9, 2), (None, 4), (0.0, 2)])
def test_batches_stop_when_the_percentage_is_exceeded(cloud: Cloud, most: float | None, begun: int) -> None:
    script(cloud, "server-1", "#!/bin/sh\nexit 3\n")
    found = cloud.deliver(rollout=Rollout(serial=["2"], most_failed=most))
    assert sum(len(cloud.calls(name)) for name in cloud.names) == begun
    assert [bool(one.skipped) for one in found.values()] == [False] * begun + [True] * (4 - begun)
    if begun == 2:
        assert found["server-3"].skipped == "1 of 2 servers of batch 1 of 2 failed: server-1"


def test_no_further_server_of_a_lost_batch_is_begun(cloud: Cloud) -> None:
    script(cloud, "server-0", "#!/bin/sh\nexit 3\n")
    found = cloud.deliver(fan_out=1, rollout=Rollout(most_failed=0.0))
    assert [bool(one.skipped) for one in found.values()] == [False, True, True, True]
    assert [cloud.calls(name) for name in cloud.names] == [["push"], [], [], []]
    found = cloud.deliver(fan_out=1, rollout=Rollout(most_failed=25.0))
    assert not any(one.skipped for one in found.values())


def test_a_batch_that_fails_whole_is_the_last(cloud: Cloud) -> None:
    script(cloud, "server-0", "#!/bin/sh\nexit 3\n")
    found = cloud.deliver(rollout=Rollout(serial=["1", "0"]))
    assert [bool(one.skipped) for one in found.values()] == [False, True, True, True]


def test_a_preview_asks_all(cloud: Cloud) -> None:
    cloud.deliver()
    for name in cloud.names:
        cloud.calls(name)
    (cloud.node("server-0") / "root/etc/app.conf").write_text("by hand\n")
    found = cloud.deliver(check=True, rollout=Rollout(canary=["1"], most_failed=0.0))
    assert [one.pushed for one in found.values()] == [True, False, False, False]
    assert [cloud.calls(name) for name in cloud.names] == [["status"]] * 4


def sent(cloud: Cloud, name: str) -> tuple[int, int]:
    """How many documents a node was offered, and how many bytes came after the offer."""
    offer, _newline, rest = (cloud.node(name) / "received").read_bytes().partition(b"\n")
    return len(json.loads(offer)["offer"]), len(rest)


def test_only_documents_that_a_node_lacks_travel(cloud: Cloud) -> None:
    name = "server-0"
    large = {"filler": "x" * 100_000}
    cloud.make_plan({"mysql": {"root-password": "a-first-one"}}, again=large)
    assert cloud.deliver(name)[name].pushed and sent(cloud, name)[1] > 100_000
    cloud.make_plan({"mysql": {"root-password": "another-one"}}, again=large)
    outcome = cloud.deliver(name)[name]
    assert (outcome.pushed, outcome.changed, outcome.reason) == (True, True, "its documents differ")
    assert sent(cloud, name) == (2, len('{"mysql":{"root-password":"another-one"}}'))
    assert (cloud.node(name) / "root/etc/app.conf").read_text() == "password = another-one\n"
    assert cloud.calls(name) == ["push", "push"]
    assert not cloud.deliver(name)[name].pushed and sent(cloud, name) == (2, 0)
    # What lies there is not what it should be: it is seen, and sent again.
    damaged = cloud.node(name) / "cache/again.json"
    damaged.write_text(damaged.read_text().replace("xxx", "yyy", 1))
    for path in damaged.parent.glob("again.json.*"):
        path.unlink()
    outcome = cloud.deliver(name)[name]
    assert outcome.reason == "it was never configured" and sent(cloud, name)[1] > 100_000
    assert not cloud.deliver(name)[name].pushed


def test_a_secret_is_in_no_argument_list_and_in_no_file_that_others_can_read(cloud: Cloud) -> None:
    search = "for file in /proc/[0-9]*/cmdline; do tr '\\0' ' ' < $file; echo; done 2>/dev/null"
    script(cloud, "server-0", f"#!/bin/sh\n{{ {search}; }} > $NODE_AGENT_STATE/seen\n")
    os.umask(0o022)
    cloud.deliver("server-0")
    node = cloud.node("server-0")
    seen = (node / "state/seen").read_text()
    assert "node-agent.pyz push" in seen and SECRET not in seen
    holding = [path for path in node.rglob("*") if path.is_file() and SECRET.encode() in path.read_bytes()]
    assert {path.name for path in holding} >= {"metadata.json", "again.json"}
    ours = [path for path in holding if "cache" in path.parts or "state" in path.parts]
    assert ours and all(path.stat().st_mode & 0o077 == 0 for path in ours)


def test_connections_are_kept_for_the_next_call_and_then_ended(cloud: Cloud) -> None:
    cloud.deliver()
    before = cloud.logins()
    folder = control.folder(str(cloud.state_dir), STACK, cloud.port)
    control.make(folder)
    cloud.deliver(check=True, access=cloud.access(control=folder, keep_seconds=60))
    assert cloud.logins() == before + 4 and len(os.listdir(folder)) == 4
    assert os.stat(folder).st_mode & 0o777 == 0o700
    cloud.deliver(access=cloud.access(control=folder))
    assert cloud.logins() == before + 4
    assert kept(folder)
    control.end(folder)
    until = time.monotonic() + 10
    while kept(folder):
        assert time.monotonic() < until
        time.sleep(0.05)
    assert not os.path.exists(folder)
    assert not any(one.error for one in cloud.deliver(access=cloud.access(control=folder)).values())
    assert cloud.logins() == before + 8


def kept(folder: str) -> list[Path]:
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            found += [path] if folder.encode() in path.read_bytes() else []
        except OSError:
            continue
    return found


def test_a_folder_for_connections_that_others_can_open_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "control"
    folder.mkdir(mode=0o755)
    with pytest.raises(PushError, match="not a private folder"):
        control.make(str(folder))
    link = tmp_path / "link"
    folder.chmod(0o700)
    link.symlink_to(folder)
    with pytest.raises(PushError, match="not a private folder"):
        control.make(str(link))
    control.make(str(folder))


def deployment(**changes: Any) -> dict[str, Any]:
    return {
        "id": "d1",
        "name": "50-join",
        "group": "script",
        "outputs": [{"name": "token"}, {"name": "url"}],
        **changes,
    }


def test_what_deployments_report_is_stored_without_secrets(cloud: Cloud) -> None:
    name = "server-0"
    cloud.make_plan({"mysql": {"root-password": "%{secret:Mysql#1}"}, "deployments": [deployment()]})
    signal = {"token": "generated-here", "url": f"db://root:{SECRET}@host", "deploy_status_code": 0}
    (cloud.node(name) / "deployed").mkdir()
    report = cloud.node(name) / "deployed/d1.notify.json"
    report.write_text(json.dumps(signal))
    outcome = cloud.deliver(name)[name]
    stored = reports(cloud)[name]
    assert outcome.error is None and outcome.outputs == stored
    assert (stored["d1"]["name"], stored["d1"]["status"], stored["d1"]["reason"]) == (
        "50-join", "COMPLETE", "Outputs received",
    )  # fmt: skip
    assert stored["d1"]["outputs"]["deploy_status_code"] == 0
    assert "generated-here" not in json.dumps(stored) and SECRET not in json.dumps(stored)
    assert stored["d1"]["outputs"]["url"].startswith("db://root:")

    # A run that was killed before it stored them learns them from a node that needs nothing.
    with State.open(str(cloud.state_dir)) as state:
        state.set_deployments(STACK, name, {})
    assert not cloud.deliver(name)[name].pushed and list(reports(cloud)[name]) == ["d1"]

    report.write_text(json.dumps({"deploy_status_code": 7, "deploy_stderr": "no"}))
    outcome = cloud.deliver(name, force=True)[name]
    assert outcome.error.operation == "outputs"
    assert "deployment 50-join: deploy_status_code : Deployment exited with" in outcome.error.message
    assert reports(cloud)[name]["d1"]["status"] == "FAILED"
    cloud.make_plan({"mysql": {"root-password": "%{secret:Mysql#1}"}})
    assert cloud.deliver(name)[name].error is None and reports(cloud) == {}


def reports(cloud: Cloud) -> dict[str, Any]:
    with State.open(str(cloud.state_dir), read_only=True) as state:
        return state.deployments(STACK)
