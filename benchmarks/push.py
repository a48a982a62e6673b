# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A changed key pushed to 200 nodes, beside Ansible's template task with 50 forks; every node has an sshd of its own.

All run on this machine, so wall time is mostly the nodes' own work. Controller time is user and system time of
ansible-playbook and all that it starts, kept connections too, less that of an empty play.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from resource import RUSAGE_CHILDREN, getrusage
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests" / "unit" / "plugins" / "module_utils" / "_push"))

from push_cloud import SSHD, STACK, Cloud, wait_for  # noqa: E402 - the path is set just above

FORKS = 50
LIVE_NODES = 20
_PR_SET_CHILD_SUBREAPER = 36


class Nodes(Cloud):
    """Servers with an sshd process each. Arrival is when the agent's wrapper starts."""

    def start(self) -> None:
        Path("/run/sshd").mkdir(exist_ok=True)
        self.processes = []
        for name in self.names:
            config = self.folder / f"sshd_config-{name}"
            config.write_text(
                f"ListenAddress {self.addresses[name]}:{self.port}\nHostKey {self.folder}/host_key\n"
                f"AuthorizedKeysFile {self.state_dir}/secrets/{STACK}/ssh_key.pub\nStrictModes no\nUsePAM no\n"
                f"PermitRootLogin prohibit-password\nPasswordAuthentication no\nPidFile none\n"
                "Subsystem sftp internal-sftp\n"
            )
            self.processes.append(subprocess.Popen([SSHD, "-D", "-e", "-f", config], stderr=subprocess.DEVNULL))

    def stop(self) -> None:
        for process in self.processes:
            process.terminate()
        for process in self.processes:
            process.wait()

    def make_agent(self) -> None:
        super().make_agent()
        path = self.folder / "node-agent"
        lines = path.read_text().splitlines()
        path.write_text("\n".join("date +%s.%N > $node/arrived" if "tee" in line else line for line in lines) + "\n")

    def change(self, value: str) -> None:
        """A plan in which one key has another value; a larger document stays as it is."""
        self.make_plan({"mysql": {"root-password": value}}, again={"filler": [{"x": number} for number in range(5000)]})

    def live(self, name: str, file: str) -> str:
        path = self.node(name) / file
        return path.read_text() if path.exists() else ""


class Cost(NamedTuple):
    wall: float
    cpu: float


def measured(command: list[str], environment: dict[str, str], log: Path) -> Cost:
    """Seconds that a command and all that it left behind took; what is left is ended."""
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1)
        began = time.monotonic()
        with log.open("ab") as stream:
            status = subprocess.run(command, env=environment, stdout=stream, stderr=stream, check=False, cwd=ROOT)
        wall = time.monotonic() - began
        with suppress(ChildProcessError):
            while True:
                for pid in Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children").read_text().split():
                    os.kill(int(pid), signal.SIGTERM)
                os.wait()
        used = getrusage(RUSAGE_CHILDREN)
        os.write(writer, json.dumps([status.returncode, wall, used.ru_utime + used.ru_stime]).encode())
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as stream:
        status, wall, cpu = json.loads(stream.read())
    os.waitpid(child, 0)
    if status:
        raise SystemExit(f"{command} ended with {status}, see {log}")
    return Cost(wall, cpu)


class Plays:
    """The plays that are compared."""

    def __init__(self, nodes: Nodes) -> None:
        self.nodes, self.folder = nodes, nodes.folder
        self.environment = {
            **os.environ,
            "ANSIBLE_HOME": str(self.folder / "ansible"),
            "ANSIBLE_SSH_CONTROL_PATH_DIR": str(self.folder / "cp"),
            "ANSIBLE_FORKS": str(FORKS),
            "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"),
        }
        key, hosts = nodes.access().key, nodes.access().known_hosts
        variables = {
            "ansible_user": "root",
            "ansible_port": nodes.port,
            "ansible_ssh_private_key_file": key,
            "ansible_ssh_common_args": f"-F none -o UserKnownHostsFile={hosts} -o GlobalKnownHostsFile=none",
            "ansible_python_interpreter": "/usr/bin/python3",
        }
        members = {name: {"ansible_host": address} for name, address in nodes.addresses.items()}
        here = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable}
        groups = {"nodes": {"hosts": members, "vars": variables}, "here": {"hosts": {"localhost": here}}}
        (self.folder / "inventory.json").write_text(json.dumps(groups))
        (self.folder / "app.conf.j2").write_text("password = {{ password }}\n")

    def run(self, hosts: str, tasks: list[dict[str, Any]], **environment: str) -> Cost:
        play = [{"hosts": hosts, "gather_facts": False, "tasks": tasks}]
        (self.folder / "play.yml").write_text(json.dumps(play))
        inventory, path = str(self.folder / "inventory.json"), str(self.folder / "play.yml")
        command = [str(Path(sys.executable).parent / "ansible-playbook"), "-i", inventory, path]
        return measured(command, {**self.environment, **environment}, self.folder / "log")

    def empty(self) -> Cost:
        return self.run("here", [])

    def template(self, value: str, **environment: str) -> Cost:
        task = {
            "ansible.builtin.template": {
                "src": str(self.folder / "app.conf.j2"),
                "dest": f"{self.folder}/nodes/{{{{ ansible_host }}}}/by-ansible.conf",
                "mode": "0600",
            },
            "vars": {"password": value},
        }
        return self.run("nodes", [task], **environment)

    def push(self, *looks: bool, **options: Any) -> Cost:
        """metadata_push; before it, for each of looks, a check mode that keeps its connections."""
        access = self.nodes.access()
        given = {"state_dir": str(self.nodes.state_dir), "stack": STACK, "port": access.port, "agent": access.agent}
        task = {"tripleo.cloud.metadata_push": {**given, "fan_out": FORKS, **options}}
        look = {"tripleo.cloud.metadata_push": {**given, "fan_out": FORKS, "control_persist": 600}, "check_mode": True}
        return self.run("here", [*(look for _look in looks), task])


