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
from collections.abc import Iterator
from typing import Any, NamedTuple

from .._errors import TripleoError

BOOT_TTL = 60.0
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
        """True until its time to live has passed since the last renewal."""
        return now - self.renewed <= self.ttl

    def abandoned(self, now: float) -> bool:
        """True when its holder, which renews twice as often, must have ended."""
        return now - self.renewed > self.ttl / _TAKEOVER_FRACTION


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
            raise _refusal(held)
        since = held.since if held and held.run_id == run_id else moment
        lease = Lease(stack, run_id, plan, who, since, BOOT_TTL if boot else PLAIN_TTL, boot, moment)
        _write(state_dir, lease)
    return lease


@contextlib.contextmanager
def unheld(state_dir: str, stack: str, *, now: float | None = None) -> Iterator[None]:
    """Nobody takes or renews a lease during the body, which must be short; LeaseHeld when a run holds the stack."""
    with _locked(state_dir):
        held = read(state_dir, stack)
        if held and held.live(time.time() if now is None else now):
            raise _refusal(held)
        yield


def renew(state_dir: str, stack: str, run_id: str, *, now: float | None = None) -> Lease:
    """Prolong the lease of run_id; raise LeaseLost when it has ended or is another run's."""
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
        lease = held._replace(renewed=moment)
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


def expire(state_dir: str, *, now: float | None = None) -> list[Lease]:
    """Remove the leases whose time has passed; return the live ones, sorted by stack."""
    moment = time.time() if now is None else now
    live = []
    with _locked(state_dir):
        for lease in leases(state_dir):
            if lease.live(moment):
                live.append(lease)
            else:
                os.unlink(_path(state_dir, lease.stack))
    return live


def leases(state_dir: str) -> list[Lease]:
    """All leases that are written down, ended ones too, sorted by stack."""
    with contextlib.suppress(FileNotFoundError):
        names = sorted(name for name in os.listdir(os.path.join(state_dir, "run")) if name.endswith(SUFFIX))
        return [lease for lease in (read(state_dir, name[: -len(SUFFIX)]) for name in names) if lease]
    return []


def read(state_dir: str, stack: str) -> Lease | None:
    """The lease as it is written down, ended or not."""
    try:
        with open(_path(state_dir, stack), encoding="utf-8") as stream:
            fields: dict[str, Any] = json.load(stream)
        return Lease(**fields)
    except FileNotFoundError:
        return None
    except (ValueError, TypeError) as error:
        raise TripleoError(
            f"{_path(state_dir, stack)} is not a lease: {error}",
            operation="read the stack's lease",
            next_step="make sure that no run is going on, then remove the file",
        ) from error


class Keepalive:
    """Renews a lease in a thread of its own; ``check()`` raises LeaseLost as soon as it is lost."""

    def __init__(self, state_dir: str, stack: str, run_id: str) -> None:
        self._arguments = (state_dir, stack, run_id)
        self._ended = threading.Event()
        self._lost: LeaseLost | None = None
        self._interval = renew(state_dir, stack, run_id).ttl / _RENEWALS_A_TTL
        self._thread = threading.Thread(target=self._work, name="lease", daemon=True)
        self._thread.start()

    def check(self) -> None:
        """Raise LeaseLost when the lease is no longer this run's."""
        if self._lost:
            raise self._lost

    def close(self) -> None:
        """Stop renewing; the lease itself stays."""
        self._ended.set()
        self._thread.join()

    def _work(self) -> None:
        while not self._ended.wait(self._interval):
            try:
                renew(*self._arguments)
            except LeaseLost as error:
                self._lost = error
                return


@contextlib.contextmanager
def held(state_dir: str, stack: str | None, run_id: str | None) -> Iterator[Keepalive | None]:
    """Renew the lease while the body works; LeaseLost before it or, when it has ended well, after it.

    Without a run id there is nothing to renew and the body simply runs.
    """
    if not (stack and run_id):
        yield None
        return
    keepalive = Keepalive(state_dir, stack, run_id)
    try:
        yield keepalive
    finally:
        keepalive.close()
    keepalive.check()


@contextlib.contextmanager
def hold(
    state_dir: str, stack: str, plan: str, run_id: str | None, *, check: bool = False
) -> Iterator[Keepalive | None]:
    """Hold the stack while the body works: by the run's lease, or without a run by one that begins and ends here.

    Check mode holds nothing.
    """
    if check:
        yield None
        return
    own = "" if run_id else uuid.uuid4().hex
    if own:
        acquire(state_dir, stack, plan, f"{getpass.getuser()}@{socket.gethostname()}", own, False)
    try:
        with held(state_dir, stack, run_id or own) as keepalive:
            yield keepalive
    finally:
        if own:
            release(state_dir, stack, own)


def _refusal(held: Lease) -> LeaseHeld:
    when = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(held.since))
    return LeaseHeld(
        f"{held.who} (run {held.run_id}) holds the stack {held.stack} since {when}",
        operation="take the stack's lease",
        next_step=f"wait for that run; if it was killed, its lease ends within {held.ttl:.0f} s",
    )


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
