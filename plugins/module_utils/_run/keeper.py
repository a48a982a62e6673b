# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The keeper: one process for a state directory, from the first lease with boot work until the last one has ended."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import select
import signal
import subprocess
import time
from collections.abc import Iterator
from typing import Any

from .._boot.dnsmasq import hosts_file, options_file
from . import config, events, serve
from .intake import AccessLog, Boot, Intake, read_boot
from .lease import Lease, expire
from .service import Service

INTERVAL = 0.5
STATUS = "keeper.json"
LOCK = "keeper.lock"
LOGS = ("dnsmasq.log", "nginx.log", "nginx-access.log", "nginx-error.log")
WORKER = "www-data"
MOST_FAULTS = 1000


class Keeper:
    """Leases in, services and reports out. ``tick()`` is one round."""

    def __init__(self, state_dir: str) -> None:
        self.state_dir = state_dir
        self.stopping = False
        self._run = os.path.join(state_dir, "run")
        log = {name: os.path.join(self._run, name) for name in LOGS}
        self.dnsmasq = Service("dnsmasq", ["dnsmasq", "-k", "-C", config.dnsmasq_conf(state_dir)], log["dnsmasq.log"])
        self.nginx = Service(
            "nginx",
            ["nginx", "-p", self._run, "-e", log["nginx-error.log"], "-c", config.nginx_conf(state_dir)],
            log["nginx.log"],
            [log["nginx-error.log"]],
            os.path.join(self._run, "nginx.pid"),
        )
        self.services = (self.dnsmasq, self.nginx)
        self._intake = Intake(state_dir, self.log, self._fault)
        self._access = AccessLog(log["nginx-access.log"])
        self._leases: list[Lease] = []
        self._boots: dict[str, Boot] = {}
        self._written: dict[str, str] = {}
        self._faults: set[str] = set()

    def tick(self) -> bool:
        """One round; False when there is nothing left to keep."""
        with self._going_on():
            live = expire(self.state_dir, fault=self._fault, none_left=self._forget_status)
            self._leases = [lease for lease in live if lease.boot]
        wanted = [lease for lease in self._leases if lease.live(time.time())]
        if self.stopping or not wanted:
            return False
        boots = [self._boot(lease) for lease in wanted]
        with self._going_on():
            if self._write_hosts(boots):
                # Not SIGHUP: dnsmasq 2.90 of Debian 12 dies of it when a host with a tag has had an answer.
                self.dnsmasq.restart()
        for service in self.services:
            with self._going_on():
                service.start()
        requests = self._access.requests()
        for boot in boots:
            with self._going_on():
                self._intake.scan([boot], requests)
        with self._going_on():
            self._write_status()
        return True

    @contextlib.contextmanager
    def _going_on(self) -> Iterator[None]:
        """What fails in the body is logged once and tried again in the next round; all the rest goes on."""
        try:
            yield
        except Exception as error:
            self._fault(str(error) or type(error).__name__)

    def reap(self) -> None:
        """Collect what has ended: services, and as the first process of a PID namespace every orphan."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if not pid:
                return
            code = os.waitstatus_to_exitcode(status)
            for service in self.services:
                if service.ended(pid, code):
                    self.log(f"{service.name} ended with {code}")

    def close(self) -> None:
        """Stop the services."""
        self._forget_status()
        for service in self.services:
            service.stop()

    def log(self, text: str) -> None:
        """One line of run/keeper.log, which is the keeper's standard error. A full disk takes none."""
        with contextlib.suppress(OSError):
            os.write(2, f"{time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime())} {text}\n".encode(errors="replace"))

    def _boot(self, lease: Lease) -> Boot:
        """What a lease boots; while its run file cannot be read, what it booted before under the same plan."""
        boot = self._boots.get(lease.stack)
        boot = Boot(lease, boot.entries if boot and boot.lease.plan == lease.plan else ())
        with self._going_on():
            boot = read_boot(self.state_dir, lease)
        self._boots[lease.stack] = boot
        for entry in boot.entries:
            with self._going_on():
                folder = serve.reports(self.state_dir, entry.place)
                if not os.path.isdir(folder):
                    serve.passage(os.path.dirname(folder))
                    _report_folder(folder)
        return boot

    def _write_hosts(self, boots: list[Boot]) -> bool:
        """True when dnsmasq has something new to read."""
        entries = [entry for boot in boots for entry in boot.entries]
        server = config.boot_server(self.state_dir)
        serve.show_programs(self.state_dir, {entry.address for entry in entries})
        changed = False
        for name, text in (("dnsmasq.hosts", hosts_file(entries)), ("dnsmasq.opts", options_file(entries, server))):
            if self._written.get(name) != text:
                serve.write_file(os.path.join(self._run, name), text, 0o600)
                self._written[name] = text
                changed = True
        return changed

    def _write_status(self) -> None:
        status: dict[str, Any] = {service.name: service.report() for service in self.services}
        text = json.dumps(status, sort_keys=True)
        if self._written.get(STATUS) != text:
            serve.write_file(os.path.join(self._run, STATUS), text, 0o600)
            self._written[STATUS] = text

    def _forget_status(self) -> None:
        """A run that begins from now on must not take this keeper's services for ready."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(os.path.join(self._run, STATUS))

    def _fault(self, text: str) -> None:
        if text not in self._faults and len(self._faults) < MOST_FAULTS:
            self._faults.add(text)
            self.log(text)


def read_status(state_dir: str) -> dict[str, Any]:
    """What the keeper last said of its services: name -> ready, started, error. Empty when it said nothing."""
    with contextlib.suppress(FileNotFoundError), open(os.path.join(state_dir, "run", STATUS), encoding="utf-8") as file:
        status: dict[str, Any] = json.load(file)
        return status
    return {}


def alive(state_dir: str) -> bool:
    """True while a keeper of this state directory works."""
    lock = _open_lock(state_dir)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(lock)
    return False


def keep(state_dir: str) -> int:
    """Be the keeper; returns the exit status: 0, or 3 when there is one already."""
    os.umask(0o077)
    lock = _open_lock(state_dir)
    if not _taken(lock):
        return 3
    for name in LOGS:
        with contextlib.suppress(FileNotFoundError):
            os.truncate(os.path.join(state_dir, "run", name), 0)
    events.rotate(state_dir)
    _mount(state_dir)
    keeper = Keeper(state_dir)
    wake, wakened = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    signal.set_wakeup_fd(wakened, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda _number, _frame: None)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda _number, _frame: setattr(keeper, "stopping", True))
    keeper.log("the keeper begins")
    try:
        while keeper.tick():
            if select.select([wake], [], [], INTERVAL)[0]:
                os.read(wake, 4096)
            keeper.reap()
    finally:
        keeper.close()
        keeper.log("the keeper ends")
    return 0


def _taken(lock: int) -> bool:
    """Take the lock; those who only look whether it is taken hold it for an instant."""
    deadline = time.monotonic() + 1
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            if time.monotonic() >= deadline:
                return False
        time.sleep(0.01)


def _open_lock(state_dir: str) -> int:
    return os.open(os.path.join(state_dir, LOCK), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)


def _mount(state_dir: str) -> None:
    """Show nginx's workers the served trees, and only them, at a place that they can reach."""
    os.makedirs(config.MOUNT_POINT, mode=0o755, exist_ok=True)
    tmpfs = ["mount", "-t", "tmpfs", "-o", "mode=0755,nosuid,nodev,noexec", "tripleo-cloud", config.MOUNT_POINT]
    subprocess.run(tmpfs, check=True)
    for name in ("serve", "reports"):
        source, target = os.path.join(state_dir, name), os.path.join(config.MOUNT_POINT, name)
        for path in (source, target):
            serve.passage(path)
        subprocess.run(["mount", "--bind", source, target], check=True)
    serve.remove_unaddressed(state_dir)
    for path in (os.path.join(config.MOUNT_POINT, "temporary"), os.path.join(state_dir, "reports", ".body")):
        _report_folder(path)


def _report_folder(path: str) -> None:
    """A folder that nginx's workers may write to."""
    import pwd

    with contextlib.suppress(FileExistsError):
        os.mkdir(path, 0o700)
        worker = pwd.getpwnam(WORKER)
        os.chown(path, worker.pw_uid, worker.pw_gid)