@contextmanager
def laid_out(count: int) -> Iterator[Nodes]:
    folder = Path(tempfile.mkdtemp(prefix="push-", dir="/tmp"))
    nodes = Nodes(folder, servers=count)
    try:
        nodes.start()
        for address in nodes.addresses.values():
            wait_for(nodes, address)
        yield nodes
    finally:
        nodes.stop()
        shutil.rmtree(folder)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--nodes", type=int, default=200)
    count = parser.parse_args().nodes
    with laid_out(count) as nodes:
        plays = Plays(nodes)
        values = iter(f"value-{number}" for number in range(100))
        base = plays.empty()

        def ours(title: str, *looks: bool) -> Cost:
            changed = next(values)
            nodes.change(changed)
            cost = plays.push(*looks)
            must_have(changed, "root/etc/app.conf")
            return told(title, cost, base, count)

        def theirs(title: str, **environment: str) -> Cost:
            changed = next(values)
            cost = plays.template(changed, **environment)
            must_have(changed, "by-ansible.conf")
            return told(title, cost, base, count)

        def must_have(value: str, file: str) -> None:
            wrong = [name for name in nodes.names if value not in nodes.live(name, file)]
            if wrong:
                raise SystemExit(f"{file} of {', '.join(wrong)} has not the value {value}")

        print(f"{count} nodes, {os.cpu_count()} processors; an empty play: {base.wall:.1f} s, {base.cpu:.2f} s of CPU")
        ours("metadata_push, first time")
        changed = ours("metadata_push, one key changed")
        same = told("metadata_push, nothing changed", plays.push(), base, count)
        both = ours("metadata_push, a look that keeps connections, then one key changed", True)
        peers = [
            theirs("ansible template, one value changed"),
            theirs("ansible template, the same with pipelining", ANSIBLE_PIPELINING="1"),
        ]
        best = min(peer.cpu for peer in peers)
        kept = both.cpu - same.cpu
        print(
            f"controller CPU of a push over a new connection: {changed.cpu / best:.2f} of the cheaper template task's"
        )
        print(
            f"controller CPU of a push over a kept connection (what it adds to a look): {1000 * kept / count:.1f} ms a"
            f" node, {kept / best:.2f} of the cheaper template task's (goals: 20 ms, 0.33)"
        )
        live(nodes, plays, next(values))


def told(title: str, cost: Cost, less: Cost, count: int) -> Cost:
    own = Cost(cost.wall, max(0.0, cost.cpu - less.cpu))
    print(f"{title:68} {own.wall:7.1f} s wall {1000 * own.cpu / count:8.1f} ms of controller CPU a node", flush=True)
    return own


def live(nodes: Nodes, plays: Plays, value: str) -> None:
    """Time from the agent's start on a node to the new file, one node after the other."""
    some = nodes.names[:LIVE_NODES]
    nodes.change(value)
    plays.push(fan_out=1, only=some)
    seconds = []
    for name in some:
        arrived = float((nodes.node(name) / "arrived").read_text())
        seconds.append((nodes.node(name) / "root/etc/app.conf").stat().st_mtime - arrived)
    print(
        f"a changed key is live {1000 * statistics.median(seconds):.0f} ms after the push reached its node "
        f"(median of {len(some)}, at most {1000 * max(seconds):.0f} ms; goal 1000 ms)"
    )


if __name__ == "__main__":
    main()
