# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Carries IPMI by pyghmi, event-driven, inside an asyncio loop.

pyghmi 1.6.19 keeps its state in class attributes and has one I/O thread: one loop and one thread may use it. Its
synchronous calls stop that loop for all BMCs, so none is used: what the class below overrides are the places where
pyghmi itself would wait.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from typing import Any, Callable

from .console import SolConsole
from .errors import BmcError, Cause
from .ipmi import IpmiBmc
from .ipmi_codec import refusal
from .model import Access

Session: Any = object
PyghmiException: Any = OSError
MISSING = ""
try:
    from pyghmi import exceptions as _exceptions
    from pyghmi.ipmi.private import session as _session
except ImportError as error:
    MISSING = str(error)
else:
    Session = _session.Session
    PyghmiException = _exceptions.PyghmiException

# Longest wait in pyghmi's select while an answer is due; asyncio's own timers are late by no more than this.
PUMP = 0.05
# One request, retries of lost packets and one new login included.
REQUEST_TIMEOUT = 15.0
TIMEOUT_CODE = 0xFFFF
UNSUPPORTED_PRIVILEGE = (0x80, 0x81)
ADMINISTRATOR, OPERATOR = 4, 3

_CAUSES = (
    ("incorrect password", Cause.CREDENTIALS, "the BMC refuses the password"),
    ("unauthorized name", Cause.CREDENTIALS, "the BMC does not know the user"),
    ("invalid username", Cause.CREDENTIALS, "the BMC does not know the user"),
    ("invalid integrity check", Cause.CREDENTIALS, "the BMC refuses the password"),
    ("unauthorized role", Cause.REFUSED, "the BMC does not allow this user to control the machine"),
    # These words speak of timeouts as well.
    ("insufficient resources", Cause.BUSY, "the BMC has no free session"),
    ("timeout", Cause.SILENT, "the BMC at {address} does not answer"),
)


def login_error(text: str, address: str) -> BmcError:
    """The error that pyghmi's words on a failed login mean."""
    for words, cause, message in _CAUSES:
        if words in text.lower():
            return BmcError(message.format(address=address), cause)
    return BmcError(f"the BMC refuses the login: {text}", Cause.REFUSED)


class _PyghmiSession(Session):  # type: ignore[misc]
    """pyghmi's session without its waits. `failed` is called once when the session has broken."""

    failed: Any = None
    answered: Any = None
    _asking_privilege = False
    privlevel: int

    def _req_priv_level(self) -> None:
        self.logged = 1
        self.logoutexpiry = None
        self.maxtimeout = 4
        self.logontries = 1
        self._ask_privilege()

    def _ask_privilege(self) -> None:
        self._asking_privilege = True
        self.ipmicallback = self._got_privilege
        self._send_ipmi_net_payload(netfn=6, command=0x3B, data=[self.privlevel])

    def _got_privilege(self, response: dict[str, Any]) -> None:
        self._asking_privilege = False
        code = response.get("code", TIMEOUT_CODE)
        if code in UNSUPPORTED_PRIVILEGE and self.privlevel == ADMINISTRATOR:
            self.privlevel = OPERATOR
            self._ask_privilege()
            return
        self.logging = False
        if "error" in response or code:
            self.logged = 0
            self.onlogpayload = None
            self.onlogon({"error": response.get("error") or "unauthorized role"})
            return
        self.onlogon({"success": True})

    def _relog(self) -> None:
        if self._asking_privilege:
            self.onlogpayload = None
            self._asking_privilege = False
        super()._relog()

    def onlogon(self, parameter: dict[str, Any]) -> None:
        # After a new login inside a request pyghmi sends that request again: its own wait and callback are in the way.
        self.incommand = False
        if self.onlogpayload and "error" not in parameter:
            self.ipmicallback = self.answered
        super().onlogon(parameter)

    def logout(self, sessionok: bool = True) -> None:
        # With `incommand` set pyghmi would wait for 21 seconds; with a payload under way it would not send the logout.
        self.incommand = False
        self.lastpayload = None
        self.pendingpayloads.clear()
        super().logout(sessionok)

    def _mark_broken(self, error: str | None = None) -> None:
        super()._mark_broken(error)
        failed, self.failed = self.failed, None
        if failed is not None:
            failed(error or "timeout")

    def _handle_ipmi_packet(self, data: Any, sockaddr: Any = None, qent: Any = None) -> Any:
        try:
            return super()._handle_ipmi_packet(data, sockaddr=sockaddr, qent=qent)
        except Exception as error:  # a packet that pyghmi stumbles over must not end the loop of all BMCs
            self._mark_broken(f"malformed answer ({type(error).__name__})")
            return None

    def forget(self) -> None:
        """Log out and leave nothing of this session in pyghmi's class attributes."""
        self.failed = None
        self._mark_broken("closed")
        for address in getattr(self, "allsockaddrs", ()):
            Session.bmc_handlers.pop(address, None)
        # pyghmi looks for its entry under the encoded name and so never removes it: the next login would wait for ever.
        for key in [key for key, session in Session.initting_sessions.items() if session is self]:
            del Session.initting_sessions[key]


