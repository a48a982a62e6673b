# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The recorder as it runs, a process of its own, against two BMCs of the rack in another one."""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any, Callable

import pytest
from ansible_collections.tripleo.cloud.plugins.module_utils._bmc.errors import BmcError, Cause
from ansible_collections.tripleo.cloud.plugins.module_utils._bmc.model import Access
from ansible_collections.tripleo.cloud.plugins.module_utils._provision import consoles, recorder
from ansible_collections.tripleo.cloud.plugins.module_utils._provision.targets import targets
from ansible_collections.tripleo.cloud.plugins.module_utils._run import lease
from ansible_collections.tripleo.cloud.plugins.module_utils._run.console import console_log, recorder_log, wait_end
from ansible_collections.tripleo.cloud.plugins.module_utils._state.store import State

ROOT = Path(__file__).resolve().parents[5]
PLAN = {
    "stack": "cloud",
    "serial": 1,
    "hash": "a" * 64,
    "servers": {
        f"Group.s{number}": {"name": f"s{number}", "node": f"n{number}", "action": "create", "networks": {}}
        for number in (1, 2)
    },
}
PASSWORD = "open-sesame"
# Tests of several checkouts run at a time.
NETWORK = f"127.79.{os.getpid() % 250}"


def until(condition: Callable[[], Any], seconds: float = 20.0) -> Any:
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < deadline, "it did not come to pass"
        time.sleep(0.05)
    return value


class Site:
    """A state directory with a plan of two servers, and their BMCs."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.state = os.fspath(folder / "state")
        Path(self.state).mkdir()
        with State.open(self.state) as state:
            state.register({"n1": {}, "n2": {}})
            state.store_plan(PLAN, 0, [])
        lease.acquire(self.state, "cloud", "a" * 64, "someone", "r1", True)

    def bmc(self, number: int, **changes: Any) -> dict[str, Any]:
        fields = {"address": f"{NETWORK}.{number}", "port": 6623, "username": "admin", "password": PASSWORD}
        return {**fields, **changes}

    def begin(self, *servers: str, run_id: str | None = "r1", **bmcs: dict[str, Any]) -> str:
        with State.open(self.state) as state:
            everyone = targets(state, PLAN, ())
        private = {"bmc": bmcs or {"n1": self.bmc(1), "n2": self.bmc(2)}}
        starting = [target for target in everyone if target.server in servers]
        return consoles.begin(self.state, PLAN, run_id, everyone, starting, private)

    def prints(self, number: int, text: str) -> None:
        folder = self.folder / f"stop-n{number}"
        folder.mkdir(exist_ok=True)
        with (folder / "console.log").open("a") as log:
            log.write(text)

    def kept(self, number: int) -> str:
        path = Path(console_log(self.state, f"n{number}"))
        return path.read_bytes().decode() if path.exists() else ""

    def recorders(self) -> list[int]:
        """Processes that work for this state directory."""
        found = []
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                words = path.read_bytes().split(b"\0")
            except OSError:
                continue
            if self.state.encode() in words and b"-m" in words:
                found.append(int(path.parent.name))
        return found

    def log(self) -> str:
        return Path(recorder_log(self.state, "cloud")).read_text()

    def prints_until_kept(self, number: int, text: str) -> None:
        """A console shows nothing of before it was opened."""

        def seen() -> bool:
            self.prints(number, text)
            time.sleep(0.2)
            return text in self.kept(number)

        until(seen)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    stop = tmp_path / "stop"
    argv = [sys.executable, os.fspath(ROOT / "tests" / "integration" / "bmcs.py"), os.fspath(stop), NETWORK]
    bmcs = subprocess.Popen(argv)
    site = Site(tmp_path)
    yield site
    lease.release(site.state, "cloud", "r1")
    assert wait_end(site.state, "cloud", 15)
    until(lambda: not site.recorders())
    stop.touch()
    assert bmcs.wait(10) == 0


def test_consoles_are_kept_until_the_lease_ends(site: Site) -> None:
    assert site.begin("s1", "s2") == ""
    site.prints_until_kept(1, "one says hello\r\n")
    site.prints_until_kept(2, "two says hello\r\n")
    assert "two" not in site.kept(1)
    assert Path(console_log(site.state, "n1")).stat().st_mode & 0o777 == 0o600
    (pid,) = site.recorders()
    for name in ("cmdline", "environ"):
        assert PASSWORD.encode() not in Path(f"/proc/{pid}/{name}").read_bytes()
    assert os.getsid(pid) == pid
    lease.release(site.state, "cloud", "r1")
    assert wait_end(site.state, "cloud", 5)
    until(lambda: not site.recorders())
    # Both were given back: another recorder has them at once.
    lease.acquire(site.state, "cloud", "a" * 64, "someone", "r1", True)
    site.begin("s1", "s2")
    site.prints_until_kept(1, "again\r\n")
    assert "hello" not in site.kept(1)
    assert site.log() == ""
    files = [path for path in Path(site.state).rglob("*") if path.is_file()]
    assert [path for path in files if PASSWORD.encode() in path.read_bytes()] == []


def test_it_ends_when_another_run_has_the_lease(site: Site) -> None:
    site.begin("s1")
    until(site.recorders)
    lease.release(site.state, "cloud", "r1")
    lease.acquire(site.state, "cloud", "a" * 64, "someone else", "r2", True)
    until(lambda: not site.recorders(), 5)
    lease.release(site.state, "cloud", "r2")


def test_it_ends_when_its_servers_have_booted(site: Site) -> None:
    site.begin("s1", "s2")
    site.prints_until_kept(1, "x")
    site.prints_until_kept(2, "x")
    with State.open(site.state) as state:
        state.set_stage("cloud", "s1", "booted", plan="a" * 64)
    time.sleep(2)
    before = site.kept(1)
    site.prints(1, "the system's own\r\n")
    site.prints_until_kept(2, "still recorded\r\n")
    assert site.kept(1) == before
    with State.open(site.state) as state:
        state.set_stage("cloud", "s2", "booted", plan="a" * 64)
    until(lambda: not site.recorders(), 5)


def test_a_later_one_takes_over_also_what_is_at_work(site: Site) -> None:
    site.begin("s1")
    site.prints_until_kept(1, "first\r\n")
    before = site.recorders()
    with State.open(site.state) as state:
        state.set_stage("cloud", "s1", "powered", plan="a" * 64)
    site.begin("s2")
    site.prints_until_kept(1, "second\r\n")
    site.prints_until_kept(2, "second\r\n")
    assert "first" in site.kept(1)
    (pid,) = site.recorders()
    assert pid not in before


def test_what_a_bmc_refuses_is_said_and_the_others_are_recorded(site: Site) -> None:
    site.begin("s1", "s2", n1=site.bmc(1, password="barley"), n2=site.bmc(2))
    site.prints_until_kept(2, "hello")
    until(lambda: "n1: the BMC refuses the password" in site.log())
    assert len(site.log().splitlines()) == 1


class Driver:
    """n1's BMC has no serial-over-LAN, n2's refuses twice, as some do while their machine is off."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    async def __aenter__(self) -> Driver:
        return self

    async def __aexit__(self, *exception: Any) -> None:
        pass

    @contextlib.asynccontextmanager
    async def console(self, access: Access, show: Callable[[bytes], None]) -> AsyncIterator[Any]:
        self.asked.append(access.node)
        if access.node == "n1" or self.asked.count("n2") <= 2:
            raise BmcError("refused", Cause.REFUSED, code=0xC1 if access.node == "n1" else 0xD5)
        show(b"at last")
        yield self

    async def lost(self) -> None:
        await asyncio.sleep(60)


