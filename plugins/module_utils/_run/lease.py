# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Leases: which run holds a stack, since when, and until when. Files only; every change is made under one flock."""

from __future__ import annotations

import contextlib
import fcntl
import getpass
import json
import os
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from .._errors import Abandoned, TripleoError

# Seconds that a lease lives after a renewal: while nodes boot or one of our modules works, and while others' tasks do.
WORK_TTL = 60.0
PLAIN_TTL = 900.0
SUFFIX = ".lease"
_TAKEOVER_FRACTION = 6
_RENEWALS_A_TTL = 12


class LeaseHeld(TripleoError):
    """Another run holds the stack."""


class LeaseLost(TripleoError):
    """The lease ended or another run took it over; this run must stop."""


class Lease(NamedTuple):
    """One run's hold on one stack. Times are seconds since the epoch."""

    stack: str
    run_id: str
    plan: str
    who: str
    since: float
    ttl: float
    boot: bool
    renewed: float

    def live(self, now: float) -> bool:
        """True until its time to live has passed since the last renewal; a clock that was set back ends it too."""
        return abs(now - self.renewed) <= self.ttl

    def abandoned(self, now: float) -> bool:
        """True when its holder, which renews twice as often, must have ended."""
        return abs(now - self.renewed) > self.ttl / _TAKEOVER_FRACTION

    def free(self, plan: str) -> float:
        """When a run with this plan hash may take it over, unless it is renewed before."""
        return self.renewed + self.ttl / (_TAKEOVER_FRACTION if self.plan == plan else 1)


def acquire(
    state_dir: str, stack: str, plan: str, who: str, run_id: str, boot: bool, *, now: float | None = None
) -> Lease:
    """Take the stack for run_id, or raise LeaseHeld naming the holder.

    A run that already holds it gets it again. A live lease of another run is taken over only under the same plan hash
    and when that run has not renewed it for a sixth of its time to live.
    """
    moment = time.time() if now is None else now
    with _locked(state_dir):
        held = read(state_dir, stack)
        if held and held.live(moment) and held.run_id != run_id and not (held.plan == plan and held.abandoned(moment)):
            raise _refusal(held, plan, moment)
        since = held.since if held and held.run_id == run_id else moment
        lease = Lease(stack, run_id, plan, who, since, WORK_TTL if boot else PLAIN_TTL, boot, moment)
        _write(state_dir, lease)
    return lease


@contextlib.contextmanager
def unheld(state_dir: str, stack: str, *, now: float | None = None) -> Iterator[None]:
    """Nobody takes or renews a lease during the body, which must be short; LeaseHeld when a run holds the stack."""
    moment = time.time() if now is None else now
    with _locked(state_dir):
        held = read(state_dir, stack)
        if held and held.live(moment):
            raise _refusal(held, "", moment)
        yield


def renew(state_dir: str, stack: str, run_id: str, *, working: bool = False, now: float | None = None) -> Lease:
    """Prolong the lease of run_id; raise LeaseLost when it has ended or is another run's.

    working: a module of ours holds it now and will renew it often, so that it may end soon when nobody does.
    """
    moment = time.time() if now is None else now
    with _locked(state_dir):
        held = read(state_dir, stack)
        if held is None or held.run_id != run_id or not held.live(moment):
            taken = f"{held.who} (run {held.run_id}) holds it now" if held and held.run_id != run_id else "it ended"
            raise LeaseLost(
                f"run {run_id} has lost the stack {stack}: {taken}",
                operation="renew the stack's lease",
                next_step="run the same playbook again, it goes on from what is proven",
            )
        lease = held._replace(renewed=moment, ttl=WORK_TTL if held.boot or working else PLAIN_TTL)
        _write(state_dir, lease)
    return lease


def release(state_dir: str, stack: str, run_id: str) -> bool:
    """Give the stack back; False when run_id did not hold it."""
    with _locked(state_dir):
        held = read(state_dir, stack)
        if held is None or held.run_id != run_id:
            return False
        os.unlink(_path(state_dir, stack))
    return True


def expire(
    state_dir: str,
    *,
    fault: Callable[[str], None] | None = None,
    none_left: Callable[[], None] | None = None,
    now: float | None = None,
) -> list[Lease]:
    """Remove the leases whose time has passed; return the live ones, sorted by stack.

    fault: as of `leases`. none_left: called when no live lease has boot work, and before anybody can take one.
    """
    moment = time.time() if now is None else now
    live = []
    with _locked(state_dir):
        for lease in leases(state_dir, fault):
            if lease.live(moment):
                live.append(lease)
            else:
                os.unlink(_path(state_dir, lease.stack))
        if none_left and not any(lease.boot for lease in live):
            none_left()
    return live


def leases(state_dir: str, fault: Callable[[str], None] | None = None) -> list[Lease]:
    """All leases that are written down, ended ones too, sorted by stack.

    fault: told of each file that cannot be read; such a file stops nobody but its own stack.
    """
    found = []
    with contextlib.suppress(FileNotFoundError):
        for name in sorted(os.listdir(os.path.join(state_dir, "run"))):
            if not name.endswith(SUFFIX):
                continue
            try:
                lease = read(state_dir, name[: -len(SUFFIX)])
            except TripleoError as error:
                if fault:
                    fault(str(error))
                continue
            found += [lease] if lease else []
    return found


