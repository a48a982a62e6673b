# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A stack whose servers are played by a real sshd on loopback addresses, each with a root of its own."""

from __future__ import annotations

import hashlib
import json
import socket
import subprocess
import time
from pathlib import Path
from typing import Any

from ansible_collections.tripleo.cloud.plugins.module_utils._node_zipapp import build_zipapp
from ansible_collections.tripleo.cloud.plugins.module_utils._push import deliver
from ansible_collections.tripleo.cloud.plugins.module_utils._push.record import StateRecorder
from ansible_collections.tripleo.cloud.plugins.module_utils._push.ssh import Access
from ansible_collections.tripleo.cloud.plugins.module_utils._push.targets import Target, targets
from ansible_collections.tripleo.cloud.plugins.module_utils._state.store import State

SSHD = "/usr/sbin/sshd"
STACK = "cloud"
SECRET = "Heifs23jk3"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Cloud:
    """A state directory with a plan, and an sshd that plays every node at its own loopback address."""

    def __init__(self, folder: Path, servers: int = 3) -> None:
        self.folder = folder
        self.state_dir = folder / "state"
        self.port = free_port()
        self.names = [f"server-{number}" for number in range(servers)]
        self.addresses = {name: f"127.0.1.{number + 1}" for number, name in enumerate(self.names)}
        secrets = self.state_dir / "secrets" / STACK
        secrets.mkdir(parents=True)
        for path in (secrets / "ssh_key", folder / "host_key"):
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", path], check=True)
        self.known_hosts = secrets / "known_hosts"
        self.pin((folder / "host_key.pub").read_text())
        build_zipapp(str(folder / "node-agent.pyz"))
        self.make_agent()
        self.make_plan({"mysql": {"root-password": "%{secret:Mysql#1}"}})
        for name in self.names:
            node = self.node(name)
            for path, text in (
                ("templates/etc/app.conf", "password = {{mysql.root-password}}\n"),
                ("phases/post-configure.d/50-app", "#!/bin/sh\necho run >> $NODE_AGENT_STATE/runs\n"),
                ("phases/health.d/app", "#!/bin/sh\ntest ! -e $NODE_AGENT_STATE/sick\n"),
            ):
                (node / path).parent.mkdir(parents=True, exist_ok=True)
                (node / path).write_text(text)
                (node / path).chmod(0o755 if text.startswith("#!") else 0o644)
        self.sshd: subprocess.Popen[bytes] | None = None

    def node(self, name: str) -> Path:
        return self.folder / "nodes" / self.addresses[name]

    def pin(self, public_key: str) -> None:
        lines = [f"[{address}]:{self.port} {public_key.strip()}\n" for address in self.addresses.values()]
        self.known_hosts.write_text("".join(lines))

    def make_agent(self) -> None:
        script = f"""#!/bin/bash
set -- "$1" $SSH_CONNECTION
node={self.folder}/nodes/$4
export NODE_AGENT_ROOT=$node/root NODE_AGENT_CACHE=$node/cache NODE_AGENT_STATE=$node/state NODE_AGENT_LOG=$node/log
export NODE_AGENT_LOCK=$node/lock HEAT_CONFIG_DEPLOYED=$node/deployed
export OS_CONFIG_APPLIER_TEMPLATES=$node/templates OS_REFRESH_CONFIG_BASE_DIR=$node/phases
mkdir -p $node/state
echo "$1" >> $node/calls
exec < <(tee $node/received 2>/dev/null)
exec /usr/bin/python3 -IS {self.folder}/node-agent.pyz "$1"
"""
        (self.folder / "node-agent").write_text(script)
        (self.folder / "node-agent").chmod(0o755)

    def make_document(self, document: Any) -> str:
        text = json.dumps(document).encode()
        sha256 = hashlib.sha256(text).hexdigest()
        (self.state_dir / "documents").mkdir(exist_ok=True)
        (self.state_dir / "documents" / f"{sha256}.json").write_bytes(text)
        return f"sha256:{sha256}"

    def make_plan(self, document: Any, again: Any = None) -> None:
        """Store a plan. again: the second document, the same one without it."""
        first = self.make_document(document)
        second = self.make_document(again) if again else first
        with State.open(str(self.state_dir)) as state:
            record = state.stack(STACK)
            serial = record.serial if record else 0
            self.plan = {
                "stack": STACK,
                "serial": serial + 1,
                "hash": f"hash-{serial + 1}",
                "servers": {
                    f"{name}.Server": {
                        "name": name,
                        "node": f"node-{name}",
                        "networks": {"ctlplane": [self.addresses[name]]},
                        "metadata": first,
                        "documents": [["again", second]],
                        "action": "keep" if serial else "create",
                    }
                    for name in self.names
                },
            }
            state.register({f"node-{name}": {} for name in self.names})
            state.store_plan(self.plan, serial, [])
            if not serial:
                for name in self.names:
                    state.set_stage(STACK, name, "booted", plan=self.plan["hash"])

    def start(self) -> None:
        Path("/run/sshd").mkdir(exist_ok=True)
        config = self.folder / "sshd_config"
        listen = "".join(f"ListenAddress {address}:{self.port}\n" for address in self.addresses.values())
        config.write_text(
            f"{listen}HostKey {self.folder}/host_key\nAuthorizedKeysFile {self.state_dir}/secrets/{STACK}/ssh_key.pub\n"
            "StrictModes no\nPermitRootLogin prohibit-password\nPasswordAuthentication no\nUsePAM no\n"
            f"PidFile {self.folder}/sshd.pid\nMaxStartups 200\n"
        )
        with (self.folder / "sshd.log").open("ab") as log:
            self.sshd = subprocess.Popen([SSHD, "-D", "-e", "-f", config], stderr=log)

    def stop(self) -> None:
        if self.sshd:
            self.sshd.terminate()
            self.sshd.wait()

    def fill(self, document: Any) -> Any:
        return json.loads(
            json.dumps(document).replace("%{secret:Mysql#1}", SECRET).replace("%{secret:Mysql#2}", "other-1")
        )

    def access(self, **changes: Any) -> Access:
        options = {"port": self.port, "agent": str(self.folder / "node-agent"), "connect_seconds": 20.0, **changes}
        return Access.of_stack(str(self.state_dir), STACK, **options)

    def targets(self, *only: str) -> list[Target]:
        with State.open(str(self.state_dir), read_only=True) as state:
            return targets(str(self.state_dir), self.plan, state.servers(STACK), only)

    def deliver(self, *only: str, alive: Any = lambda: None, access: Access | None = None, **options: Any) -> Any:
        settings = deliver.Settings(access=access or self.access(), fill=self.fill, health_seconds=0.1, **options)
        with State.open(str(self.state_dir)) as state:
            recorder = StateRecorder(state, STACK, str(self.plan["hash"]), "run-1")
            outcomes = deliver.deliver(self.targets(*only), settings, recorder, alive)
        return {outcome.target.server: outcome for outcome in outcomes}

    def record(self, name: str) -> Any:
        with State.open(str(self.state_dir), read_only=True) as state:
            return state.servers(STACK)[name]

    def calls(self, name: str) -> list[str]:
        path = self.node(name) / "calls"
        lines = path.read_text().split() if path.exists() else []
        path.write_text("")
        return lines

    def logins(self) -> int:
        return (self.folder / "sshd.log").read_text().count("Accepted publickey")

    def events(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in (self.state_dir / "events.jsonl").read_text().splitlines()]


def wait_for(cloud: Cloud, address: str = "127.0.1.1") -> None:
    for _number in range(100):
        with socket.socket() as probe:
            if probe.connect_ex((address, cloud.port)) == 0:
                return
        time.sleep(0.05)
