# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Starts the keeper from a copy of the core, waits for its services, and sees it end."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from typing import Any

from .._errors import TripleoError
from . import config, serve
from .keeper import STATUS, alive, read_status

PACKAGE = "ansible_collections.tripleo.cloud.plugins.module_utils"
ROOMS = ("_boot", "_errors", "_run", "_state")
READY_SECONDS = 60.0
END_SECONDS = 20.0
SYSTEMD = "/run/systemd/system"


def install(state_dir: str, rooms: Sequence[str] = ROOMS) -> str:
    """Copy the core that the keeper needs to <state_dir>/lib and return that path. rooms: which of the loaded ones.

    The sources are those of the modules that are loaded now: a module's own payload is gone when the module ends.
    """
    from . import __main__, poll  # noqa: F401  # loaded, so that they are copied

    library = os.path.join(state_dir, "lib")
    for name, module in sorted(sys.modules.items()):
        parts = name[len(PACKAGE) + 1 :].split(".")
        loader: Any = getattr(module, "__loader__", None)
        if not name.startswith(f"{PACKAGE}.") or parts[0] not in rooms or not hasattr(loader, "get_source"):
            continue
        source = loader.get_source(name)
        if source and not hasattr(module, "__path__"):
            _put(os.path.join(library, *name.split(".")) + ".py", source)
    # An installed ansible_collections with an __init__.py would hide a namespace package.
    for folder, _folders, _files in list(os.walk(library)):
        if folder != library and not folder.endswith("__pycache__"):
            _put(os.path.join(folder, "__init__.py"), "")
    return library


def start(state_dir: str) -> None:
    """Have a keeper whose dnsmasq and nginx answer; a TripleoError says why they do not.

    The lease must have been taken before: a keeper without a lease ends at once.
    """
    if os.geteuid() != 0:
        raise TripleoError(
            "DHCP, TFTP and a mount namespace need root",
            operation="start the boot services",
            next_step="set tripleo_become to true",
        )
    server = config.boot_server(state_dir)
    deadline = time.monotonic() + READY_SECONDS
    starts = 0
    while time.monotonic() < deadline:
        if not alive(state_dir):
            if starts == 3:
                raise TripleoError(
                    f"the keeper does not stay: {_last_line(os.path.join(state_dir, 'run', 'keeper.log'))}",
                    operation="start the boot services",
                    next_step=f"read {state_dir}/run/keeper.log",
                )
            starts += 1
            with _launching(state_dir):
                # Another run may have been faster.
                if not alive(state_dir):
                    _launch(state_dir)
        status = read_status(state_dir)
        for name, service in sorted(status.items()):
            if service["error"]:
                raise TripleoError(
                    service["error"],
                    operation=f"start {name} on {server.authority}",
                    next_step="free the port or the interface, or correct tripleo_provisioning_address; "
                    f"the logs are in {state_dir}/run",
                )
        if status and all(service["ready"] for service in status.values()) and _answers(server.address, server.port):
            return
        time.sleep(0.1)
    raise TripleoError(
        f"nothing answers on {server.authority} after {READY_SECONDS:.0f} s",
        operation="start the boot services",
        next_step=f"read the logs in {state_dir}/run",
    )


def wait_end(state_dir: str) -> bool:
    """True when the keeper has ended, False when it still works for another run."""
    from .lease import leases

    deadline = time.monotonic() + END_SECONDS
    while time.monotonic() < deadline:
        if not alive(state_dir):
            return True
        if any(lease.boot and lease.live(time.time()) for lease in leases(state_dir)):
            return False
        time.sleep(0.1)
    raise TripleoError(
        f"the keeper has not ended after {END_SECONDS:.0f} s",
        operation="stop the boot services",
        next_step=f"read {state_dir}/run/keeper.log",
    )


def command(state_dir: str, library: str) -> list[str]:
    """The command that starts the keeper so that everything it starts dies with it."""
    python = [sys.executable, "-m", f"{PACKAGE}._run", state_dir]
    log = os.path.join(state_dir, "run", "keeper.log")
    if os.path.isdir(SYSTEMD):
        unit = "tripleo-cloud-keeper-" + hashlib.sha256(os.path.realpath(state_dir).encode()).hexdigest()[:8]
        return [
            "systemd-run",
            "--quiet",
            "--collect",
            f"--unit={unit}",
            "--service-type=exec",
            "--property=KillMode=control-group",
            "--property=PrivateMounts=yes",
            "--property=StandardOutput=append:" + log,
            "--property=StandardError=append:" + log,
            f"--working-directory={library}",
            f"--setenv=PYTHONPATH={library}",
            f"--setenv=PATH={os.environ.get('PATH', os.defpath)}",
            *python,
        ]
    unshare = ["unshare", "--pid", "--fork", "--kill-child", "--mount", "--mount-proc", "--propagation", "private"]
    return [*unshare, *python]


@contextlib.contextmanager
def _launching(state_dir: str) -> Iterator[None]:
    with open(os.path.join(state_dir, "run", "keeper.launch"), "ab") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _launch(state_dir: str) -> None:
    library = install(state_dir)
    run = os.path.join(state_dir, "run")
    with contextlib.suppress(FileNotFoundError):
        os.unlink(os.path.join(run, STATUS))
    with open(os.path.join(run, "keeper.log"), "ab") as log:
        process = subprocess.Popen(
            command(state_dir, library),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd=library,
            env={"PATH": os.environ.get("PATH", os.defpath), "PYTHONPATH": library, "LANG": "C.UTF-8"},
            start_new_session=True,
        )
    serve.write_file(os.path.join(state_dir, "keeper.pid"), f"{process.pid}\n", 0o600)
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline and not alive(state_dir):
        if process.poll() is not None and not os.path.isdir(SYSTEMD):
            return
        time.sleep(0.05)
    # The keeper outlives this process on purpose; nobody waits for it here.
    process.returncode = 0


def _answers(address: str, port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection((address, port), timeout=2):
        return True
    return False


def _put(path: str, text: str) -> None:
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with contextlib.suppress(FileNotFoundError), open(path, encoding="utf-8") as stream:
        if stream.read() == text:
            return
    serve.write_file(path, text, 0o600)


def _last_line(path: str) -> str:
    with contextlib.suppress(OSError), open(path, encoding="utf-8", errors="replace") as stream:
        lines = [line.strip() for line in stream if line.strip()]
        if lines:
            return lines[-1]
    return "it wrote nothing"
