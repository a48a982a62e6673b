# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""os-collect-config's part of the agent without the originals beside it: options, sources, cache, one pass."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.tripleo.cloud.plugins.module_utils._node import collect, fetch, heat_sources, options, sources
from ansible_collections.tripleo.cloud.plugins.module_utils._node.errors import NodeError


def settings(folder: Path, *arguments: str, **environment: str) -> options.Settings:
    given = [f"--cachedir={folder}/cache", f"--backup-cachedir={folder}/backup", f"--local-path={folder}/local"]
    return options.parse([*given, *arguments], {"HOME": str(folder), **environment})


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "local").mkdir(mode=0o755)
    return tmp_path


def run(folder: Path, command: str, *arguments: str) -> int:
    chosen = settings(folder, "--one-time", "-c", command, *arguments, "local")
    return collect.Collector(chosen, {"PATH": "/usr/bin:/bin"}).main()


def test_values_come_from_files_command_line_and_environment(folder: Path) -> None:
    (folder / "c.conf").write_text("[DEFAULT]\ncommand = echo $cachedir $$HOME \\$x\n[local]\npath = /a\npath = /b\n")
    chosen = options.parse(["--config-file", str(folder / "c.conf"), "--local-path", "/c"], {"OS_EC2__TIMEOUT": "2.5"})
    assert chosen["command"] == "echo /var/lib/os-collect-config $HOME $x"
    assert chosen["local.path"] == ["/a", "/b", "/c"]
    assert chosen["ec2.timeout"] == 2.5 and chosen.files == [str(folder / "c.conf")]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[DEFAULT]\ncommand = $none\n", "no such option none"),
        ("[DEFAULT]\nsplay = soon\n", "--splay: Invalid Float value: soon"),
        ("[request]\nmetadata_url = nowhere\n", "Invalid URI value"),
        ("x = 1\n", "Section must be started"),
        ("[x\n", "Invalid section"),
        ("[DEFAULT]\nno value\n", "not an assignment"),
    ],
)
def test_faults_of_a_configuration_file_are_named(folder: Path, text: str, message: str) -> None:
    (folder / "os-collect-config.conf").write_text(text)
    with pytest.raises(NodeError, match=message):
        settings(folder)


def test_a_pass_commits_only_what_the_command_took(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (folder / "local" / "a").write_text('{"v": 1}')
    assert run(folder, "echo $$OS_CONFIG_FILES; exit 3") == 3
    assert run(folder, "echo again") == 0
    assert run(folder, "echo never") == 0
    assert capfd.readouterr().out == f"{folder}/cache/a.json\nagain\n"
    assert json.loads((folder / "cache" / "os_config_files.json").read_text()) == [f"{folder}/cache/a.json"]
    assert sorted(path.name for path in (folder / "backup").iterdir()) == [
        "a.json", "a.json.orig", "os_config_files.json"
    ]  # fmt: skip


@pytest.mark.parametrize(("old", "new"), [("1", "true"), ("1", "1.0"), ("0", "false"), ("{", "1")])
def test_types_count_and_a_broken_last_file_is_a_change(folder: Path, old: str, new: str) -> None:
    cache = collect.Cache(str(folder))
    (folder / "a.json.orig").write_text(old)
    (folder / "a.json.last").write_text(old)
    assert cache.store("a", json.loads(new))
    cache.commit("a")
    assert not cache.store("a", json.loads(new))


@pytest.mark.parametrize("name", ["../a", "a/b", "/a", "a\0", "os_config_files"])
def test_names_cannot_lead_out_of_the_cache(folder: Path, name: str) -> None:
    with pytest.raises(NodeError, match="the name"):
        collect.Cache(str(folder)).store(name, {})
    assert sorted(folder.iterdir()) == [folder / "local"]


def test_an_unknown_collector_is_refused(folder: Path) -> None:
    with pytest.raises(NodeError, match="Unknown collectors \\['nothing'\\]"):
        collect.Collector(settings(folder, "nothing"), {}).main()


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ({"deployments": [{"name": "n", "config": 1}, {"name": "s", "group": "script", "config": 2}]}, [("n", 1)]),
        ({"deployments": [{"config": 1}, 7, {"name": "o", "group": "os-apply-config", "config": {}}]}, [("o", {})]),
        ({"deployments": "text"}, []),
        ({}, []),
    ],
)
def test_deployments_are_sources_of_their_own(content: Any, expected: Any) -> None:
    assert sources.explode(content, ["deployments"], "heat") == [("heat", content), *expected]