class IpmiChannel:
    """One session with one BMC; one request at a time."""

    def __init__(self, access: Access, driver: IpmiDriver) -> None:
        self._access = access
        self._driver = driver
        self._session: Any = None
        self._waiting: asyncio.Future[Any] | None = None
        self._expected = (0, 0)

    async def open(self) -> None:
        """Log in, or raise BmcError."""
        access = self._access
        future = self._wait()
        try:
            self._session = _PyghmiSession(
                access.address, access.username, access.password, port=access.port, onlogon=self._logged_on
            )
        except (socket.gaierror, PyghmiException) as error:
            raise BmcError(f"{access.address} cannot be reached: {error}", Cause.SILENT) from None
        self._session.failed = self._failed
        self._session.answered = self._answered
        await self._answer(future)

    def close(self) -> None:
        """Log out without waiting for an answer."""
        if self._session is not None:
            self._session.forget()
            self._session = None

    async def request(self, netfn: int, command: int, data: bytes = b"", *, answered: bool = True) -> bytes:
        """Send one request; see `ipmi.Channel`."""
        session = self._session
        if session is None or not session.logged:
            raise BmcError("the session with the BMC has ended", Cause.SILENT)
        doing = f"request 0x{netfn:02x} 0x{command:02x}"
        self._expected = (netfn + 1, command)
        future = self._wait()
        session.incommand = False
        try:
            session.raw_command(netfn=netfn, command=command, data=data, retry=answered, callback=self._answered)
        except PyghmiException as error:
            raise BmcError(f"{doing}: {error}", Cause.SILENT) from None
        if not answered:
            return b""
        code, payload = await self._answer(future)
        if code:
            raise refusal(code, doing)
        return bytes(payload)

    @property
    def number(self) -> int:
        """What the BMC calls this session."""
        return int(self._session.sessionid)

    def on_sol(self, handler: Callable[[bytes], None] | None) -> None:
        """Have handler called with each packet of serial-over-LAN; None ends it."""
        self._session.sol_handler = handler

    def send_sol(self, payload: bytes) -> None:
        """Send a packet of serial-over-LAN; nobody waits for an answer."""
        with contextlib.suppress(PyghmiException):
            self._session.send_payload(payload, payload_type=1, retry=False)

    def _wait(self) -> asyncio.Future[Any]:
        self._waiting = asyncio.get_running_loop().create_future()
        return self._waiting

    async def _answer(self, future: asyncio.Future[Any]) -> Any:
        try:
            with self._driver.pumping():
                return await asyncio.wait_for(future, REQUEST_TIMEOUT)
        except asyncio.TimeoutError:
            raise login_error("timeout", self._access.address) from None

    def _logged_on(self, response: dict[str, Any]) -> None:
        if "error" not in response:
            self._settle(None)
        # pyghmi first says that it failed, then by `failed` why; only a failure inside the constructor has no more.
        elif self._session is None or response["error"] != "Session failed to initialize":
            self._failed(str(response["error"]))

    def _answered(self, response: dict[str, Any]) -> None:
        if response.get("code") == TIMEOUT_CODE:
            self._failed("timeout")
        elif (response.get("netfn"), response.get("command")) == self._expected:
            self._settle((response["code"], response["data"]))

    def _settle(self, value: Any) -> None:
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(value)

    def _failed(self, reason: str) -> None:
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_exception(login_error(reason, self._access.address))


class IpmiDriver:
    """Entered once; a task inside it runs pyghmi's loop while any answer is due."""

    def __init__(self) -> None:
        self._due = 0
        self._wake: asyncio.Event | None = None
        self._pump: asyncio.Task[None] | None = None

    async def __aenter__(self) -> IpmiDriver:
        if MISSING:
            raise BmcError(
                f"the Python library pyghmi is missing here: {MISSING}",
                Cause.UNKNOWN,
                next_step="Run the playbook tripleo.cloud.prepare, or install pyghmi for this Python interpreter.",
            )
        self._wake = asyncio.Event()
        self._pump = asyncio.ensure_future(self._run(self._wake))
        return self

    async def __aexit__(self, *exception: Any) -> None:
        if self._pump is not None:
            self._pump.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._pump

    @contextlib.contextmanager
    def pumping(self) -> Any:
        """An answer is due while this is held."""
        self._due += 1
        if self._wake is not None:
            self._wake.set()
        try:
            yield
        finally:
            self._due -= 1

    @contextlib.asynccontextmanager
    async def session(self, access: Access) -> AsyncIterator[IpmiBmc]:
        """Log in, and out again."""
        channel = IpmiChannel(access, self)
        try:
            await channel.open()
            yield IpmiBmc(channel)
        finally:
            channel.close()

    @contextlib.asynccontextmanager
    async def console(self, access: Access, show: Callable[[bytes], None]) -> AsyncIterator[SolConsole]:
        """Log in and have what the machine prints from now on given to show; see `console.SolConsole`.

        Raises BmcError when the BMC refuses it.
        """
        channel = IpmiChannel(access, self)
        try:
            await channel.open()
            with self.pumping():
                console = SolConsole(channel, access.port, show)
                await console.activate()
                try:
                    yield console
                finally:
                    await console.deactivate()
        finally:
            channel.close()

    async def _run(self, wake: asyncio.Event) -> None:
        while True:
            if not self._due:
                wake.clear()
                await wake.wait()
            with contextlib.suppress(PyghmiException, OSError):
                Session.wait_for_rsp(timeout=PUMP)
            await asyncio.sleep(0)
