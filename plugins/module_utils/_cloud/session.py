# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A login at a Workload cloud: one token, then plain requests."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Any, Callable, Protocol, Union

from .errors import CloudError

MISSING = ""
try:
    from keystoneauth1 import exceptions as auth_errors
    from keystoneauth1.identity import v3
    from keystoneauth1.session import Session
except ImportError as error:
    MISSING = str(error)

PAUSE = 2.0
REQUEST_TIMEOUT = 300.0
# What a service says that still starts, or whose database or Keystone still does.
NOT_YET = (500, 502, 503, 504)


class Reply(Protocol):
    """An HTTP answer, as requests has it."""

    @property
    def status_code(self) -> int: ...

    @property
    def reason(self) -> str: ...

    @property
    def content(self) -> bytes: ...

    def json(self) -> Any: ...


class Cloud(Protocol):
    """Carries authenticated requests; see `CloudSession`."""

    def call(
        self, method: str, url: str, body: Any = None, *, data: bytes | None = None, allow: Iterable[int] = ()
    ) -> Reply: ...


class CloudSession:
    """One user in one project, by password.

    auth_url: Keystone's, with /v3. verify: whether certificates are checked, or the file of the authorities.
    alive: called before each request; raises when nothing more may be done.
    """

    def __init__(
        self,
        auth_url: str,
        user: str,
        password: str,
        project: str,
        verify: Union[bool, str] = True,
        alive: Callable[[], None] = lambda: None,
    ) -> None:
        if MISSING:
            raise CloudError(
                f"the Python library openstacksdk is missing here: {MISSING}",
                operation="log in",
                next_step="Run the playbook tripleo.cloud.prepare.",
            )
        self.auth_url = auth_url
        self.user = user
        self._alive = alive
        self._login: Any = v3.Password(
            auth_url=auth_url,
            username=user,
            password=password,
            user_domain_id="default",
            project_name=project,
            project_domain_id="default",
        )
        self._session: Any = Session(auth=self._login, verify=verify, timeout=REQUEST_TIMEOUT)

    def wait(self, timeout: float) -> None:
        """Wait until Keystone answers at all; CloudError after timeout seconds."""
        end = time.monotonic() + timeout
        while True:
            self._alive()
            try:
                self._session.get(self.auth_url, authenticated=False, connect_retries=0)
                return
            except auth_errors.ClientException as error:
                if time.monotonic() >= end:
                    raise CloudError(
                        f"{self.auth_url} did not answer within {timeout:g} s: {_words(error)}",
                        operation="reach Keystone",
                        next_step="Run the playbook tripleo.cloud.setup and look at its report of the controller.",
                    ) from None
            time.sleep(PAUSE)

    def login(self) -> bool:
        """Get a token; False when Keystone refuses the password."""
        self._alive()
        try:
            self._session.get_token()
        except auth_errors.Unauthorized:
            return False
        except auth_errors.ClientException as error:
            raise CloudError(f"{self.auth_url}: {_words(error)}", operation=f"log in as {self.user}") from None
        return True

    def endpoint(self, service_type: str, region: str) -> str:
        """Public URL of a service out of the token's catalogue; CloudError when it is not there."""
        catalog = self._login.get_access(self._session).service_catalog
        urls = catalog.get_urls(service_type=service_type, interface="public", region_name=region)
        if not urls:
            raise CloudError(
                f"the catalogue has no public endpoint of type {service_type} in region {region}",
                operation="read the catalogue",
            )
        return str(urls[0]).rstrip("/")

    def call(
        self, method: str, url: str, body: Any = None, *, data: bytes | None = None, allow: Iterable[int] = ()
    ) -> Reply:
        """Send one request. body: sent as JSON; data: as it is.

        Raises CloudError on any status of 400 and above but those in allow.
        """
        self._alive()
        content: dict[str, Any] = {"json": body} if data is None else {"data": data}
        if data is not None:
            content["headers"] = {"Content-Type": "application/octet-stream"}
        try:
            response: Reply = self._session.request(url, method, raise_exc=False, **content)
        except auth_errors.ClientException as error:
            raise CloudError(f"{method} {url}: {_words(error)}", operation="talk to the cloud") from None
        if response.status_code >= 400 and response.status_code not in allow:
            raise CloudError(f"{method} {url}: {response.status_code} {response.reason}", operation="talk to the cloud")
        return response


def _words(error: Exception) -> str:
    """An exception's own words in one line; keystoneauth puts no password in them."""
    return " ".join(str(error).split())[:300] or type(error).__name__
