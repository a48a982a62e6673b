# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The node's service as the element installs it, under a systemd of its own."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from ansible_collections.tripleo.cloud.plugins.module_utils._node_zipapp import build_zipapp
from machine import Machine

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]
COUNT = "#!/bin/sh\necho >>/var/lib/runs\n"


class Node(Machine):
    """A machine with the element node-agent in it."""

    def install(self) -> None:
        """What image_build does with the element."""
        hooks = self.root / "opt/hooks"
        for name in ("install.d", "node-agent-files"):
            shutil.copytree(ROOT / "elements/node-agent" / name, hooks / name)
        build_zipapp(str(hooks / "node-agent.pyz"))
        for script in sorted((hooks / "install.d").iterdir()):
            self.run(f"bash /opt/hooks/install.d/{script.name}")
        self.write("usr/libexec/os-apply-config/templates/etc/app.conf", "value = {{value}}\n")
        self.write("usr/libexec/os-apply-config/templates/run/app.conf", "value = {{value}}\n")
        self.write("usr/libexec/os-refresh-config/configure.d/50-count", COUNT, 0o755)

    def write(self, path: str, text: str, mode: int = 0o644) -> None:
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        file.chmod(mode)

    def push(self, value: str, then: str = "", check: bool = True) -> None:
        payload = {"documents": [["all", {"value": value}]], "digest": value}
        self.write("root/payload", json.dumps(payload))
        self.run(f"node-agent push </root/payload >/root/steps {then}", check=check)

    def status(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.run("node-agent status").stdout)
        return found

    def app(self) -> str:
        file = self.root / "etc/app.conf"
        return file.read_text() if file.exists() else ""

    def runs(self) -> int:
        file = self.root / "var/lib/runs"
        return len(file.read_text().splitlines()) if file.exists() else 0

    def wake_ups(self) -> list[str]:
        [pid] = [pid for pid, command in self.processes().items() if command.endswith("node-agent service ")]
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
        return [line for line in lines if "ctxt_switches" in line]


class Source:
    """A document with an ETag; ``asked`` has the status of each GET."""

    def __init__(self) -> None:
        self.value = "polled-1"
        self.asked: list[int] = []
        source = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                same = self.headers["If-None-Match"] == f'"{source.value}"'
                body = b"" if same else json.dumps({"value": source.value}).encode()
                self.send_response(304 if same else 200)
                self.send_header("ETag", f'"{source.value}"')
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                if self.command == "GET":
                    source.asked.append(304 if same else 200)
                    self.wfile.write(body)

            do_HEAD = do_GET

            def log_message(self, *_arguments: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        Thread(target=self.server.serve_forever, daemon=True).start()


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    folder = tmp_path_factory.mktemp("node")
    node = Node(folder / "machine", ROOT / ".cache" / "machine" / "base")
    node.start()
    try:
        node.install()
        node.run("systemctl daemon-reload && systemctl start node-agent")
        yield node
    finally:
        node.stop()
        shutil.rmtree(folder)


@pytest.fixture
def source() -> Iterator[Source]:
    source = Source()
    yield source
    source.server.shutdown()
    source.server.server_close()


def wait_for(reached: Callable[[], object]) -> None:
    deadline = time.monotonic() + 30
    while not reached():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_it_sleeps_and_a_push_holds_at_once(node: Node) -> None:
    wait_for(lambda: "node-agent resume" not in " ".join(node.processes().values()))
    time.sleep(0.5)
    before = node.wake_ups()
    time.sleep(5)
    assert node.wake_ups() == before
    node.push("pushed-1")
    assert (node.app(), node.status()["progress"]["stage"]) == ("value = pushed-1\n", "healthy")
    assert node.run("systemctl is-active node-agent").stdout == "active\n"


def test_a_killed_run_is_repaired_by_the_next_start(node: Node) -> None:
    script = "usr/libexec/os-refresh-config/post-configure.d/50-wait"
    node.write(script, "#!/bin/sh\necho $PPID >/run/ppid; sleep 60\n", 0o755)
    node.push("pushed-2", "2>&1 &")
    wait_for(lambda: node.status()["progress"]["detail"] == "post-configure.d/50-wait")
    shown = node.status()["progress"]
    assert (shown["stage"], shown["step"], shown["running"]) == ("booted", "services", True)
    node.run("kill -9 $(cat /run/ppid); pkill sleep; true")
    node.write(script, "#!/bin/sh\nexit 0\n", 0o755)
    assert node.status()["progress"]["cause"] == "the last run was cut off"
    node.run("systemctl restart node-agent")
    wait_for(lambda: node.status()["healthy"])
    assert (node.app(), node.status()["digest"]) == ("value = pushed-2\n", "pushed-2")


def test_a_start_renders_what_the_last_one_took_along_and_the_next_touches_nothing(node: Node) -> None:
    before = node.runs()
    node.stop()
    node.start()
    wait_for(lambda: node.runs() == before + 1 and node.status()["healthy"])
    assert node.run("cat /run/app.conf").stdout == "value = pushed-2\n"
    node.run("systemctl restart node-agent")
    wait_for(lambda: "node-agent resume" not in " ".join(node.processes().values()))
    assert node.runs() == before + 1
    assert node.run("systemctl is-failed node-agent-boot node-agent", check=False).stdout == "inactive\nactive\n"


def test_polling_by_etag_and_a_stop_in_a_run(node: Node, source: Source) -> None:
    node.write(
        "etc/os-collect-config.conf",
        "[DEFAULT]\npolling_interval = 1\ncollectors = request\n[node_agent]\npolling = true\n"
        f"[request]\nmetadata_url = http://127.0.0.1:{source.server.server_port}/\n",
    )
    node.run("systemctl reload node-agent")
    wait_for(lambda: node.app() == "value = polled-1\n" and node.status()["healthy"])
    wait_for(lambda: 304 in source.asked)
    runs = node.runs()
    wait_for(lambda: source.asked.count(304) > 2)
    assert node.runs() == runs
    node.write("usr/libexec/os-refresh-config/post-configure.d/50-wait", "#!/bin/sh\nsleep 2\n", 0o755)
    source.value = "polled-2"
    wait_for(lambda: node.status()["progress"]["detail"] == "post-configure.d/50-wait")
    node.run("systemctl stop node-agent")
    shown = node.status()["progress"]
    assert (node.app(), shown["running"], shown["step"]) == ("value = polled-2\n", False, "services")
    node.run("systemctl start node-agent")
    wait_for(lambda: node.status()["healthy"])
