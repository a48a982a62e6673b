# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A machine with the node agent and two network cards, in a network namespace of its own.

The other ends of its cards are on a bridge in a second namespace, which plays gateway and Deployment cloud.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from machine import Machine

ROOT = Path(__file__).resolve().parents[2]
GATEWAY, GATEWAY6, NODE = "10.9.0.1", "fd09::1", "10.9.0.10"
MACS = {"eth0": "52:54:00:09:00:01", "eth1": "52:54:00:09:00:02"}
# What the config drive's first boot would have written.
BASE = f"""[Match]
MACAddress={MACS["eth0"]}
Type=ether

[Network]
DHCP=no

[Address]
Address={NODE}/24

[Route]
Destination=0.0.0.0/0
Gateway={GATEWAY}
"""


class NetworkedMachine(Machine):
    """Reached by ``run`` without its network, and by ``ssh`` from the Deployment cloud's namespace."""

    def __init__(self, folder: Path, base: Path) -> None:
        super().__init__(folder, base)
        # The machine takes its cards out of the first into a network of its own.
        self.inside, self.outside = f"node-{os.getpid()}", f"cloud-{os.getpid()}"
        self.network = (*(f"--network-interface={name}" for name in MACS), "--resolv-conf=off")
        # A read-only /sys tells nspawn that no udev here has to know the cards first.
        quiet = 'mount -o remount,ro,bind /sys && exec "$@"'
        self.within = ("nsenter", f"--net=/run/netns/{self.inside}", "unshare", "-m", "sh", "-c", quiet, "sh")

    def plug_in(self) -> None:
        """Make the namespaces and the cards."""
        cards = [f"link add {name} address {mac} type veth peer name to-{name}" for name, mac in MACS.items()]
        for name in (self.inside, self.outside):
            _ip("netns", "add", name)
        _ip("-n", self.inside, "-batch", "-", text="\n".join(cards) + "\n")
        for name in MACS:
            _ip("-n", self.inside, "link", "set", f"to-{name}", "netns", self.outside)
        batch = [
            "link set lo up",
            "link add lan type bridge forward_delay 0 mcast_snooping 0",
            *(f"link set to-{name} master lan up" for name in MACS),
            f"address add {GATEWAY}/24 dev lan",
            f"address add {GATEWAY6}/64 dev lan nodad",
            "link set lan up",
        ]
        _ip("-n", self.outside, "-batch", "-", text="\n".join(batch) + "\n")

    def unplug(self) -> None:
        """Remove the namespaces."""
        for name in (self.inside, self.outside):
            subprocess.run(["ip", "netns", "delete", name], check=False)

    def pull_the_plug(self) -> None:
        """End the machine at once, as a power cut does."""
        assert self._process is not None
        os.kill(self._init(), 9)
        self._process.wait()
        self._process = None

    def run(self, command: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run a shell command as root on it, past its network."""
        found = subprocess.run(
            ["pgrep", "-P", str(self._process.pid if self._process else 0)], capture_output=True, text=True, check=False
        )
        argv = ["nsenter", "-t", found.stdout.split()[0] if found.stdout else "0", "-a", "-r", "-w"]
        # A process that is left must not keep the machine's namespaces.
        return subprocess.run([*argv, "sh", "-c", command], capture_output=True, text=True, check=check, timeout=120)

    def ssh(self, command: str, given: str = "") -> subprocess.CompletedProcess[str]:
        """Run a command on it by SSH, from the Deployment cloud."""
        return subprocess.run(self.ssh_command(command), input=given, capture_output=True, text=True, check=False)

    def ssh_command(self, command: str) -> list[str]:
        """The argument vector of that."""
        options = [f"UserKnownHostsFile={self.known_hosts}", "StrictHostKeyChecking=accept-new", "BatchMode=yes"]
        options += ["ConnectTimeout=5", "ServerAliveInterval=5"]
        argv = ["ip", "netns", "exec", self.outside, "ssh", "-i", os.fspath(self.key), "-F", "none"]
        return [*argv, *(w for o in options for w in ("-o", o)), f"root@{NODE}", command]

    def push(self, network: Any, digest: str = "d") -> dict[str, Any]:
        """Push a document of os-net-config; the result that ends the agent's stream."""
        done = self.ssh("node-agent push", payload(network, digest))
        assert done.stdout, done.stderr
        result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])["result"]
        return result

    def files(self) -> dict[str, tuple[int, str]]:
        """Time of change and text of each network file."""
        found = {}
        for path in (self.root / "etc/systemd/network").glob("*.net*"):
            with contextlib.suppress(FileNotFoundError):
                found[path.name] = (path.stat().st_mtime_ns, path.read_text())
        return found

    def _configure(self, root: Path) -> None:
        super()._configure(root)
        (root / "root/.ssh").mkdir(mode=0o700, exist_ok=True)
        shutil.copy(self.key.with_suffix(".pub"), root / "root/.ssh/authorized_keys")
        (root / "etc/ssh/sshd_config.d/test.conf").write_text("PermitRootLogin prohibit-password\nUseDNS no\n")
        (root / f"etc/systemd/network/50-tripleo-{MACS['eth0'].replace(':', '')}.network").write_text(BASE)
        (root / "etc/resolv.conf").unlink(missing_ok=True)
        (root / "etc/resolv.conf").write_text("nameserver 192.0.2.53\n")
        hooks = root / "tmp/hooks"
        shutil.copytree(ROOT / "elements/node-agent", hooks)
        agent = [sys.executable, "agent/build.py", os.fspath(hooks / "node-agent.pyz")]
        subprocess.run(agent, cwd=ROOT, check=True, capture_output=True)
        for name in sorted(path.name for path in (hooks / "install.d").iterdir()):
            argv = ["chroot", os.fspath(root), f"/tmp/hooks/install.d/{name}"]
            path = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}
            subprocess.run(argv, env=path, check=True, capture_output=True)
        self.known_hosts.unlink()


def payload(network: Any, digest: str = "d") -> str:
    """What the agent reads from standard input."""
    return json.dumps({"documents": [["all", {"os_net_config": network} if network else {}]], "digest": digest})


def until(what: Any, seconds: float = 60.0) -> Any:
    """Wait until a call gives something true, and return it."""
    deadline = time.monotonic() + seconds
    while True:
        found = what()
        if found or time.monotonic() > deadline:
            assert found
            return found
        time.sleep(0.2)


def _ip(*words: str, text: str | None = None) -> None:
    subprocess.run(["ip", *words], input=text, text=True, check=True, capture_output=True)
