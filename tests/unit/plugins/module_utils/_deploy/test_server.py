# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the ramdisk does with its server, beside one that speaks HTTP."""

from __future__ import annotations

import http.server
import json
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from ansible_collections.tripleo.cloud.plugins.module_utils._deploy import server as servers
from ansible_collections.tripleo.cloud.plugins.module_utils._deploy.errors import DeployError
from ansible_collections.tripleo.cloud.plugins.module_utils._deploy.server import Reporter, Server, Ticker

CONTENT = bytes(range(256)) * 4


class Peer:
    """Answers below /place/.

    refuse: how many requests get 503 first; drop: how many lose their connection; cut: how many in mid-answer.
    """

    def __init__(self) -> None:
        self.refuse = 0
        self.drop = 0
        self.cut = 0
        self.ranges = True
        self.put: dict[str, Any] = {}
        self.connections: set[Any] = set()
        peer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                peer.connections.add(self.client_address)
                if peer.drop:
                    peer.drop -= 1
                    self.close_connection = True
                elif peer.refuse:
                    peer.refuse -= 1
                    self.answer(503, b"busy")
                elif self.path != "/place/file":
                    self.answer(404, b"no such file")
                elif peer.ranges and "Range" in self.headers:
                    start, _dash, end = self.headers["Range"].removeprefix("bytes=").partition("-")
                    self.answer(206, CONTENT[int(start) : int(end) + 1])
                else:
                    self.answer(200, CONTENT)

            def do_PUT(self) -> None:
                peer.put[self.path] = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                self.answer(201, b"")

            def answer(self, status: int, content: bytes) -> None:
                self.send_response(status)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                if peer.cut:
                    peer.cut -= 1
                    self.close_connection = True
                    content = content[: len(content) // 2]
                self.wfile.write(content)

            def log_message(self, *_arguments: object) -> None:
                pass

        self.http = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.http.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.http.server_port}/place/"


@pytest.fixture
def peer(monkeypatch: pytest.MonkeyPatch) -> Iterator[Peer]:
    monkeypatch.setattr(servers, "_PAUSE", 0.01)
    made = Peer()
    yield made
    made.http.shutdown()
    made.http.server_close()


def test_ranges_come_over_one_connection(peer: Peer) -> None:
    server = Server(peer.url, 5)
    assert server.get("file") == CONTENT
    assert server.get("file", 10, 20) == CONTENT[10:30]
    assert server.get("file", 0, len(CONTENT)) == CONTENT
    assert len(peer.connections) == 1


@pytest.mark.parametrize("trouble", ["refuse", "drop", "cut"])
def test_a_server_that_comes_back_is_waited_for(peer: Peer, trouble: str) -> None:
    setattr(peer, trouble, 3)
    assert Server(peer.url, 5).get("file", 1, 2) == CONTENT[1:3]
    setattr(peer, trouble, 3)
    assert Server(peer.url, 5).get("file") == CONTENT


def test_a_server_that_stays_away_is_given_up() -> None:
    with pytest.raises(DeployError, match=r"file: .*refused, for 0 s"):
        Server("http://127.0.0.1:9/place/", 0).get("file")


def test_a_file_that_is_not_there_is_waited_for_and_then_missed(peer: Peer) -> None:
    with pytest.raises(DeployError, match="other: the server answered 404"):
        Server(peer.url, 0.1).get("other")


@pytest.mark.parametrize(("start", "length", "problem"), [(0, 10, "more than 10 bytes, with status 200")])
def test_a_server_without_ranges_is_not_swallowed(peer: Peer, start: int, length: int, problem: str) -> None:
    peer.ranges = False
    with pytest.raises(DeployError, match=problem):
        Server(peer.url, 5).get("file", start, length)


def test_a_range_behind_the_end_is_short(peer: Peer) -> None:
    with pytest.raises(DeployError, match="the server sent 4 bytes instead of 8"):
        Server(peer.url, 5).get("file", len(CONTENT) - 4, 8)


def test_whether_a_file_is_there(peer: Peer) -> None:
    server = Server(peer.url, 900)
    assert server.exists("file")
    assert not server.exists("go")
    assert not Server("http://127.0.0.1:9/place/", 900).exists("go")


@pytest.mark.parametrize("url", ["https://a/b/", "http://a/b", "ftp://a/", "/b/", "http:///b/"])
def test_only_the_urls_of_the_boot_room_are_taken(url: str) -> None:
    with pytest.raises(DeployError, match=r"tripleo\.url"):
        Server(url, 1)


def test_reports_are_numbered_and_named_after_the_boot(peer: Peer) -> None:
    reporter = Reporter(Server(peer.url, 5), Server(peer.url, 5), {"boot_id": "b-1", "token": "t"})
    reporter.send("ramdisk", disks=[])
    reporter.tick(percent=5)
    assert peer.put == {
        "/place/report/b-1-1.json": {"boot_id": "b-1", "token": "t", "number": 1, "stage": "ramdisk", "disks": []},
        "/place/report/b-1-2.json": {"boot_id": "b-1", "token": "t", "number": 2, "stage": "writing", "percent": 5},
    }


def test_progress_that_nobody_takes_is_lost_without_harm() -> None:
    away = Server("http://127.0.0.1:9/place/", 0)
    Reporter(away, away, {"boot_id": "b"}).tick(percent=1)


def test_progress_is_reported_and_said(peer: Peer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(servers, "_TICK_EVERY", 0.01)
    monkeypatch.setattr(servers, "_SAY_EVERY", 0)
    said: list[str] = []
    reported = threading.Event()

    def say(line: str) -> None:
        said.append(line)
        if len(said) > 2:
            reported.set()

    reporter = Reporter(Server(peer.url, 5), Server(peer.url, 5), {"boot_id": "b"})
    with Ticker(reporter, 1000, say) as ticker:
        ticker.progress(250)
        assert reported.wait(10)
    last = peer.put[f"/place/report/b-{len(peer.put)}.json"]
    assert (last["stage"], last["percent"], last["bytes"], last["total"]) == ("writing", 25.0, 250, 1000)
    assert said[-1].startswith("25.0 % at ")
