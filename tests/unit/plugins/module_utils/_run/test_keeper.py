# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The real keeper with the real dnsmasq and nginx, configured by the role's templates, on a network of its own."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import jinja2
import pytest
from ansible_collections.tripleo.cloud.plugins.module_utils._deploy.server import Server
from ansible_collections.tripleo.cloud.plugins.module_utils._errors import TripleoError
from ansible_collections.tripleo.cloud.plugins.module_utils._run import config, launch, lease, probe
from ansible_collections.tripleo.cloud.plugins.module_utils._run.keeper import alive, read_status
from ansible_collections.tripleo.cloud.plugins.module_utils._state.store import State
from wire import Wire

TEMPLATES = Path(__file__).parents[5].joinpath("roles/deployment_cloud/templates")
PLAN, PATH, TOKEN, BUILD = "a" * 64, "b" * 64, "c" * 64, "d" * 32
MAC = "52:54:00:aa:bb:01"
STACKS, MACS, PATHS = ("cloud", "staging"), (MAC, "52:54:00:aa:bb:02"), (PATH, "e" * 64)

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0 or not shutil.which("nginx") or not shutil.which("dnsmasq"),
    reason="needs root, dnsmasq and nginx (the role deployment_cloud installs them)",
)


def until(condition: Callable[[], Any], seconds: float = 20.0) -> Any:
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < deadline, "it did not come true"
        time.sleep(0.1)
    return value


class Site:
    def __init__(self, state: Path, wire: Wire) -> None:
        self.dir, self.path, self.wire, self.address = os.fspath(state), state, wire, wire.address(1)
        self.nodes, self.stranger = (wire.address(10), wire.address(11)), wire.address(77)
        self.node, self.place = self.nodes[0], f"{self.nodes[0]}/{PATH}"
        variables = {
            "deployment_cloud_state_dir": self.dir,
            "deployment_cloud_provisioning_interface": wire.interface,
            "deployment_cloud_provisioning_address": self.address,
            "deployment_cloud_provisioning_cidr": f"{wire.address(0)}/24",
            "deployment_cloud_http_port": 8088,
            "deployment_cloud_router_advertisements": True,
        }
        environment = jinja2.Environment(undefined=jinja2.StrictUndefined, loader=jinja2.FileSystemLoader(TEMPLATES))
        environment.filters["bool"] = bool
        for name in ("etc", "run"):
            (state / name).mkdir(parents=True)
        state.chmod(0o700)
        for name in ("dnsmasq.conf", "nginx.conf"):
            text = environment.get_template(f"{name}.j2").render(variables, ansible_managed="by a test")
            (state / "etc" / name).write_text(text)
        self.lay_out(0)

    def lay_out(self, number: int) -> None:
        """A stack of one server, with its node's files and run file."""
        stack, server, node, address = STACKS[number], f"s{number}", f"n{number}", self.nodes[number]
        folder = self.path / "serve" / address / PATHS[number]
        folder.mkdir(parents=True)
        for name in ("boot.ipxe", "disk.zst", "deploy.json"):
            (folder / name).write_text(f"{name} of {node}")
            (folder / name).chmod(0o644)
        entry = {"name": server, "node": node, "action": "create", "networks": {"ctlplane": [address]}}
        with State.open(self.dir) as store:
            store.register({node: {}})
            store.store_plan({"stack": stack, "serial": 1, "hash": PLAN, "servers": {"Server": entry}}, 0, [])
        entry = {
            "node": node,
            "mac": MACS[number],
            "address": address,
            "path": PATHS[number],
            "token_sha256": hashlib.sha256(TOKEN.encode()).hexdigest(),
            "build_id": BUILD,
            "switched": False,
        }
        self.run_file(number).write_text(json.dumps({"plan": PLAN, "servers": {server: entry}}))

    def run_file(self, number: int) -> Path:
        return self.path / "run" / f"{STACKS[number]}.boot.json"

    def url(self, number: int = 0) -> str:
        return f"http://{self.address}:8088/{PATHS[number]}"

    def log(self) -> str:
        return (self.path / "run" / "keeper.log").read_text()

    def start(self, number: int = 0, run_id: str = "r1") -> None:
        lease.acquire(self.dir, STACKS[number], PLAN, "a test", run_id, True)
        launch.start(self.dir)

    def get(self, url: str, by: str) -> bytes:
        """What an address is answered, nothing when it is refused."""
        return self.wire.inside("curl", "-s", "-f", "-m", "3", "--interface", by, url, check=False)

    def request(self, method: str, path: str, body: bytes = b"", *, by: str = "", part: str = "", node: int = 0) -> int:
        """Status of a request. by: the address that asks, the node's by default. part: bytes of the file."""
        curl = ["curl", "-s", "--path-as-is", "-m", "10", "-o", "/dev/null", "-w", "%{http_code}", "-X", method]
        curl += ["--interface", by or self.nodes[node], *(["-r", part] if part else [])]
        curl += ["--data-binary", "@-", "-H", "Expect:"] if body else []
        return int(self.wire.inside(*curl, f"{self.url(node)}{path}", body=body))

    def report(self, number: int, stage: str, node: int = 0, **fields: Any) -> int:
        body = {"token": TOKEN, "plan": PLAN, "server": f"s{node}", "boot_id": "boot", "number": number, "stage": stage}
        return self.request("PUT", f"/report/boot-{number}.json", json.dumps({**body, **fields}).encode(), node=node)

    def stage(self, node: int = 0) -> str:
        with State.open(self.dir, read_only=True) as store:
            return store.servers(STACKS[node])[f"s{node}"].stage

    def pids(self, start: str) -> list[int]:
        """Processes of this site whose command line begins so."""
        found = []
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            with contextlib.suppress(OSError):
                words = path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
                if words.startswith(start) and self.dir in words:
                    found.append(int(path.parent.name))
        return found

    def processes(self) -> list[str]:
        found = []
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                words = path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
            except OSError:
                continue
            if self.dir in words:
                found.append(words)
        return found