def read(state_dir: str, stack: str) -> Lease | None:
    """The lease as it is written down, ended or not. A damaged one is a TripleoError until it must have ended."""
    path = _path(state_dir, stack)
    try:
        with open(path, encoding="utf-8") as stream:
            written = os.fstat(stream.fileno()).st_mtime
            text = stream.read()
    except FileNotFoundError:
        return None
    try:
        fields: dict[str, Any] = json.loads(text)
        times = {name: float(fields[name]) for name in ("since", "ttl", "renewed")}
        return Lease(**{**fields, **times})
    except (ValueError, TypeError, KeyError) as error:
        if time.time() - written > PLAIN_TTL:
            return None
        raise TripleoError(
            f"{path} is not a lease: {error}",
            operation="read the stack's lease",
            next_step="make sure that no run is going on, then remove the file; "
            f"it counts as ended after {_clock(written + PLAIN_TTL)}",
        ) from error


class Keepalive:
    """Renews a lease in a thread of its own; ``check()`` raises LeaseLost as soon as it is lost."""

    def __init__(self, state_dir: str, stack: str, run_id: str) -> None:
        self._arguments = (state_dir, stack, run_id)
        self._ended = threading.Event()
        self._lost: TripleoError | None = None
        lease = renew(state_dir, stack, run_id, working=True)
        self.boot = lease.boot
        self._interval = lease.ttl / _RENEWALS_A_TTL
        self._thread = threading.Thread(target=self._work, name="lease", daemon=True)
        self._thread.start()

    def check(self) -> None:
        """Raise LeaseLost when the lease is no longer this run's."""
        if self._lost:
            raise self._lost

    def close(self) -> None:
        """Stop renewing; the lease itself stays, for the tasks of others that may follow."""
        self._ended.set()
        self._thread.join()
        self._renew(working=False)

    def _work(self) -> None:
        while not self._ended.wait(self._interval) and not self._lost:
            self._renew(working=True)

    def _renew(self, *, working: bool) -> None:
        # What the file system refuses is tried again; a lease that could not be renewed for too long has ended.
        with contextlib.suppress(OSError):
            try:
                renew(*self._arguments, working=working)
            except TripleoError as error:
                self._lost = error


@contextlib.contextmanager
def held(state_dir: str, stack: str | None, run_id: str | None) -> Iterator[Callable[[], None]]:
    """Renew the lease while the body works; LeaseLost before it or, when it has ended well, after it.

    Gives a function that raises LeaseLost as soon as the lease is lost.

    Without a run id there is nothing to renew and the body simply runs. When nobody waits for the body's result any
    more, the run is over: its stack is free at once, but with boot work, where nodes are served until the time has
    passed.
    """
    if not (stack and run_id):
        yield lambda: None
        return
    keepalive = Keepalive(state_dir, stack, run_id)
    try:
        yield keepalive.check
    except Abandoned:
        if not keepalive.boot:
            release(state_dir, stack, run_id)
        raise
    finally:
        keepalive.close()
    keepalive.check()


@contextlib.contextmanager
def hold(
    state_dir: str, stack: str, plan: str, run_id: str | None, *, check: bool = False
) -> Iterator[Callable[[], None]]:
    """Hold the stack while the body works: by the run's lease, or without a run by one that begins and ends here.

    Check mode holds nothing. Gives what `held` gives.
    """
    if check:
        yield lambda: None
        return
    own = "" if run_id else uuid.uuid4().hex
    if own:
        acquire(state_dir, stack, plan, f"{getpass.getuser()}@{socket.gethostname()}", own, False)
    try:
        with held(state_dir, stack, run_id or own) as alive:
            yield alive
    finally:
        if own:
            release(state_dir, stack, own)


def _refusal(held: Lease, plan: str, now: float) -> LeaseHeld:
    free = held.free(plan)
    return LeaseHeld(
        f"{held.who} (run {held.run_id}) holds the stack {held.stack} since {_clock(held.since)} "
        f"and was last heard of {max(0.0, now - held.renewed):.0f} s ago",
        operation="take the stack's lease",
        next_step=f"wait until that run ends; if it was killed, run the same command again after {_clock(free)} "
        f"(in {max(0.0, free - now):.0f} s)",
    )


def _clock(moment: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(moment))


def _path(state_dir: str, stack: str) -> str:
    if not stack or "/" in stack or stack.startswith("."):
        raise TripleoError(f"{stack!r} cannot be a stack's name")
    return os.path.join(state_dir, "run", stack + SUFFIX)


@contextlib.contextmanager
def _locked(state_dir: str) -> Iterator[None]:
    os.makedirs(os.path.join(state_dir, "run"), mode=0o700, exist_ok=True)
    descriptor = os.open(os.path.join(state_dir, "run", "leases.lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _write(state_dir: str, lease: Lease) -> None:
    path = _path(state_dir, lease.stack)
    temporary = f"{path}.new"
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
        json.dump(lease._asdict(), stream, sort_keys=True)
    os.replace(temporary, path)
