# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Brings a rack up and down: network, processes, and the files for Ansible."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import secrets
import shutil
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

from tripleo_cloud.rack import accelerator, addresses, control, inventory, network, process
from tripleo_cloud.rack.addresses import RackNetwork
from tripleo_cloud.rack.bmc import PORT
from tripleo_cloud.rack.errors import RackError
from tripleo_cloud.rack.owner import CONFIG
from tripleo_cloud.rack.qemu import CONSOLE_LOG, CONSOLE_SOCKET, disk_file
from tripleo_cloud.rack.spec import RackSpec, load

USERNAME = "admin"
_STATE, _PID, _LOG, _PASSWORDS = "rack.json", "owner.pid", "owner.log", "passwords.json"
_START_SECONDS, _STOP_SECONDS = 60.0, 20.0


class Rack:
    """A rack, described by a file, with all that it makes in a state directory.

    file: path of rack.yml. state_dir: default is .work/rack of the checkout whose inventories/rack holds the file.
    inventory_dir: where nodes.yaml and the variables go; default is the file's own folder.

    As a context manager it is up inside and down after::

        with Rack("rack.yml", tmp_path / "rack") as rack:
            rack.power("n1", "on")
    """

    def __init__(
        self,
        file: str | os.PathLike[str],
        state_dir: str | os.PathLike[str] | None = None,
        *,
        inventory_dir: str | os.PathLike[str] | None = None,
    ) -> None:
        self.file = Path(file).absolute()
        self.state_dir = Path(state_dir).absolute() if state_dir else self.file.parents[2] / ".work" / "rack"
        self.inventory_dir = Path(inventory_dir).absolute() if inventory_dir else self.file.parent

    def __enter__(self) -> Rack:
        try:
            self.up()
        except BaseException:
            self.down()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.down()

    def up(self, *, check: bool = False) -> dict[str, Any]:
        """Start what does not run and write what is missing. Raises RackError.

        Returns the rack's status with `changed`, and `changes`, a list of words. With check nothing is changed.
        """
        spec = load(self.file, addresses.seed(self.state_dir))
        if os.geteuid() != 0:
            raise RackError("a rack needs root: it makes network devices")
        if check:
            changes = self._missing(spec)
            return {**self.status(), "changed": bool(changes), "changes": changes}
        with self._locked():
            changes = self._bring_up(spec)
        return {**self.status(), "changed": bool(changes), "changes": changes}

    def down(self, *, check: bool = False) -> dict[str, Any]:
        """End all processes, remove the network, the state directory and the files for Ansible. Raises RackError."""
        if check:
            here = self.state_dir.exists() or (self.inventory_dir / inventory.NODES).exists()
            return {"changed": here, "running": self.owner_pid() is not None}
        name = addresses.namespace(self.state_dir)
        changed = bool(self.state_dir.exists() or network.exists(name) or inventory.remove(self.inventory_dir))
        if changed:
            with self._locked():
                self._stop()
                inventory.remove(self.inventory_dir)
                shutil.rmtree(self.state_dir)
        return {"changed": changed, "running": False}

    def status(self) -> dict[str, Any]:
        """Where everything is, and what runs."""
        state = self._state()
        if state is None:
            return {"running": False, "state_dir": os.fspath(self.state_dir)}
        owner = self.owner_pid()
        found: dict[str, Any] = {
            "running": owner is not None,
            "state_dir": os.fspath(self.state_dir),
            "owner_pid": owner,
            "network": state["network"],
            "host_namespace": state.get("host_namespace"),
        }
        if owner is None:
            return found
        answer = control.call(self.state_dir, "status")
        found["accelerator"] = answer["accelerator"]
        found["bmc_pid"] = self.bmc_pid()
        config = self._config()
        found["machines"] = {
            machine.name: {
                **answer["machines"][machine.name],
                "bmc_address": config["bmcs"][machine.name]["address"],
                "macs": list(machine.macs),
                "disks": {disk.serial: os.fspath(self.disk(machine.name, disk.serial)) for disk in machine.disks},
                "console_log": os.fspath(self.console_log(machine.name)),
                "console_socket": os.fspath(self._machine_dir(machine.name) / CONSOLE_SOCKET),
            }
            for machine in RackSpec.from_dict(config["spec"]).machines
        }
        return found

    # What tests and tools need besides IPMI

    @property
    def network(self) -> RackNetwork:
        """The rack's addresses and names. Raises RackError when it was never up."""
        state = self._state()
        if state is None:
            raise RackError(f"there is no rack in {self.state_dir}")
        return RackNetwork(**state["network"])

    def bmc(self, name: str) -> dict[str, Any]:
        """Address, port, username and password of a machine's BMC."""
        config: dict[str, Any] = self._config()["bmcs"][name]
        return {key: config[key] for key in ("address", "port", "username", "password")}

    def power(self, name: str, action: str) -> None:
        """on, off, cycle, reset, soft; not by IPMI. Raises RackError."""
        control.call(self.state_dir, "power", machine=name, action=action)

    def machine(self, name: str) -> dict[str, Any]:
        """State of a machine: on, flags, starts, failure. Raises RackError."""
        found: dict[str, Any] = control.call(self.state_dir, "describe", machine=name)
        return found

    def block_statistics(self, name: str) -> dict[str, Any]:
        """QEMU's counters of each disk (by serial number) since the machine's last start. Raises RackError."""
        found: dict[str, Any] = control.call(self.state_dir, "block_statistics", machine=name)
        return found

    def console_log(self, name: str) -> Path:
        """The file that takes all that a machine prints on its serial line."""
        return self._machine_dir(name) / CONSOLE_LOG

    def disk(self, name: str, serial: str) -> Path:
        """The file behind a disk; raw, sparse."""
        return self._machine_dir(name) / disk_file(serial)

    def owner_pid(self) -> int | None:
        """The process that all others of the rack die with, as the host sees it; None when the rack is down."""
        return process.recall(self.state_dir / _PID)

    def bmc_pid(self) -> int | None:
        """The process that answers IPMI, as the host sees it."""
        inner = control.call(self.state_dir, "status")["bmc_pid"]
        for pid in network.pids(self.network.namespace):
            if inner is not None and process.inner_pid(pid) == inner:
                return pid
        return None

    def move_host_end(self, namespace: str | None) -> None:
        """Put the host's end of the veth pair into a named namespace, or back with None. Raises RackError."""
        state = self._state() or {}
        network.move_host_end(self.network, state.get("host_namespace"), namespace)
        self._save({**state, "host_namespace": namespace})

    # Inside

    def _bring_up(self, spec: RackSpec) -> list[str]:
        running = self._running(spec)
        changes: list[str] = []
        if not running:
            self._stop()
            self._start(spec)
            changes.append("started")
        elif network.configure_host_end(self.network, (self._state() or {}).get("host_namespace")):
            changes.append("host interface")
        wanted = self._files(spec)
        for name in inventory.outdated(self.inventory_dir, wanted):
            inventory.write(self.inventory_dir, name, wanted[name])
            changes.append(name)
        return changes

    def _missing(self, spec: RackSpec) -> list[str]:
        """What up would do."""
        if not self._running(spec):
            return ["started", inventory.NODES, inventory.VARIABLES]
        return inventory.outdated(self.inventory_dir, self._files(spec))

    def _running(self, spec: RackSpec) -> bool:
        """Does this rack run? Raises RackError when it runs with other machines."""
        state = self._state()
        if self.owner_pid() is None or state is None:
            return False
        if RackSpec.from_dict(self._config()["spec"]) != spec:
            raise RackError(f"the rack runs with other machines than {self.file} says. Next: rack_down, then rack_up")
        net = self.network
        return network.exists(net.namespace) and network.host_end_present(net, state.get("host_namespace"))

    def _files(self, spec: RackSpec) -> dict[str, dict[str, Any]]:
        return {
            inventory.NODES: inventory.nodes(spec, self._config()["bmcs"]),
            inventory.VARIABLES: inventory.variables(self.network),
        }

    def _start(self, spec: RackSpec) -> None:
        chosen = accelerator.choose(spec.accelerator, self.state_dir.parent / "accelerator")
        taps = [
            network.tap(index, card) for index, machine in enumerate(spec.machines) for card in range(len(machine.macs))
        ]
        with network.host_lock():
            net = addresses.choose(self.state_dir, addresses.taken_by_host())
            self._save({"network": net.to_dict()})
            bmcs = self._bmcs(spec, net)
            network.create(net, taps, [bmc["address"] for bmc in bmcs.values()])
        config = {"spec": spec.to_dict(), "accelerator": chosen, "bmcs": bmcs}
        _write_private(self.state_dir / CONFIG, config)
        # The PID namespace's first process takes all others with it; unshare's child dies with unshare.
        argv = network.inside(net.namespace, "unshare", "--pid", "--fork", "--kill-child", "--mount-proc")
        argv += [sys.executable, "-m", "tripleo_cloud.rack", "serve-machines", os.fspath(self.state_dir)]
        with (self.state_dir / _LOG).open("ab") as log:
            # Of the environment only what finds programs and modules: it would stay readable as long as the rack runs.
            environment = {name: os.environ[name] for name in ("PATH", "PYTHONPATH") if name in os.environ}
            owner = subprocess.Popen(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                cwd="/",
                env=environment,
            )
        process.remember(self.state_dir / _PID, owner.pid)
        deadline = time.monotonic() + _START_SECONDS
        while True:
            with contextlib.suppress(RackError):
                if control.call(self.state_dir, "status")["bmc_ready"]:
                    return
            if owner.poll() is not None or time.monotonic() > deadline:
                words = (self.state_dir / _LOG).read_text(errors="replace")[-2000:]
                self._stop()
                raise RackError(f"the rack's processes do not start:\n{words}")
            time.sleep(0.05)

    def _bmcs(self, spec: RackSpec, net: RackNetwork) -> dict[str, dict[str, Any]]:
        passwords: dict[str, str] = {}
        with contextlib.suppress(OSError, ValueError):
            passwords = json.loads((self.state_dir / _PASSWORDS).read_text())
        missing = {m.name: secrets.token_hex(8) for m in spec.machines if m.name not in passwords}
        if missing:
            passwords |= missing
            _write_private(self.state_dir / _PASSWORDS, passwords)
        space = uuid.UUID(bytes=addresses.seed(self.state_dir)[:16])
        return {
            machine.name: {
                "address": net.bmc_address(index),
                "port": PORT,
                "username": USERNAME,
                "password": passwords[machine.name],
                "uuid": str(uuid.uuid5(space, machine.name)),
                "mac": f"56:54:00{machine.macs[0][8:]}",
            }
            for index, machine in enumerate(spec.machines)
        }

    def _stop(self) -> None:
        """End whatever is left of the rack, even of one whose owner was killed. Raises RackError."""
        owner = self.owner_pid()
        if owner is not None:
            with contextlib.suppress(RackError):
                control.call(self.state_dir, "shutdown", timeout=5)
                process.wait_gone(owner, _STOP_SECONDS)
            if self.owner_pid() is not None:
                process.end(owner)
                process.wait_gone(owner, _STOP_SECONDS)
        # By its name, which the path decides: also what is left when somebody has removed the state directory.
        name = addresses.namespace(self.state_dir)
        if network.exists(name):
            deadline = time.monotonic() + _STOP_SECONDS
            while left := network.pids(name):
                if time.monotonic() > deadline:
                    raise RackError(f"processes {left} in the namespace {name} do not end")
                for pid in left:
                    process.end(pid)
                time.sleep(0.05)
            network.remove(name)
        for name in (_STATE, _PID, CONFIG, control.SOCKET):
            (self.state_dir / name).unlink(missing_ok=True)

    def _machine_dir(self, name: str) -> Path:
        return self.state_dir / "machines" / name

    def _state(self) -> dict[str, Any] | None:
        return _read(self.state_dir / _STATE)

    def _save(self, state: dict[str, Any]) -> None:
        _write_private(self.state_dir / _STATE, state)

    def _config(self) -> dict[str, Any]:
        config = _read(self.state_dir / CONFIG)
        if config is None:
            raise RackError(f"there is no rack in {self.state_dir}")
        return config

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        """One process at a time works on a rack."""
        while True:
            self.state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
            handle = os.open(self.state_dir, os.O_RDONLY | os.O_DIRECTORY)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX)
                # Whoever held the lock before may have removed the directory.
                if _same(self.state_dir, handle):
                    yield
                    return
            finally:
                os.close(handle)


def _same(path: Path, handle: int) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(handle))
    except FileNotFoundError:
        return False


def _read(path: Path) -> dict[str, Any] | None:
    try:
        found: dict[str, Any] = json.loads(path.read_text())
    except (OSError, ValueError):
        return None
    return found


def _write_private(path: Path, data: Any) -> None:
    temporary = path.with_name(f".{path.name}.new")
    temporary.unlink(missing_ok=True)
    with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        json.dump(data, file)
    temporary.replace(path)