@pytest.fixture
def site(tmp_path: Path, wire: Wire) -> Iterator[Site]:
    with at(tmp_path / "state", wire) as site:
        yield site


@contextlib.contextmanager
def at(state: Path, wire: Wire) -> Iterator[Site]:
    """A site whose keeper ends with the body."""
    site = Site(state, wire)
    try:
        yield site
    finally:
        for held in lease.leases(site.dir):
            lease.release(site.dir, held.stack, held.run_id)
        until(lambda: not site.processes())


def dhcp(site: Site, mac: str) -> dict[str, str]:
    """What an iPXE client with this MAC address gets; empty when nobody answers."""
    site.wire.ip("link", "set", site.wire.peer, "down")
    site.wire.ip("link", "set", site.wire.peer, "address", mac)
    site.wire.ip("link", "set", site.wire.peer, "up")
    script = site.path / "script"
    script.write_text('#!/bin/sh\n[ "$1" = bound ] && env\nexit 0\n')
    script.chmod(0o755)
    client = [
        "busybox",
        "udhcpc",
        "-f",
        "-n",
        "-q",
        "-t",
        "3",
        "-T",
        "1",
        "-i",
        site.wire.peer,
        "-s",
        os.fspath(script),
    ]
    done = site.wire.inside(*client, "-O", "bootfile", "-x", f"77:{b'iPXE'.hex()}", check=False).decode()
    return dict(line.split("=", 1) for line in done.splitlines() if "=" in line)


def test_dhcp_answers_nodes_of_the_plan_only(site: Site) -> None:
    site.start()
    answer = dhcp(site, MAC)
    assert (answer["ip"], answer["bootfile"]) == (site.node, f"{site.url()}/boot.ipxe")
    assert dhcp(site, MACS[1]) == {}
    document = json.loads(site.run_file(0).read_text())
    document["servers"]["s1"] = document["servers"]["s0"] | {"node": "n1", "mac": MACS[1], "address": site.nodes[1]}
    site.run_file(0).write_text(json.dumps(document))
    until(lambda: "aa:bb:02" in (site.path / "run" / "dnsmasq.hosts").read_text())
    until(lambda: read_status(site.dir)["dnsmasq"]["ready"])
    assert dhcp(site, MACS[1])["ip"] == site.nodes[1]
    assert dhcp(site, MAC)["ip"] == site.node
    assert "ended with" not in site.log()


