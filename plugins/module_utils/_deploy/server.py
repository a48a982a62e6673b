# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The node's own place on the Deployment cloud: what it fetches and where it reports."""

from __future__ import annotations

import contextlib
import http.client
import json
import threading
import time
from collections.abc import Callable
from typing import Any, Optional
from urllib.parse import urlsplit

from .errors import DeployError
from .manifest import LARGEST_BYTES

_TIMEOUT = 30
_PAUSE = 1.0
_TICK_EVERY = 0.9
_SAY_EVERY = 10


class Server:
    """Gets files below a URL and puts reports there; a server that is away is only waited for.

    retry_seconds: how long after the last success it is waited for.
    """

    def __init__(self, url: str, retry_seconds: float) -> None:
        parts = urlsplit(url)
        if parts.scheme != "http" or not parts.hostname or not parts.path.endswith("/"):
            raise DeployError("tripleo.url is no http URL that ends with a slash")
        self._address = (parts.hostname, parts.port or 80)
        self._base = parts.path
        self.retry_seconds = retry_seconds
        self._connection: Optional[http.client.HTTPConnection] = None

    def get(self, name: str, start: int = 0, length: int = 0) -> bytes:
        """A file, or length bytes of it from start; DeployError when the server stays away or sends more than that.

        A whole file may have 64 MiB.
        """
        headers = {"Range": f"bytes={start}-{start + length - 1}"} if length else {}
        answer = self._until("GET", name, None, headers, (206,) if length else (200,), length or LARGEST_BYTES)
        if length and len(answer) != length:
            raise DeployError(f"{name}: the server sent {len(answer)} bytes instead of {length}")
        return answer

    def exists(self, name: str) -> bool:
        """The file is there now; a server that is away counts as no."""
        try:
            return self._once("GET", name, None, {})[0] == 200
        except (DeployError, OSError, http.client.HTTPException):
            self._close()
            return False

    def put(self, name: str, body: bytes) -> None:
        """Put a file; DeployError when the server stays away."""
        self._until("PUT", name, body, {}, (200, 201, 204))

    def _until(
        self,
        method: str,
        name: str,
        body: Optional[bytes],
        headers: dict[str, str],
        wanted: tuple[int, ...],
        most: int = LARGEST_BYTES,
    ) -> bytes:
        deadline = time.monotonic() + self.retry_seconds
        while True:
            try:
                status, answer = self._once(method, name, body, headers, most)
                if status in wanted:
                    return answer
                problem = f"the server answered {status}"
            except (OSError, http.client.HTTPException) as error:
                self._close()
                problem = str(error) or type(error).__name__
            if time.monotonic() > deadline:
                raise DeployError(f"{name}: {problem}, for {self.retry_seconds:.0f} s")
            time.sleep(_PAUSE)

    def _once(
        self, method: str, name: str, body: Optional[bytes], headers: dict[str, str], most: int = LARGEST_BYTES
    ) -> tuple[int, bytes]:
        if self._connection is None:
            self._connection = http.client.HTTPConnection(*self._address, timeout=_TIMEOUT)
        self._connection.request(method, self._base + name, body, headers)
        response = self._connection.getresponse()
        answer = response.read(most + 1)
        if not response.isclosed():
            self._close()
        if response.length and len(answer) <= most:
            # The connection broke off; a read of a given length does not say so.
            raise http.client.IncompleteRead(answer, response.length)
        if len(answer) > most and response.status < 300:
            raise DeployError(f"{name}: the server sent more than {most} bytes, with status {response.status}")
        return response.status, answer

    def _close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


class Reporter:
    """Numbers reports and puts them; while an image is written, its progress once a second.

    common: fields of every report, ``boot_id`` among them.
    """

    def __init__(self, server: Server, ticks: Server, common: dict[str, Any]) -> None:
        self._server = server
        self._ticks = ticks
        self._common = common
        self._number = 0
        self._lock = threading.Lock()

    def send(self, stage: str, **details: Any) -> None:
        """Put a report; waits for a server that is away."""
        self._put(self._server, stage, details)

    def tick(self, **details: Any) -> None:
        """Put a progress report; it is lost when the server is away."""
        with contextlib.suppress(DeployError):
            self._put(self._ticks, "writing", details)

    def _put(self, server: Server, stage: str, details: dict[str, Any]) -> None:
        with self._lock:
            self._number += 1
            number = self._number
        document = {**self._common, "number": number, "stage": stage, **details}
        server.put(f"report/{self._common['boot_id']}-{number}.json", json.dumps(document).encode())


class Ticker:
    """Reports the progress of a write from a thread of its own, once a second; now and then on the console too."""

    def __init__(self, reporter: Reporter, total: int, say: Callable[[str], None]) -> None:
        self._reporter = reporter
        self._total = total
        self._say = say
        self._done = 0
        self._started = time.monotonic()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._work, daemon=True)

    def __enter__(self) -> Ticker:
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._stop.set()
        self._thread.join()

    def progress(self, done: int) -> None:
        """Raw bytes that are done."""
        self._done = done

    def _work(self) -> None:
        said = self._started
        while not self._stop.wait(_TICK_EVERY):
            now = time.monotonic()
            seconds = max(now - self._started, 0.001)
            percent = round(100 * self._done / self._total, 1)
            rate = int(self._done / seconds)
            if now - said >= _SAY_EVERY:
                said = now
                self._say(f"{percent} % at {rate / 1e6:.0f} MB/s")
            self._reporter.tick(percent=percent, bytes=self._done, total=self._total, rate=rate)