def test_only_what_may_pass_is_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lease.acquire(str(tmp_path), "cloud", "a" * 64, "someone", "r1", True)
    (tmp_path / "run" / "console").mkdir()
    driver = Driver()
    monkeypatch.setattr(recorder, "IpmiDriver", lambda: driver)
    monkeypatch.setattr(recorder, "RETRY", 0.01)
    monkeypatch.setattr(recorder, "LOOK", 0.2)
    accesses = {f"s{number}": Access(f"n{number}", "10.0.0.1", "u", "p") for number in (1, 2)}
    looks = iter([True, True, False])

    async def work() -> None:
        await recorder.Recorder(str(tmp_path), "cloud", "a" * 64, "r1", accesses, lambda: next(looks)).work()

    asyncio.run(work())
    assert sorted(driver.asked) == ["n1", "n2", "n2", "n2"]
    assert (tmp_path / "run" / "console" / "n2.log").read_bytes() == b"at last"


def test_nothing_is_recorded_without_a_run_that_boots(site: Site) -> None:
    old = Path(console_log(site.state, "n1"))
    old.parent.mkdir()
    old.touch()
    assert site.begin("s1", run_id=None) == ""
    assert not old.exists()
    lease.release(site.state, "cloud", "r1")
    assert site.begin("s1") == ""
    lease.acquire(site.state, "cloud", "a" * 64, "someone", "r1", False)
    assert site.begin("s1") == ""
    time.sleep(0.5)
    assert site.recorders() == []


def test_a_recorder_that_cannot_be_started_is_a_warning(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/nonexistent/python")
    assert "consoles are not recorded: [Errno 2]" in site.begin("s1")


def test_where_systemd_is_pid_1_it_is_a_service_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(consoles.launch, "SYSTEMD", "/")
    words = consoles.command("/state/lib", ["/state", "cloud", "hash", "run"])
    assert words[0] == "systemd-run"
    assert {"--pipe", "--collect", "--property=KillMode=control-group"} <= set(words)
    assert words[-6:-4] == ["-m", consoles.recorder.__name__]