def test_our_own_dnsmasq_does_not_hear_the_look_for_others(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    site.start()
    monkeypatch.setattr(probe, "_PAUSE_SECONDS", 0.2)
    ours = config.dnsmasq_conf(site.dir)
    probe.alone(site.wire.interface, "192.0.2.1", {MAC: "n0"}, 0.5, ours)
    assert dhcp(site, MAC)["ip"] == site.node, "it would have answered"
    assert (site.path / "run" / "dnsmasq.log").read_text().count("DHCPDISCOVER") == 1


def test_http_from_the_first_file_to_booted(site: Site) -> None:
    site.start()
    assert site.request("GET", "/boot.ipxe") == 200
    until(lambda: site.stage() == "pxe")
    assert site.request("GET", "/disk.zst", part="0-3") == 206
    assert [site.request("GET", path) for path in ("/", "", "/../", "/report/", "/report/boot-1.json")] == [
        404, 404, 404, 404, 403
    ]  # fmt: skip
    assert [site.request("PUT", "/boot.ipxe", b"x"), site.request("DELETE", "/boot.ipxe")] == [403, 403]
    assert site.request("PUT", "/report/boot-9.json", b"x" * (1 << 20) + b"x") == 413
    assert site.report(1, "ramdisk", disks=[]) == 201
    until(lambda: site.stage() == "ramdisk")
    assert site.request("GET", "/go") == 404
    site.report(2, "written", ssh_host_key="ssh-ed25519 " + "A" * 68)
    until(lambda: site.request("GET", "/go") == 200)
    assert [site.request("GET", path) for path in ("/deploy.json", "/disk.zst", "/boot.ipxe")] == [404, 404, 200]
    site.report(3, "failed", cause="gone wrong")
    until(lambda: site.stage() == "failed")


def test_a_node_s_files_are_served_to_its_own_address_only(site: Site) -> None:
    (site.path / "serve" / PATH).mkdir()
    site.start()
    for part in ("", "0-3"):
        assert site.request("GET", "/boot.ipxe", by=site.stranger, part=part) == 404
    assert site.request("PUT", "/report/boot-1.json", b"{}", by=site.stranger) == 404
    assert not (site.path / "reports" / site.stranger).exists()
    assert "boot-1.json" not in site.log()
    assert site.request("GET", "/boot.ipxe", part="0-3") == 206
    assert site.request("PUT", "/report/boot-1.json", b"{}") == 201
    until(lambda: "n0: the report boot-1.json is not used" in site.log())
    assert not (site.path / "serve" / PATH).exists(), "what an earlier version laid out"


@pytest.mark.skipif(not Path("/usr/lib/ipxe").exists(), reason="needs the package ipxe")
def test_a_stranger_gets_nothing_and_two_stacks_their_own(site: Site) -> None:
    site.lay_out(1)
    site.start(0)
    site.start(1)
    until(lambda: len((site.path / "run" / "dnsmasq.hosts").read_text().splitlines()) == 2)
    until(lambda: read_status(site.dir)["dnsmasq"]["ready"])
    programs = [f"tftp://{site.address}/{name}" for name in ("undionly.kpxe", "snponly.efi")]
    for number, node in enumerate(site.nodes):
        assert site.get(f"{site.url(number)}/boot.ipxe", node) == f"boot.ipxe of n{number}".encode()
        assert all(len(site.get(program, node)) > 50000 for program in programs)
        assert dhcp(site, MACS[number])["bootfile"] == f"{site.url(number)}/boot.ipxe"
        for address in {*site.nodes, site.stranger} - {node}:
            assert site.request("GET", "/boot.ipxe", by=address, node=number) == 404
    for url in ("", "/", f"/{site.node}/", f"/{site.place}/boot.ipxe", "/tftp/"):
        assert site.get(f"http://{site.address}:8088{url}", site.stranger) == b""
    names = ("undionly.kpxe", "/usr/lib/ipxe/undionly.kpxe", "../dnsmasq.hosts", "", "10.0.0.1/undionly.kpxe")
    assert [site.get(f"tftp://{site.address}/{name}", site.stranger) for name in names] == [b""] * len(names)
    assert dhcp(site, "52:54:00:aa:bb:77") == {}

    # The plan of the one is complete; the other's goes on.
    assert site.report(1, "booted", build_id=BUILD) == 201
    until(lambda: not site.run_file(0).exists())
    until(lambda: len((site.path / "run" / "dnsmasq.hosts").read_text().splitlines()) == 1)
    until(lambda: read_status(site.dir)["dnsmasq"]["ready"])
    assert dhcp(site, MAC) == {}
    assert site.request("GET", "/boot.ipxe") == 404
    assert site.report(2, "failed", cause="late") == 404
    assert [site.get(program, site.node) for program in programs] == [b"", b""]
    assert site.get(programs[0], site.nodes[1]) != b""
    assert site.request("GET", "/boot.ipxe", node=1) == 200


def test_a_node_in_mid_download_outlives_nginx(site: Site) -> None:
    content = os.urandom(48 << 20)
    (site.path / "serve" / site.place / "disk.zst").write_bytes(content)
    site.start()
    program = (
        "import hashlib, sys\n"
        f"from {Server.__module__} import Server\n"
        "server, digest = Server(sys.argv[1], 60), hashlib.sha256()\n"
        "for number in range(48):\n"
        "    digest.update(server.get('disk.zst', number << 20, 1 << 20))\n"
        "    print(number, flush=True)\n"
        "print(digest.hexdigest())"
    )
    command = ["ip", "netns", "exec", site.wire.namespace, sys.executable, "-c", program, f"{site.url()}/"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as node:
        assert node.stdout
        for line in node.stdout:
            if line == "8\n":
                (pid,) = site.pids("nginx: master ")
                os.kill(pid, signal.SIGKILL)
                killed = time.monotonic()
            last = line.strip()
    assert last == hashlib.sha256(content).hexdigest()
    assert time.monotonic() - killed < 15
    assert "nginx ended with -9" in site.log()
    assert len(site.pids("nginx: master ")) == 1


@pytest.mark.parametrize("damage", ["{", "[]", '{"plan": 1}', "[" * 100000, "null"])
def test_a_damaged_run_file_stops_nobody(site: Site, damage: str) -> None:
    site.lay_out(1)
    site.start(0)
    site.start(1)
    until(lambda: len((site.path / "run" / "dnsmasq.hosts").read_text().splitlines()) == 2)
    site.run_file(1).write_text(damage)
    (folder,) = (site.path / "reports" / site.nodes[1]).iterdir()
    folder.rmdir()
    folder.write_text("no folder")
    assert site.report(1, "ramdisk", disks=[]) == 201
    until(lambda: site.stage() == "ramdisk")
    until(lambda: "Not a directory" in site.log())
    time.sleep(1.5)
    lines = [line.split(" ", 1)[1] for line in site.log().splitlines() if "begins" not in line]
    assert sorted(set(lines)) == sorted(lines), "each once"
    assert len((site.path / "run" / "dnsmasq.hosts").read_text().splitlines()) == 2, "it is served as before"
    assert site.request("GET", "/boot.ipxe", node=1) == 200
    folder.unlink()
    site.run_file(1).unlink()
    until(lambda: len((site.path / "run" / "dnsmasq.hosts").read_text().splitlines()) == 1)


def test_a_full_disk_stops_nothing(tmp_path: Path, wire: Wire) -> None:
    state = tmp_path / "state"
    state.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=6m", "tmpfs", state], check=True)
    try:
        with at(state, wire) as site:
            site.start()
            site.report(1, "ramdisk", disks=[])
            until(lambda: site.stage() == "ramdisk")
            (keeper,) = site.pids(f"{sys.executable} -m")
            os.kill(keeper, signal.SIGSTOP)
            assert site.report(2, "written", ssh_host_key="ssh-ed25519 " + "A" * 68) == 201
            with pytest.raises(OSError, match="No space left"), (state / "fill").open("wb", buffering=0) as fill:
                while True:
                    fill.write(bytes(4096))
            os.kill(keeper, signal.SIGCONT)
            time.sleep(2)
            assert site.request("GET", "/go") == 404, "it could not be taken in"
            assert site.request("GET", "/boot.ipxe") == 200
            (state / "fill").unlink()
            until(lambda: site.stage() == "written")
            until(lambda: site.request("GET", "/go") == 200)
            assert site.pids(f"{sys.executable} -m") == [keeper]
    finally:
        subprocess.run(["umount", state], check=True)


def test_a_crashed_service_comes_back_and_all_end_with_the_lease(site: Site) -> None:
    site.start()
    (pid,) = site.pids("dnsmasq ")
    os.kill(pid, signal.SIGKILL)
    until(lambda: "dnsmasq ended with -9" in site.log())
    until(lambda: read_status(site.dir)["dnsmasq"]["ready"])
    assert dhcp(site, MAC)["ip"] == site.node
    lease.acquire(site.dir, "staging", PLAN, "a test", "r2", True)
    lease.release(site.dir, "cloud", "r1")
    assert launch.wait_end(site.dir) is False
    lease.release(site.dir, "staging", "r2")
    assert launch.wait_end(site.dir) is True
    until(lambda: not site.processes())


def test_a_killed_keeper_leaves_nothing(site: Site) -> None:
    site.start()
    os.kill(int((site.path / "keeper.pid").read_text()), signal.SIGKILL)
    until(lambda: not site.processes() and not alive(site.dir))
    launch.start(site.dir)
    assert site.request("GET", "/boot.ipxe") == 200


def test_a_run_that_begins_while_the_keeper_ends_gets_another_keeper(site: Site) -> None:
    site.start()
    first = (site.path / "keeper.pid").read_text()
    # Between its last look at the leases and its end the keeper is alive, and its services still answer.
    (dnsmasq,) = site.pids("dnsmasq")
    os.kill(dnsmasq, signal.SIGSTOP)
    lease.release(site.dir, "cloud", "r1")
    time.sleep(1.5)
    assert alive(site.dir)
    site.start(run_id="r2")
    assert (site.path / "keeper.pid").read_text() != first
    assert alive(site.dir) and site.request("GET", "/boot.ipxe") == 200


def test_runs_that_begin_at_once_start_one_keeper(site: Site) -> None:
    lease.acquire(site.dir, STACKS[0], PLAN, "a test", "r1", True)
    with ThreadPoolExecutor() as pool:
        list(pool.map(launch.start, [site.dir] * 4))
    assert (site.path / "run/keeper.log").read_text().count("the keeper begins") == 1
    launched = int((site.path / "keeper.pid").read_text())
    assert site.dir in Path(f"/proc/{launched}/cmdline").read_text()
    assert read_status(site.dir)["nginx"]["ready"] is True


def test_a_damaged_lease_is_logged_and_the_keeper_goes_on(site: Site) -> None:
    site.start()
    (site.path / "run" / "broken.lease").write_text("")
    until(lambda: "broken.lease is not a lease" in (site.path / "run" / "keeper.log").read_text())
    time.sleep(1.5)
    assert site.request("GET", "/boot.ipxe") == 200
    assert (site.path / "run" / "keeper.log").read_text().count("broken.lease") == 1


def test_a_port_in_use_is_named(site: Site) -> None:
    with socket.create_server((site.address, 8088)), pytest.raises(TripleoError) as error:
        site.start()
    assert f"{site.address}:8088" in str(error.value)
    assert "Address already in use" in str(error.value)


def test_without_prepare(site: Site) -> None:
    (site.path / "etc" / "nginx.conf").unlink()
    with pytest.raises(TripleoError, match=r"tripleo\.cloud\.prepare"):
        site.start()
