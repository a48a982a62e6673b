# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A Debian machine with systemd and sshd of its own, that sees nothing of this host but its network interfaces."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

USER = "cloudadmin"
PACKAGES = ("ca-certificates", "dbus", "iproute2", "openssh-server", "python3", "sudo", "systemd-sysv")
# The machine ends with the process that starts it, however that one ends.
_START = (
    *("setpriv", "--pdeathsig", "KILL", "systemd-nspawn", "--quiet", "--boot", "--register=no", "--keep-unit"),
    *("--console=pipe", "--link-journal=no", "--capability=CAP_NET_ADMIN", "--timezone=off"),
)
_START_SECONDS, _STOP_SECONDS = 60.0, 20.0


class Machine:
    """A booted `systemd-nspawn` machine in a folder, reached by SSH as a user who may use sudo.

    folder: holds the machine's root file system and the client's keys; both stay when it is stopped.
    """

    def __init__(self, folder: Path, base: Path, packages: Sequence[str] = PACKAGES) -> None:
        """base: an unused root file system that machines share.

        packages: what it is made of when it is missing or was made of others; none when somebody else makes it.
        """
        self.folder = folder
        self.root = folder / "root"
        self.key = folder / "key"
        self.known_hosts = folder / "known_hosts"
        self._base = base
        self._packages = packages
        self._port_file = folder / "port"
        self._process: subprocess.Popen[bytes] | None = None
        # What starts it, and its options for the network: this host's, as it is.
        self.within: tuple[str, ...] = ()
        self.network: tuple[str, ...] = ("--resolv-conf=copy-host",)

    @property
    def port(self) -> int:
        """Where its sshd listens on 127.0.0.1."""
        return int(self._port_file.read_text())

    @property
    def name(self) -> str:
        """Its host name."""
        return f"deployment-cloud-{self.port}"

    def inventory(self) -> dict[str, Any]:
        """The variables by which Ansible reaches it."""
        return {
            "ansible_host": "127.0.0.1",
            "ansible_port": self.port,
            "ansible_user": USER,
            "ansible_ssh_private_key_file": os.fspath(self.key),
            "ansible_ssh_common_args": f"-o UserKnownHostsFile={self.known_hosts} -o StrictHostKeyChecking=yes",
        }

    def start(self) -> None:
        """Boot it."""
        self.make()
        with (self.folder / "boot.log").open("wb") as log:
            self._process = subprocess.Popen(
                [*self.within, *_START, *self.network, f"--directory={self.root}", f"--machine={self.name}"],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        deadline = time.monotonic() + _START_SECONDS
        while self.run("true", check=False).returncode:
            assert time.monotonic() < deadline, (self.folder / "boot.log").read_text(errors="replace")
            time.sleep(0.3)

    def make(self) -> None:
        """Make it, where it was never made."""
        if self.root.exists():
            return
        self._make_base()
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True, mode=0o755)
        partial = self.folder / "root.new"
        subprocess.run(["cp", "-a", os.fspath(self._base), os.fspath(partial)], check=True)
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", os.fspath(self.key)], check=True)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self._port_file.write_text(str(free.getsockname()[1]))
        self._configure(partial)
        partial.rename(self.root)

    def stop(self) -> None:
        """Shut it down."""
        if self._process is None:
            return
        with contextlib.suppress(ProcessLookupError, subprocess.CalledProcessError):
            os.kill(self._init(), signal.SIGRTMIN + 4)
        try:
            self._process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None
        with contextlib.suppress(OSError):
            os.rmdir(f"/run/systemd/nspawn/propagate/{self.name}")

    def run(self, command: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run a shell command as root on it, by SSH."""
        options = [f"UserKnownHostsFile={self.known_hosts}", "StrictHostKeyChecking=yes", "BatchMode=yes"]
        argv = ["ssh", "-p", str(self.port), "-i", os.fspath(self.key), *(w for o in options for w in ("-o", o))]
        argv += [f"{USER}@127.0.0.1", "sudo", "sh", "-c", f"'{command}'"]
        return subprocess.run(argv, capture_output=True, text=True, check=check)

    def processes(self) -> dict[int, str]:
        """Command lines of all that runs on it, by process id on this host."""
        namespace = os.readlink(f"/proc/{self._init()}/ns/pid")
        found = {}
        for folder in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                if os.readlink(folder / "ns" / "pid") == namespace:
                    found[int(folder.name)] = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode()
        return found

    def _init(self) -> int:
        """Its first process, as this host sees it."""
        assert self._process is not None
        argv = ["pgrep", "-P", str(self._process.pid)]
        return int(subprocess.run(argv, capture_output=True, text=True, check=True).stdout)

    def _make_base(self) -> None:
        made_of = "\n".join(self._packages)
        note = self._base.with_suffix(".packages")
        if made_of and (not note.exists() or note.read_text() != made_of):
            shutil.rmtree(self._base, ignore_errors=True)
            self._base.parent.mkdir(parents=True, exist_ok=True)
            include = f"--include={','.join(self._packages)}"
            argv = ["mmdebstrap", "--quiet", "--variant=minbase", include, "bookworm", os.fspath(self._base)]
            subprocess.run(argv, check=True)
            note.write_text(made_of)

    def _configure(self, root: Path) -> None:
        subprocess.run(["useradd", "--root", os.fspath(root), "-m", "-s", "/bin/bash", USER], check=True)
        home = root / "home" / USER
        (home / ".ssh").mkdir(mode=0o700)
        shutil.copy(self.key.with_suffix(".pub"), home / ".ssh" / "authorized_keys")
        owner = home.stat()
        for path in (home / ".ssh", home / ".ssh" / "authorized_keys"):
            os.chown(path, owner.st_uid, owner.st_gid)
        files = {
            "etc/hostname": f"{self.name}\n",
            "etc/hosts": f"127.0.0.1 localhost {self.name}\n",
            f"etc/sudoers.d/{USER}": f"{USER} ALL=(ALL) NOPASSWD:ALL\n",
            "etc/ssh/sshd_config.d/test.conf": f"Port {self.port}\nListenAddress 127.0.0.1\n",
            # Certificates of this host's own way to the package index.
            "etc/pip.conf": "[global]\ncert = /etc/ssl/certs/ca-certificates.crt\n",
            "etc/ssl/certs/ca-certificates.crt": Path("/etc/ssl/certs/ca-certificates.crt").read_text(),
        }
        for name, text in files.items():
            (root / name).write_text(text)
        subprocess.run(["ssh-keygen", "-q", "-A", "-f", os.fspath(root)], check=True)
        host_key = " ".join((root / "etc/ssh/ssh_host_ed25519_key.pub").read_text().split()[:2])
        self.known_hosts.write_text(f"[127.0.0.1]:{self.port} {host_key}\n")
