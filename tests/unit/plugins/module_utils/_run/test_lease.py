# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest
from ansible_collections.tripleo.cloud.plugins.module_utils._errors import TripleoError
from ansible_collections.tripleo.cloud.plugins.module_utils._run import lease

PLAN, OTHER = "a" * 64, "b" * 64


def take(state: Path, run: str, plan: str = PLAN, boot: bool = True, now: float = 1000.0) -> lease.Lease:
    return lease.acquire(os.fspath(state), "cloud", plan, f"user of {run}", run, boot, now=now)


@pytest.mark.parametrize(
    ("plan", "boot", "age", "taken"),
    [
        (PLAN, True, 0.0, False),
        (PLAN, True, 10.0, False),
        (PLAN, True, 10.1, True),
        (OTHER, True, 10.1, False),
        (OTHER, True, 60.0, False),
        (OTHER, True, 60.1, True),
        # The clock was set back.
        (OTHER, True, -59.0, False),
        (OTHER, True, -3600.0, True),
        (PLAN, False, 149.0, False),
        (PLAN, False, 151.0, True),
        (OTHER, False, 899.0, False),
        (OTHER, False, 901.0, True),
    ],
)
def test_second_run(tmp_path: Path, plan: str, boot: bool, age: float, taken: bool) -> None:
    take(tmp_path, "first", boot=boot)
    if not taken:
        with pytest.raises(lease.LeaseHeld, match=r"user of first .*since 1970-01-01 00:16:40 UTC.* Next: "):
            take(tmp_path, "second", plan, boot, now=1000.0 + age)
        return
    assert take(tmp_path, "second", plan, boot, now=1000.0 + age).since == 1000.0 + age
    with pytest.raises(lease.LeaseLost, match="user of second"):
        lease.renew(os.fspath(tmp_path), "cloud", "first", now=1000.0 + age)


def test_own_lease_again_and_renewal_keep_since(tmp_path: Path) -> None:
    take(tmp_path, "run")
    assert lease.renew(os.fspath(tmp_path), "cloud", "run", now=1050.0).renewed == 1050.0
    again = take(tmp_path, "run", now=1070.0)
    assert (again.since, again.renewed) == (1000.0, 1070.0)
    assert os.stat(tmp_path / "run" / "cloud.lease").st_mode & 0o777 == 0o600


def test_an_ended_lease_is_lost(tmp_path: Path) -> None:
    take(tmp_path, "run")
    with pytest.raises(lease.LeaseLost, match="it ended"):
        lease.renew(os.fspath(tmp_path), "cloud", "run", now=1061.0)


def test_release_only_one_s_own(tmp_path: Path) -> None:
    state = os.fspath(tmp_path)
    take(tmp_path, "run")
    assert not lease.release(state, "cloud", "other")
    assert lease.release(state, "cloud", "run")
    assert not lease.release(state, "cloud", "run")
    assert lease.leases(state) == []


def test_expire_keeps_the_live(tmp_path: Path) -> None:
    state = os.fspath(tmp_path)
    take(tmp_path, "run")
    lease.acquire(state, "staging", PLAN, "someone", "two", False, now=1000.0)
    assert [held.stack for held in lease.expire(state, now=1061.0)] == ["staging"]
    assert [held.stack for held in lease.leases(state)] == ["staging"]


@pytest.mark.parametrize("stack", ["", "a/b", "../x", ".hidden"])
def test_stack_names_stay_in_the_folder(tmp_path: Path, stack: str) -> None:
    with pytest.raises(TripleoError, match="cannot be a stack's name"):
        lease.read(os.fspath(tmp_path), stack)


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"stack": "cloud"}'])
def test_a_broken_lease_is_an_error_that_names_it(tmp_path: Path, text: str) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "cloud.lease").write_text(text)
    with pytest.raises(TripleoError, match=r"cloud\.lease is not a lease"):
        take(tmp_path, "run")


