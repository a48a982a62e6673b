# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs the collection's playbooks through ansible-runner and yields their events."""

from __future__ import annotations

import contextlib
import os
import queue
import shlex
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Generator, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ansible_runner.interface import run as run_playbook

from tripleo_cloud.events import Event, Kind, Summary

# The steps of each phase, in their order: the tags of its playbook.
STEPS = {
    "prepare": ("deployment_cloud", "images", "register"),
    "deploy": ("plan", "boot"),
    "setup": ("push",),
    "initialize": ("identity", "clouds", "prove"),
}
PHASES = tuple(STEPS)

# ansible-playbook's prompts, as ansible-runner looks for them.
_PROMPTS = {"vault": r"^Vault password.*:\s*?$", "become": r"^BECOME password.*:\s*?$"}

# ansible-runner's own cancel kills only its direct child's process group; core's workers have sessions of their own
# and would go on working on the nodes. Core ends them itself when it gets SIGINT.
_CANCEL_GRACE_SECONDS = 20.0


def checkout_inventory() -> str | None:
    """The rack's inventory when the working directory is a checkout, else None."""
    path = Path.cwd() / "inventories" / "rack" / "hosts.yml"
    return os.fspath(path) if path.is_file() else None


class Deployment:
    """One inventory and the options that every phase shares.

    inventory: path of an inventory file; default is the rack's in the current checkout.
    variables: extra variables. Put secrets into vaulted files of the inventory, not here.
    check, diff: preview, and show what differs.
    only: names of the only servers to work on; one phase may have its own, ``deploy(only=["cloud-compute-0"])``.
    tags: Ansible tags of the steps to run; see STEPS.
    arguments: further arguments of ansible-playbook, such as ``--vault-password-file``.
    passwords: answers to what ansible-playbook would ask at a terminal, by ``vault`` and ``become``.

    Iterate over a phase to follow it; ``summary`` says how the last one ended::

        deployment = Deployment("inventories/example/hosts.yml")
        for event in deployment.site():
            print(event.text)
        assert deployment.summary.successful
    """

    def __init__(
        self,
        inventory: str | os.PathLike[str] | None = None,
        *,
        variables: Mapping[str, Any] | None = None,
        check: bool = False,
        diff: bool = False,
        only: Sequence[str] = (),
        tags: Sequence[str] = (),
        arguments: Sequence[str] = (),
        passwords: Mapping[str, str] | None = None,
    ) -> None:
        self.inventory = os.fspath(inventory) if inventory else checkout_inventory()
        self.variables = dict(variables or {})
        self.only = tuple(only)
        self.passwords = {_PROMPTS[kind]: password for kind, password in (passwords or {}).items()}
        self.arguments = [*(["--check"] if check else []), *(["--diff"] if diff else []), *arguments]
        self.arguments += [
            {"vault": "--ask-vault-pass", "become": "--ask-become-pass"}[kind] for kind in passwords or {}
        ]
        if tags:
            self.arguments += ["--tags", ",".join(tags)]
        self.summary = Summary("unstarted", -1, 0, (), 0.0)
        self._cancelled = threading.Event()

    def prepare(self) -> Generator[Event]:
        """Phase 1: the Deployment cloud, golden images, registered hardware."""
        return self.run("prepare")

    def deploy(self, only: Sequence[str] = ()) -> Generator[Event]:
        """Phase 2: plan, reserve, boot and write the servers, or the named ones only."""
        return self.run("deploy", only)

    def setup(self, only: Sequence[str] = ()) -> Generator[Event]:
        """Phase 3: configure every server from its metadata, or the named ones only."""
        return self.run("setup", only)

    def initialize(self) -> Generator[Event]:
        """Phase 4: Keystone's projects, users and endpoints."""
        return self.run("initialize")

    def site(self) -> Generator[Event]:
        """The four phases."""
        return self.run("site")

    def cancel(self) -> None:
        """End the run that is going on; returns at once, the iteration ends when every worker is gone."""
        self._cancelled.set()

    def run(self, playbook: str, only: Sequence[str] = ()) -> Generator[Event]:
        """Run the playbook tripleo.cloud.<playbook> and yield its events as they come.

        only: names of the only servers to work on, in place of the Deployment's own.
        Leaving the iteration early cancels the run.
        """
        # A text would be a list of its letters.
        names = [only] if isinstance(only, str) else list(only or self.only)
        variables = {**self.variables, "tripleo_only": names} if names else self.variables
        self._cancelled.clear()
        events: queue.Queue[Event | None] = queue.Queue()
        started = time.monotonic()
        with tempfile.TemporaryDirectory(prefix="tripleo-run-") as folder:
            worker = threading.Thread(
                target=self._work, args=(playbook, variables, folder, events, started), daemon=True
            )
            worker.start()
            try:
                while (event := events.get()) is not None:
                    yield event
            finally:
                if worker.is_alive():
                    self.cancel()
                worker.join()

    def _work(
        self,
        playbook: str,
        variables: Mapping[str, Any],
        folder: str,
        events: queue.Queue[Event | None],
        started: float,
    ) -> None:
        changed = 0
        failures: list[str] = []

        def handle(raw: dict[str, Any]) -> bool:
            nonlocal changed
            if raw.get("event") == "playbook_on_start":
                # Variables and passwords are read by now; a kill must not leave them behind.
                shutil.rmtree(os.path.join(folder, "env"), ignore_errors=True)
            event = Event.from_runner(raw)
            changed += event.kind is Kind.CHANGED
            if event.kind is Kind.FAILED and not event.data.get("ignore_errors"):
                failures.append(str((event.data.get("res") or {}).get("msg", event.text)))
            events.put(event)
            return False

        status, rc = "error", 1
        try:
            runner = run_playbook(
                private_data_dir=folder,
                project_dir=os.getcwd(),
                playbook=f"tripleo.cloud.{playbook}",
                inventory=self.inventory,
                extravars=dict(variables) or None,
                cmdline=shlex.join(self.arguments) or None,
                passwords=self.passwords or None,
                # ansible-playbook of this Python environment, which need not be an activated one.
                envvars={
                    "PATH": os.pathsep.join([os.path.dirname(sys.executable), os.environ.get("PATH", os.defpath)])
                },
                quiet=True,
                event_handler=handle,
                cancel_callback=_Cancel(self._cancelled, folder),
                settings={"pexpect_timeout": 1, "idle_timeout": 0},
            )
            status, rc = runner.status, runner.rc
        except Exception as error:  # whatever it is, the caller must see it and the iteration must end
            failures.append(str(error))
        if self._cancelled.is_set():
            status = "canceled"
        self.summary = Summary(status, rc, changed, tuple(failures), time.monotonic() - started)
        events.put(None)


class _Cancel:
    """ansible-runner's cancel callback: asks core to end its workers first, kills only after a grace period."""

    def __init__(self, wanted: threading.Event, folder: str) -> None:
        self._wanted = wanted
        self._folder = folder
        self._asked_at: float | None = None

    def __call__(self) -> bool:
        if not self._wanted.is_set():
            return False
        if self._asked_at is None:
            self._asked_at = time.monotonic()
            for pid in _children_of(os.getpid(), f"AWX_ISOLATED_DATA_DIR={self._folder}"):
                os.kill(pid, signal.SIGINT)
        return time.monotonic() - self._asked_at > _CANCEL_GRACE_SECONDS


def _children_of(parent: int, mark: str) -> Iterator[int]:
    """Direct children of a process whose environment has an entry that starts with mark."""
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            fields = stat.read_text().rpartition(")")[2].split()
            if int(fields[1]) == parent and mark.encode() in (stat.parent / "environ").read_bytes():
                yield int(stat.parent.name)
