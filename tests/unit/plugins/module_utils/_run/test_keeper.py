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
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jinja2
import pytest
from ansible_collections.tripleo.cloud.plugins.module_utils._errors import TripleoError
from ansible_collections.tripleo.cloud.plugins.module_utils._run import launch, lease, probe
from ansible_collections.tripleo.cloud.plugins.module_utils._run.keeper import alive, read_status
from ansible_collections.tripleo.cloud.plugins.module_utils._state.store import State
from wire import Wire

TEMPLATES = Path(__file__).parents[5].joinpath("roles/deployment_cloud/templates")
PLAN, PATH, TOKEN, BUILD = "a" * 64, "b" * 64, "c" * 64, "d" * 32
MAC = "52:54:00:aa:bb:01"

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
        self.url = f"http://{self.address}:8088/{PATH}"
        self.node, self.stranger = wire.address(10), wire.address(77)
        self.place = f"{self.node}/{PATH}"
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
        for name in ("etc", "run", f"serve/{self.place}"):
            (state / name).mkdir(parents=True)
        state.chmod(0o700)
        for name in ("dnsmasq.conf", "nginx.conf"):
            text = environment.get_template(f"{name}.j2").render(variables, ansible_managed="by a test")
            (state / "etc" / name).write_text(text)
        for name in ("boot.ipxe", "disk.zst", "deploy.json"):
            (state / "serve" / self.place / name).write_text(name)
            (state / "serve" / self.place / name).chmod(0o644)
        server = {"name": "s0", "node": "n0", "action": "create", "networks": {"ctlplane": [self.node]}}
        with State.open(self.dir) as store:
            store.register({"n0": {}})
            store.store_plan({"stack": "cloud", "serial": 1, "hash": PLAN, "servers": {"Server": server}}, 0, [])
        entry = {
            "node": "n0",
            "mac": MAC,
            "address": self.node,
            "path": PATH,
            "token_sha256": hashlib.sha256(TOKEN.encode()).hexdigest(),
            "build_id": BUILD,
            "switched": False,
        }
        (state / "run" / "cloud.boot.json").write_text(json.dumps({"plan": PLAN, "servers": {"s0": entry}}))

    def start(self, run_id: str = "r1") -> None:
        lease.acquire(self.dir, "cloud", PLAN, "a test", run_id, True)
        launch.start(self.dir)

    def request(self, method: str, path: str, body: bytes = b"", *, by: str = "", part: str = "") -> int:
        """Status of a request. by: the address that asks, the node's by default. part: bytes of the file."""
        curl = ["curl", "-s", "--path-as-is", "-m", "10", "-o", "/dev/null", "-w", "%{http_code}", "-X", method]
        curl += ["--interface", by or self.node, *(["-r", part] if part else [])]
        curl += ["--data-binary", "@-", "-H", "Expect:"] if body else []
        return int(self.wire.inside(*curl, f"{self.url}{path}", body=body))

    def report(self, number: int, stage: str, **fields: Any) -> int:
        body = {"token": TOKEN, "plan": PLAN, "server": "s0", "boot_id": "boot", "number": number, "stage": stage}
        return self.request("PUT", f"/report/boot-{number}.json", json.dumps({**body, **fields}).encode())

    def stage(self) -> str:
        with State.open(self.dir, read_only=True) as store:
            return store.servers("cloud")["s0"].stage

    def pids(self, program: str) -> list[int]:
        found = []
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            with contextlib.suppress(OSError):
                words = path.read_bytes()
                if words.startswith(f"{program}\0".encode()) and self.dir.encode() in words:
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
    site = Site(tmp_path / "state", wire)
    yield site
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
    assert (answer["ip"], answer["bootfile"]) == (site.node, f"{site.url}/boot.ipxe")
    assert dhcp(site, "52:54:00:aa:bb:02") == {}
    run_file = site.path / "run" / "cloud.boot.json"
    document = json.loads(run_file.read_text())
    document["servers"]["s1"] = document["servers"]["s0"] | {
        "node": "n1",
        "mac": "52:54:00:aa:bb:02",
        "address": site.wire.address(11),
    }
    run_file.write_text(json.dumps(document))
    until(lambda: "aa:bb:02" in (site.path / "run" / "dnsmasq.hosts").read_text())
    until(lambda: read_status(site.dir)["dnsmasq"]["ready"])
    assert dhcp(site, "52:54:00:aa:bb:02")["ip"] == site.wire.address(11)
    assert dhcp(site, MAC)["ip"] == site.node
    assert "ended with" not in (site.path / "run" / "keeper.log").read_text()


def test_our_own_dnsmasq_does_not_hear_the_look_for_others(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    site.start()
    monkeypatch.setattr(probe, "_PAUSE_SECONDS", 0.2)
    probe.alone(site.wire.interface, "192.0.2.1", {MAC: "n0"}, 0.5)
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
    assert "boot-1.json" not in (site.path / "run" / "keeper.log").read_text()
    assert site.request("GET", "/boot.ipxe", part="0-3") == 206
    assert site.request("PUT", "/report/boot-1.json", b"{}") == 201
    until(lambda: "n0: the report boot-1.json is not used" in (site.path / "run" / "keeper.log").read_text())
    assert not (site.path / "serve" / PATH).exists(), "what an earlier version laid out"


def test_a_crashed_service_comes_back_and_all_end_with_the_lease(site: Site) -> None:
    site.start()
    log = site.path / "run" / "keeper.log"
    for pid in site.pids("dnsmasq"):
        os.kill(pid, signal.SIGKILL)
    until(lambda: "dnsmasq ended with -9" in log.read_text())
    until(lambda: read_status(site.dir)["dnsmasq"]["ready"])
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
    site.start("r2")
    assert (site.path / "keeper.pid").read_text() != first
    assert alive(site.dir) and site.request("GET", "/boot.ipxe") == 200


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