def test_a_damaged_lease_stops_only_its_own_stack_and_only_for_a_while(tmp_path: Path) -> None:
    state, damaged = os.fspath(tmp_path), tmp_path / "run" / "cloud.lease"
    lease.acquire(state, "staging", PLAN, "someone", "two", True, now=1000.0)
    damaged.write_text('{"renewed": "x", "ttl": 60, "since": 0}')
    told: list[str] = []
    assert [held.stack for held in lease.expire(state, fault=told.append, now=1000.0)] == ["staging"]
    assert len(told) == 1 and os.fspath(damaged) in told[0]
    assert [held.stack for held in lease.leases(state)] == ["staging"]
    with pytest.raises(TripleoError, match="it counts as ended after 20"):
        take(tmp_path, "run")
    an_hour_ago = lease.time.time() - 3600
    os.utime(damaged, (an_hour_ago, an_hour_ago))
    assert take(tmp_path, "run").run_id == "run"


def test_a_refusal_says_when_to_come_again(tmp_path: Path) -> None:
    take(tmp_path, "run")
    with pytest.raises(lease.LeaseHeld, match=r"last heard of 4 s ago.* after 1970-01-01 00:16:50 UTC \(in 6 s\)"):
        take(tmp_path, "other", now=1004.0)
    with pytest.raises(lease.LeaseHeld, match=r" after 1970-01-01 00:17:40 UTC \(in 56 s\)"):
        take(tmp_path, "other", OTHER, now=1004.0)


def test_the_last_boot_work_is_told_before_anybody_can_begin_more(tmp_path: Path) -> None:
    state, told = os.fspath(tmp_path), list[str]()
    take(tmp_path, "run")
    lease.acquire(state, "staging", PLAN, "someone", "two", False, now=1000.0)
    lease.expire(state, none_left=lambda: told.append("early"), now=1000.0)
    assert told == []

    def last() -> None:
        begins = threading.Thread(target=take, args=(tmp_path, "next"), kwargs={"now": 1061.0})
        begins.start()
        begins.join(0.3)
        told.append("waits" if begins.is_alive() else "took it")

    lease.expire(state, none_left=last, now=1061.0)
    assert told == ["waits"]


def test_a_plain_lease_is_short_while_a_module_of_ours_works(tmp_path: Path) -> None:
    state = os.fspath(tmp_path)
    lease.acquire(state, "cloud", PLAN, "someone", "run", False)
    with lease.held(state, "cloud", "run"):
        at_work = lease.read(state, "cloud")
    rest = lease.read(state, "cloud")
    assert at_work and rest
    assert (at_work.ttl, rest.ttl) == (lease.WORK_TTL, lease.PLAIN_TTL)


def test_of_many_runs_one_wins(tmp_path: Path) -> None:
    won, refused = [], []

    def attempt(number: int) -> None:
        try:
            won.append(take(tmp_path, f"run {number}"))
        except lease.LeaseHeld:
            refused.append(number)

    threads = [threading.Thread(target=attempt, args=(number,)) for number in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(won), len(refused)) == (1, 19)


def test_held_renews_and_tells_of_the_loss(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    state = os.fspath(tmp_path)
    monkeypatch.setattr(lease, "WORK_TTL", 0.6)
    first = lease.acquire(state, "cloud", PLAN, "someone", "run", True)
    body = threading.Event()
    with pytest.raises(lease.LeaseLost), lease.held(state, "cloud", "run") as alive:
        while (seen := lease.read(state, "cloud")) and seen.renewed <= first.renewed + 0.1:
            body.wait(0.01)
        alive()
        lease.release(state, "cloud", "run")
        body.wait(0.2)
        with pytest.raises(lease.LeaseLost):
            alive()


def test_hold(tmp_path: Path) -> None:
    state = os.fspath(tmp_path)
    with lease.hold(state, "cloud", "plan", None, check=True) as alive:
        alive()
        assert lease.read(state, "cloud") is None
    with lease.hold(state, "cloud", "plan", None):
        with pytest.raises(lease.LeaseHeld), lease.hold(state, "cloud", "plan", None):
            pass
        with pytest.raises(lease.LeaseHeld), lease.unheld(state, "cloud"):
            pass
    assert lease.read(state, "cloud") is None
    lease.acquire(state, "cloud", "plan", "me", "run", True)
    with lease.hold(state, "cloud", "plan", "run") as alive:
        alive()
    assert lease.release(state, "cloud", "run")
    with lease.unheld(state, "cloud"):
        pass


def test_held_without_a_run(tmp_path: Path) -> None:
    with lease.held(os.fspath(tmp_path), "cloud", None) as alive:
        alive()
    assert not (tmp_path / "run").exists()
