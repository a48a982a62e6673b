# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""HTTP for the collectors: one request with a time limit, a size limit and verified TLS."""

from __future__ import annotations

import http.client
import ssl
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from email.message import Message
from typing import Any, Optional

from .metadata import MAX_BYTES


class FetchError(Exception):
    """The request failed; the text names the URL and the cause."""


@dataclass(frozen=True)
class Answer:
    """The answer to a request, whatever its status."""

    url: str
    status: int
    reason: str
    headers: Message
    body: bytes

    def check(self) -> None:
        """Raise FetchError for a status of 400 or more."""
        if self.status >= 400:
            side = "Client" if self.status < 500 else "Server"
            raise FetchError(f"{self.status} {side} Error: {self.reason} for url: {self.url}")

    @property
    def text(self) -> str:
        """The body as text: in the charset that is given, ISO 8859-1 for other text, else UTF-8."""
        kind = self.headers.get("content-type", "")
        charset = self.headers.get_param("charset") if kind else None
        if not isinstance(charset, str):
            charset = "iso-8859-1" if "text" in kind.split(";")[0] else "utf-8"
        try:
            return self.body.decode(charset, "replace")
        except LookupError:
            return self.body.decode("utf-8", "replace")


def fetch(
    url: str,
    seconds: float,
    method: str = "GET",
    headers: Optional[Mapping[str, str]] = None,
    body: Optional[bytes] = None,
    ca_file: Optional[str] = None,
    redirects: bool = True,
) -> Answer:
    """Send a request; seconds is the limit of each wait. Raises FetchError when there is no answer."""
    quoted = urllib.parse.quote(url, safe="!#$%&'()*+,/:;=?@[]~")
    if urllib.parse.urlsplit(quoted).scheme.lower() not in ("http", "https"):
        raise FetchError(f"{url} is no URL of http or https")
    try:
        request = urllib.request.Request(quoted, data=body, headers=dict(headers or {}), method=method)
        try:
            answer = _opener(ca_file, redirects).open(request, timeout=seconds)
        except urllib.error.HTTPError as error:
            answer = error
        with answer:
            content = answer.read(MAX_BYTES + 1)
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise FetchError(f"{url}: {getattr(error, 'reason', error)}") from error
    if len(content) > MAX_BYTES:
        raise FetchError(f"{url}: the answer is larger than the limit of {MAX_BYTES} bytes")
    return Answer(answer.url or url, answer.status, answer.reason, answer.headers, content)


class _Stay(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_arguments: Any) -> None:
        return None


def _opener(ca_file: Optional[str], redirects: bool) -> urllib.request.OpenerDirector:
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler(),
        urllib.request.HTTPHandler(),
        urllib.request.HTTPSHandler(context=ssl.create_default_context(cafile=ca_file)),
        urllib.request.HTTPDefaultErrorHandler(),
        urllib.request.HTTPRedirectHandler() if redirects else _Stay(),
        urllib.request.HTTPErrorProcessor(),
    ):
        opener.add_handler(handler)
    return opener