@pytest.mark.parametrize("content", [[], None, "x", {"deployments": [{"name": "n"}]}])
def test_what_cannot_be_exploded_is_unavailable(content: Any) -> None:
    with pytest.raises(sources.Unavailable):
        sources.explode(content, ["deployments"], "heat")


@pytest.mark.parametrize("fault", ["world writable file", "world writable folder", "no JSON", "dangling link"])
def test_a_local_folder_that_is_not_to_be_trusted(folder: Path, fault: str) -> None:
    (folder / "local" / "good").write_text("{}")
    bad = folder / "local" / "bad"
    if fault == "dangling link":
        bad.symlink_to("/none")
    else:
        bad.write_text("{" if fault == "no JSON" else "{}")
    if fault == "world writable file":
        bad.chmod(0o666)
    if fault == "world writable folder":
        (folder / "local").chmod(0o777)
    with pytest.raises(sources.Unavailable):
        sources.local(settings(folder))


class Site:
    """A real HTTP server: path to headers and body."""

    def __init__(self) -> None:
        self.pages: dict[str, tuple[dict[str, str], bytes]] = {}
        self.asked: list[str] = []
        site = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                site.asked.append(f"{self.command} {self.path}")
                headers, body = site.pages.get(self.path, ({}, b""))
                self.send_response(200 if self.path in site.pages else 404)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.end_headers()
                if self.command == "GET":
                    self.wfile.write(body)

            do_HEAD = do_GET

            def log_message(self, *_arguments: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"


@pytest.fixture
def site() -> Iterator[Site]:
    found = Site()
    threading.Thread(target=found.server.serve_forever, daemon=True).start()
    yield found
    found.server.shutdown()
    found.server.server_close()


def test_request_is_fetched_again_only_when_it_was_modified(folder: Path, site: Site) -> None:
    chosen = settings(folder, f"--request-metadata-url={site.url}/r")
    request = sources.Request()
    for hour, value, gets in (("09", 1, 1), ("09", 2, 1), ("08", 3, 1), ("10", 4, 2)):
        modified = {"Last-Modified": f"Wed, 25 Nov 2026 {hour}:00:00 GMT"}
        site.pages["/r"] = (modified, json.dumps({"v": value}).encode())
        assert request(chosen) == [("request", {"v": 1 if gets == 1 else 4})]
        assert site.asked.count("GET /r") == gets
    site.pages["/r"] = ({}, b"[]")
    with pytest.raises(sources.Unavailable):
        request(chosen)


def test_metadata_service_that_never_ends(folder: Path, site: Site, caplog: pytest.LogCaptureFixture) -> None:
    class Endless(dict[str, tuple[dict[str, str], bytes]]):
        def __contains__(self, path: object) -> bool:
            return True

        def get(self, path: str, default: Any = None) -> Any:
            return {}, b"deeper/"

    site.pages = Endless()
    with caplog.at_level(logging.WARNING), pytest.raises(sources.Unavailable):
        sources.ec2(settings(folder, f"--ec2-metadata-url={site.url}/m"))
    assert "nested more than 100 levels" in caplog.text


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://127.0.0.1/x", "http://127.0.0.1:9/", "http://[bad/"])
def test_what_cannot_be_fetched(url: str) -> None:
    with pytest.raises((fetch.FetchError, ValueError)):
        fetch.fetch(url, 1)


def test_an_answer_beyond_the_limit(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetch, "MAX_BYTES", 10)
    site.pages["/r"] = ({}, b"0123456789x")
    with pytest.raises(fetch.FetchError, match="limit of 10 bytes"):
        fetch.fetch(f"{site.url}/r", 5)


def test_signature_of_the_documentation_of_ec2() -> None:
    """The example of the EC2 query API's documentation of signature version 2."""
    query = {
        "AWSAccessKeyId": "AKIAIOSFODNN7EXAMPLE",
        "Action": "DescribeJobFlows",
        "SignatureMethod": "HmacSHA256",
        "SignatureVersion": "2",
        "Timestamp": "2011-10-03T15:19:30",
        "Version": "2009-03-31",
    }
    secret = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
    found = heat_sources.signature(secret, "GET", "https://elasticmapreduce.amazonaws.com/", query)
    assert found == "i91nKc4PWAt0JJIdXwz9HxZCJDdiy6cf/Mj6vPxyYIs="
