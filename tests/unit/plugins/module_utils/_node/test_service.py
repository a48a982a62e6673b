# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The node's service as a process: what it starts, how it polls, what it tells, how it and its runs end."""

from __future__ import annotations

import json
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from agent_node import Node
from ansible_collections.tripleo.cloud.plugins.module_utils import _node_zipapp
from ansible_collections.tripleo.cloud.plugins.module_utils._node import progress
from ansible_collections.tripleo.cloud.plugins.module_utils._node.polling import Polling
from ansible_collections.tripleo.cloud.plugins.module_utils._node.service import Schedule
from ansible_collections.tripleo.cloud.plugins.module_utils._node.store import State

DOCUMENT: dict[str, Any] = {"mysql": {"root-password": "Heifs23jk3"}}
APP = "root/etc/app.conf"


@pytest.fixture(scope="module")
def zipapp(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("agent") / "node-agent.pyz"
    _node_zipapp.build_zipapp(str(path))
    return path


class Web:
    """One document with an ETag, and a place for reports."""

    def __init__(self) -> None:
        self.document: Any = DOCUMENT
        self.broken = False
        self.asked: list[tuple[str, int]] = []
        self.reports: list[dict[str, Any]] = []
        web = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                body = json.dumps(web.document).encode()
                tag = f'"{hash(body)}"'
                known = self.headers.get("If-None-Match") == tag
                status = 503 if web.broken else 304 if known else 200
                web.asked.append((self.command, status))
                self.send_response(status)
                self.send_header("ETag", tag)
                self.send_header("Content-Length", str(len(body) if status == 200 else 0))
                self.end_headers()
                if self.command == "GET" and status == 200:
                    self.wfile.write(body)

            do_HEAD = do_GET

            def do_PUT(self) -> None:
                report = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                web.asked.append((self.command, 503 if web.broken else 201))
                if not web.broken:
                    assert self.path == f"/r/{report['boot_id']}-{report['number']}.json"
                    web.reports.append(report)
                self.send_response(503 if web.broken else 201)
                self.end_headers()

            def log_message(self, *_arguments: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def web() -> Iterator[Web]:
    server = Web()
    yield server
    server.close()


class Served(Node):
    """A node with a service."""

    process: subprocess.Popen[str] | None = None

    def meta(self, **values: str) -> None:
        self.write("root/run/node-agent/meta.json", json.dumps(values))

    def serve(self) -> subprocess.Popen[str]:
        self.environment["HOME"] = str(self.folder)
        self.process = self.start("service")
        wait_for((self.folder / "root/run/node-agent/service").exists)
        return self.process

    def stop(self) -> None:
        (self.folder / "hold").unlink(missing_ok=True)
        if self.process and self.process.poll() is None:
            self.process.terminate()
            assert self.process.wait(60) == 0

    def start_push(self, document: Any = None) -> subprocess.Popen[str]:
        process = self.start("push")
        assert process.stdin
        process.stdin.write(json.dumps({"documents": [["all", document or DOCUMENT]], "digest": "d1"}))
        process.stdin.close()
        return process

    def hold(self, then: str = "") -> None:
        """Have the script 10-a wait until ``let_go``."""
        self.write("hold", "")
        wait = f"echo >{self.folder}/begun; while [ -e {self.folder}/hold ]; do sleep 0.05; done"
        self.write("phases/configure.d/10-a", f"#!/bin/sh\n{wait}\n{then}\n", 0o755)

    def let_go(self) -> None:
        (self.folder / "hold").unlink()

    def detail(self) -> str:
        path = self.folder / "state/progress.json"
        return str(json.loads(path.read_text())["detail"]) if path.exists() else ""

    def app(self) -> str:
        path = self.folder / APP
        return path.read_text() if path.exists() else ""

    def place(self) -> tuple[str, str, str]:
        found = self.status()["progress"]
        return found["stage"], found["step"], found["detail"]


@pytest.fixture
def node(tmp_path: Path, zipapp: Path) -> Iterator[Served]:
    node = Served(tmp_path, zipapp)
    yield node
    node.stop()


def wait_for(reached: Callable[[], object], seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not reached():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def wake_ups(process: subprocess.Popen[str]) -> list[str]:
    lines = Path(f"/proc/{process.pid}/status").read_text().splitlines()
    return [line for line in lines if "ctxt_switches" in line]


def settled(process: subprocess.Popen[str]) -> bool:
    """No process of its own is at work, and it did not wake for a while."""
    before = wake_ups(process)
    time.sleep(1)
    return wake_ups(process) == before and not Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text()


def test_without_polling_it_sleeps_without_waking_once(node: Served) -> None:
    process = node.serve()
    wait_for(lambda: settled(process))
    before = wake_ups(process)
    time.sleep(2)
    assert wake_ups(process) == before
    assert node.place() == ("booted", "metadata", "waiting for documents")


def test_polling_applies_what_changed_and_nothing_else(node: Served, web: Web) -> None:
    node.meta(tripleo_polling_interval="1", tripleo_metadata_url=f"{web.url}/d")
    node.write("phases/configure.d/50-count", '#!/bin/sh\necho >>"$NODE_AGENT_STATE/runs"\n', 0o755)
    node.serve()
    wait_for(lambda: node.status()["healthy"])
    assert web.asked[:2] == [("HEAD", 200), ("GET", 200)]
    wait_for(lambda: ("GET", 304) in web.asked)
    assert (node.folder / "state/runs").read_text() == "\n"
    web.document = {"mysql": {"root-password": "changed-0"}}
    wait_for(lambda: node.app() == "password = changed-0\n")
    wait_for(lambda: node.status()["healthy"])
    assert [asked for asked in web.asked if asked[0] == "HEAD"] == [("HEAD", 200)]
    assert (node.folder / "state/polled.json").stat().st_mode & 0o777 == 0o600


def test_metadata_that_goes_away_leaves_what_was_good(node: Served, web: Web) -> None:
    node.meta(tripleo_polling_interval="1", tripleo_metadata_url=f"{web.url}/d")
    assert node.run("poll").returncode == 0
    for broken in (503, [], "text"):
        web.broken, web.document = broken == 503, broken
        assert node.run("poll").returncode == 1
        assert (node.status()["healthy"], node.app()) == (True, "password = Heifs23jk3\n")
    web.document = DOCUMENT
    assert (node.run("poll").returncode, web.asked[-1]) == (0, ("GET", 304))


def test_one_source_that_goes_away_takes_nothing_from_the_others(node: Served, web: Web) -> None:
    local = node.folder / "local"
    local.mkdir()
    local.chmod(0o755)
    node.environment["HOME"] = str(node.folder)
    node.write("local/extra", '{"extra": 1}')
    node.write("templates/etc/app.conf", "{{mysql.root-password}} {{extra}}")
    node.write(
        "os-collect-config.conf",
        f"[DEFAULT]\ncollectors = request\ncollectors = local\n[request]\nmetadata_url = {web.url}/d\n"
        f"[local]\npath = {local}\n[node_agent]\npolling = true\n",
    )
    assert (node.run("poll").returncode, node.app()) == (0, "Heifs23jk3 1")
    web.broken = True
    node.write("local/extra", '{"extra": 2}')
    assert (node.run("poll").returncode, node.app()) == (1, "Heifs23jk3 2")
    assert node.status()["documents"] == ["request", "extra"]


def test_a_push_stays_until_the_source_changes(node: Served, web: Web) -> None:
    node.meta(tripleo_metadata_url=f"{web.url}/d")
    assert node.run("poll").returncode == 0
    node.push({"mysql": {"root-password": "pushed-0"}})
    assert (node.run("poll").returncode, node.app()) == (0, "password = pushed-0\n")
    web.document = {"mysql": {"root-password": "changed-0"}}
    assert (node.run("poll").returncode, node.app()) == (0, "password = changed-0\n")


def test_documents_that_could_not_be_applied_are_tried_again(node: Served, web: Web) -> None:
    node.meta(tripleo_metadata_url=f"{web.url}/d")
    script = node.write("phases/post-configure.d/50-a", "#!/bin/sh\nexit 3\n", 0o755)
    assert [node.run("poll").returncode for _time in range(2)] == [1, 1]
    assert node.place() == ("booted", "services", "post-configure.d/50-a")
    script.write_text("#!/bin/sh\nexit 0\n")
    assert (node.run("poll").returncode, node.place()) == (0, ("healthy", "", ""))


def test_documents_that_were_rolled_back_are_tried_again_when_they_change(node: Served, web: Web) -> None:
    node.meta(tripleo_metadata_url=f"{web.url}/d")
    node.write("phases/configure.d/50-count", '#!/bin/sh\necho >>"$NODE_AGENT_STATE/runs"\n', 0o755)
    check = f"#!/bin/sh\n! grep -q bad {node.folder}/{APP}\n"
    node.write("phases/post-configure.d/50-check", check, 0o755)
    assert node.run("poll").returncode == 0
    web.document = {"mysql": {"root-password": "bad-word-0"}}
    assert [node.run("poll").returncode for _time in range(3)] == [0, 0, 0]
    assert (node.app(), (node.folder / "state/runs").read_text()) == ("password = Heifs23jk3\n", "\n\n")
    assert "50-check" in node.status()["progress"]["cause"]
    web.document = {"mysql": {"root-password": "good-word-0"}}
    assert (node.run("poll").returncode, node.app()) == (0, "password = good-word-0\n")


def test_sigterm_lets_a_rollback_come_to_its_end(node: Served) -> None:
    node.push(DOCUMENT)
    held = f"while [ -e {node.folder}/hold ]; do sleep 0.05; done"
    body = f"if grep -q bad {node.folder}/{APP}; then exit 1; fi\n{held}\necho >>$NODE_AGENT_STATE/told"
    node.write("phases/post-configure.d/50-check", f"#!/bin/sh\n{body}\n", 0o755)
    node.write("hold", "")
    process = node.start_push({"mysql": {"root-password": "bad-word-0"}})
    wait_for(lambda: node.app() == "password = Heifs23jk3\n" and node.detail() == "post-configure.d/50-check")
    process.terminate()
    node.let_go()
    assert process.wait(60) == 1
    assert (node.folder / "state/told").exists() and "50-check" in node.status()["cause"]
    assert node.run("resume").stdout == ""


def test_a_settings_file_that_cannot_be_read_turns_polling_off(node: Served, web: Web) -> None:
    node.meta(tripleo_polling_interval="soon", tripleo_metadata_url=f"{web.url}/d")
    process = node.serve()
    wait_for(lambda: settled(process))
    assert web.asked == []
    node.meta(tripleo_polling_interval="3600", tripleo_metadata_url=f"{web.url}/d")
    process.send_signal(signal.SIGHUP)
    wait_for(lambda: node.status()["healthy"])


def test_a_start_repairs_what_was_cut_off_and_touches_nothing_else(node: Served) -> None:
    node.write("phases/configure.d/50-count", '#!/bin/sh\necho >>"$NODE_AGENT_STATE/runs"\n', 0o755)
    script = node.write("phases/post-configure.d/50-a", '#!/bin/sh\nkill -9 "$PPID"\n', 0o755)
    assert node.run("push", given=json.dumps({"documents": [["all", DOCUMENT]], "digest": "d1"})).returncode == -9
    shown = node.status()["progress"]
    assert (shown["step"], shown["detail"], shown["running"]) == ("services", "post-configure.d/50-a", False)
    assert shown["cause"] == progress.CUT_OFF
    script.write_text("#!/bin/sh\nexit 0\n")
    assert (node.run("resume").returncode, node.place()) == (0, ("healthy", "", ""))
    runs = (node.folder / "state/runs").read_text()
    done = node.run("resume")
    assert (done.returncode, done.stdout, (node.folder / "state/runs").read_text()) == (0, "", runs)
    (node.folder / APP).unlink()
    assert (node.run("resume").returncode, node.app()) == (0, "password = Heifs23jk3\n")


def test_a_start_leaves_alone_what_failed_by_itself_and_documents_that_are_not_whole(node: Served) -> None:
    node.write("phases/post-configure.d/50-a", '#!/bin/sh\necho >>"$NODE_AGENT_STATE/runs"\nexit 3\n', 0o755)
    node.push(DOCUMENT)
    assert (node.run("resume").stdout, (node.folder / "state/runs").read_text()) == ("", "\n")
    state = json.loads((node.folder / "state/state.json").read_text())
    node.write("state/state.json", json.dumps({**state, "cause": "", "content": ""}))
    assert (node.run("resume").stdout, (node.folder / "state/runs").read_text()) == ("", "\n")


def test_sigterm_ends_a_run_after_its_script_and_the_next_one_goes_on(node: Served) -> None:
    node.hold('echo >>"$NODE_AGENT_STATE/a"')
    node.write("phases/configure.d/15-b", '#!/bin/sh\necho >>"$NODE_AGENT_STATE/b"\n', 0o755)
    process = node.start_push()
    wait_for((node.folder / "begun").exists)
    process.terminate()
    assert process.poll() is None
    node.let_go()
    assert process.wait(20) == 143
    assert [(node.folder / "state" / name).exists() for name in "ab"] == [True, False]
    assert node.status()["progress"]["cause"] == progress.CUT_OFF
    assert (node.run("resume").returncode, node.status()["healthy"]) == (0, True)


def test_sigterm_ends_a_run_that_waits_at_once(node: Served) -> None:
    node.hold()
    first = node.start_push()
    wait_for((node.folder / "begun").exists)
    second = node.start_push()
    assert second.stdout
    assert json.loads(second.stdout.readline()) == {"step": "lock", "status": "waiting"}
    second.terminate()
    assert second.wait(20) == 143 and first.poll() is None
    node.let_go()
    assert first.wait(20) == 0


def test_the_service_ends_after_the_run_that_it_started(node: Served, web: Web) -> None:
    node.meta(tripleo_polling_interval="3600", tripleo_metadata_url=f"{web.url}/d")
    node.hold()
    process = node.serve()
    process.send_signal(signal.SIGHUP)
    wait_for((node.folder / "begun").exists)
    process.terminate()
    time.sleep(0.3)
    assert process.poll() is None
    node.let_go()
    assert process.wait(20) == 0
    assert node.status()["progress"]["running"] is False
    assert node.status()["progress"]["cause"] == progress.CUT_OFF


def test_places_are_reported_with_the_token_and_without_causes(node: Served, web: Web) -> None:
    node.meta(tripleo_report_url=f"{web.url}/r/", tripleo_token="t", tripleo_plan="p", tripleo_server="s")
    node.write("phases/post-configure.d/50-a", "#!/bin/sh\necho Heifs23jk3\nsleep 0.3\nexit 3\n", 0o755)
    assert node.place()[:2] == ("booted", "network")
    node.write("state/reported", "instance\n")
    process = node.serve()
    wait_for(lambda: settled(process))
    assert web.reports == []
    node.push(DOCUMENT)
    wait_for(lambda: web.reports and web.reports[-1]["failed"])
    last = web.reports[-1]
    assert {name: last[name] for name in ("stage", "step", "detail", "token", "plan", "server")} == {
        "stage": "booted", "step": "services", "detail": "post-configure.d/50-a",
        "token": "t", "plan": "p", "server": "s",
    }  # fmt: skip
    assert [report["number"] for report in web.reports] == list(range(2, 2 + len(web.reports)))
    assert "Heifs" not in json.dumps(web.reports)


def test_reports_that_nobody_takes_end_after_a_few_tries_and_harm_nothing(node: Served, web: Web) -> None:
    node.meta(tripleo_report_url=f"{web.url}/r/")
    web.broken = True
    process = node.serve()
    wait_for(lambda: settled(process))
    assert node.push(DOCUMENT)[0] == 0
    wait_for(lambda: len(web.asked) >= 2)
    assert set(web.asked) == {("PUT", 503)}
    web.broken = False
    node.push({"mysql": {"root-password": "another-0"}}, "d2")
    wait_for(lambda: web.reports and web.reports[-1]["stage"] == "healthy")


def test_the_schedule() -> None:
    schedule = Schedule(lambda: 0.5)
    schedule.set(Polling(), 0.0)
    schedule.polled(True, 0.0)
    schedule.hurry(0.0)
    assert schedule.due is None
    polling = Polling(60.0, 0.0, 200.0)
    schedule.set(polling, 100.0)
    assert schedule.due == 130.0
    schedule.set(polling, 110.0)
    assert schedule.due == 130.0, "equal settings change nothing"
    seen = []
    for well in (True, False, False, False, False, True):
        schedule.polled(well, 0.0)
        seen.append(schedule.due)
    assert seen == [60.0, 120.0, 200.0, 200.0, 200.0, 60.0]
    schedule.hurry(7.0)
    assert schedule.due == 7.0
    schedule.set(Polling(60.0, 10.0, 200.0), 0.0)
    assert schedule.due == 5.0
    schedule.set(Polling(), 0.0)
    assert schedule.due is None


@pytest.mark.parametrize(("random", "pause"), [(0.0, 54.0), (0.999999, 66.0)])
def test_pauses_are_spread_by_a_tenth(random: float, pause: float) -> None:
    schedule = Schedule(lambda: random)
    schedule.set(Polling(60.0, 0.0, 600.0), 0.0)
    schedule.polled(True, 0.0)
    assert schedule.due == pytest.approx(pause, abs=0.01)


PLACES: list[tuple[dict[str, Any], tuple[str, str, str]]] = [
    ({"step": "network", "status": "started"}, ("booted", "network", "network")),
    ({"step": "network", "status": "done"}, ("booted", "rendered", "network")),
    ({"step": "documents", "status": "done"}, ("booted", "rendered", "documents")),
    ({"step": "configure", "script": "10-a", "status": "started"}, ("booted", "rendered", "configure.d/10-a")),
    ({"step": "render", "status": "started"}, ("booted", "rendered", "render")),
    ({"step": "checks", "status": "started"}, ("booted", "rendered", "checks")),
    ({"step": "render", "status": "done"}, ("booted", "services", "render")),
    ({"step": "post-configure", "script": "50-a", "status": "done"}, ("booted", "services", "post-configure.d/50-a")),
    ({"step": "configured", "status": "done"}, ("configured", "services", "health")),
    ({"step": "health", "script": "app", "status": "failed"}, ("configured", "services", "health.d/app")),
    ({"step": "healthy", "status": "done"}, ("healthy", "", "")),
]


def test_the_place_follows_the_lines_of_a_run() -> None:
    place = progress.begun()
    for line, expected in PLACES:
        place = progress.after(place, line)
        assert (place[:3], place.cause, place.ended) == (expected, "", False), line
    assert progress.after(place, {"result": {"healthy": True, "failed": None}}) == ("healthy", "", "", "", True)


@pytest.mark.parametrize(
    ("step", "expected"),
    [
        ("documents", ("metadata", "documents")), ("network", ("network", "network")),
        ("phases", ("rendered", "render")),
        ("configure.d/10-a", ("rendered", "configure.d/10-a")),
    ],
)  # fmt: skip
def test_the_place_after_a_failure(step: str, expected: tuple[str, str]) -> None:
    place = progress.after(progress.begun(), {"step": "render", "status": "started"})
    place = progress.after(place, {"result": {"failed": {"step": step, "cause": "why"}}})
    assert (place.step, place.detail) == expected
    assert (place.cause, place.ended) == ("why", True)


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        (State(), ("booted", "metadata", "waiting for documents", "")),
        (State(digest="d", healthy=True, stage="healthy"), ("healthy", "", "", "")),
        (State(digest="d", step="documents"), ("booted", "metadata", "documents", progress.CUT_OFF)),
        (
            State(digest="d", step="health", stage="configured", cause="why"),
            ("configured", "services", "health", "why"),
        ),
    ],
)
def test_the_place_after_a_restart_comes_from_the_state(state: State, expected: tuple[str, ...]) -> None:
    assert progress.of_state(state)[:4] == expected
