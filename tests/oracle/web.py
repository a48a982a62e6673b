# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A real HTTP server on the loopback address: the metadata service, Heat's two APIs, keystone, a queue of zaqar."""

from __future__ import annotations

import json
import threading
import urllib.parse
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

# Path without its query -> status, headers, body; or a function of the request that gives them.
Answer = tuple[int, dict[str, str], str | bytes]


class Web:
    """What is served may be changed at any time; ``requests`` is what was asked for."""

    def __init__(self) -> None:
        self.pages: dict[str, Answer | Callable[[BaseHTTPRequestHandler], Answer]] = {}
        self.requests: list[str] = []
        web = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                web.requests.append(f"{self.command} {self.path}")
                found = web.pages.get(self.path.partition("?")[0], (404, {}, "not here"))
                status, headers, body = found(self) if callable(found) else found
                content = body.encode() if isinstance(body, str) else body
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(content)

            do_HEAD = do_GET
            do_POST = do_GET
            do_DELETE = do_GET
            do_PUT = do_GET

            def log_message(self, *_arguments: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()

    def text(self, path: str, body: str | bytes, kind: str | None = "text/plain") -> None:
        self.pages[path] = (200, {"Content-Type": kind} if kind else {}, body)

    def json(self, path: str, value: Any, status: int = 200, headers: dict[str, str] | None = None) -> None:
        self.pages[path] = (status, {"Content-Type": "application/json", **(headers or {})}, json.dumps(value))

    def heat(self, metadata: Any, token: str = "secret-token", **changes: Any) -> None:
        """Keystone with a catalog, and one resource of one stack."""
        versions = [
            {"id": "v3.14", "status": "stable", "links": [{"rel": "self", "href": f"{self.url}/keystone/v3/"}]},
            {"id": "v2.0", "status": "deprecated", "links": [{"rel": "self", "href": f"{self.url}/keystone/v2.0/"}]},
        ]
        endpoints = [
            {"interface": "internal", "region": "one", "region_id": "one", "url": f"{self.url}/wrong", "id": "1"},
            {"interface": "public", "region": "two", "region_id": "two", "url": f"{self.url}/heat2", "id": "2"},
            {"interface": "public", "region": "one", "region_id": "one", "url": f"{self.url}/heat", "id": "3"},
        ]
        catalog = [
            {"type": "identity", "name": "keystone", "id": "a", "endpoints": []},
            {"type": "orchestration", "name": "heat", "id": "b", "endpoints": changes.get("endpoints", endpoints)},
        ]
        body = {
            "token": {
                "methods": ["password"],
                "catalog": changes.get("catalog", catalog),
                "expires_at": "2099-01-01T00:00:00.000000Z",
                "issued_at": "2026-01-01T00:00:00.000000Z",
                "user": {"id": "user", "name": "user", "domain": {"id": "default", "name": "Default"}},
                "project": {"id": "project", "name": "project", "domain": {"id": "default", "name": "Default"}},
                "roles": [],
            }
        }

        def log_in(handler: BaseHTTPRequestHandler) -> Answer:
            given = json.loads(handler.rfile.read(int(handler.headers["Content-Length"])))["auth"]
            user = given["identity"]["password"]["user"]
            good = user == {"id": "user", "password": "password"} and given["scope"] == {"project": {"id": "project"}}
            if not good:
                return 401, {"Content-Type": "application/json"}, '{"error": {"code": 401, "message": "no"}}'
            return 201, {"Content-Type": "application/json", "X-Subject-Token": token}, json.dumps(body)

        def resource(handler: BaseHTTPRequestHandler) -> Answer:
            if handler.headers["X-Auth-Token"] != token:
                return 401, {}, "no token"
            return 200, {"Content-Type": "application/json"}, json.dumps(metadata)

        self.json("/keystone/", {"versions": {"values": versions}}, 300)
        self.pages["/keystone"] = self.pages["/keystone/"]
        self.pages["/keystone/v3/auth/tokens"] = log_in
        for endpoint in ("/heat", "/heat2"):
            self.pages[f"{endpoint}/stacks/name/id/resources/res/metadata"] = resource
            self.pages[f"{endpoint}/stacks/id"] = (302, {"Location": f"{self.url}{endpoint}/stacks/name/id"}, "")

    def zaqar(self, messages: list[Any], token: str = "secret-token") -> None:
        """Keystone, and a queue from which each DELETE with ``pop`` takes as many messages."""
        zaqar = [{"interface": "public", "region": "one", "region_id": "one", "url": f"{self.url}/zaqar/", "id": "4"}]
        catalog = [
            {"type": "identity", "name": "keystone", "id": "a", "endpoints": []},
            {"type": "messaging", "name": "zaqar", "id": "c", "endpoints": zaqar},
        ]
        self.heat({}, token, catalog=catalog)
        left = [{"id": str(number), "ttl": 3600, "age": 1, "body": body} for number, body in enumerate(messages)]

        def pop(handler: BaseHTTPRequestHandler) -> Answer:
            headers = handler.headers
            if headers["X-Auth-Token"] != token or headers["X-Project-ID"] != "project" or not headers["Client-ID"]:
                return 401, {"Content-Type": "application/json"}, '{"title": "no", "description": "no token"}'
            count = int(urllib.parse.parse_qs(handler.path.partition("?")[2])["pop"][0])
            if handler.command != "DELETE" or count != 1:
                return 400, {"Content-Type": "application/json"}, '{"title": "no", "description": "not one message"}'
            return 200, {"Content-Type": "application/json"}, json.dumps({"messages": [left.pop(0)] if left else []})

        self.pages["/zaqar/v2/queues/queue/messages"] = pop

    def cfn(self, path: str, fields: dict[str, str]) -> None:
        """DescribeStackResource."""
        inner = "".join(f"<{name}>{text}</{name}>" for name, text in fields.items())
        detail = f"<StackResourceDetail>{inner}</StackResourceDetail>"
        result = f"<DescribeStackResourceResult>{detail}</DescribeStackResourceResult>"
        self.text(path, f"<DescribeStackResourceResponse>{result}</DescribeStackResourceResponse>", "application/xml")
