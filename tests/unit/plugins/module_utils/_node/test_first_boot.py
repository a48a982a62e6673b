# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The first boot: OpenStack's network data, a real config drive, what it makes of a root, the report."""

from __future__ import annotations

import http.server
import json
import stat
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.tripleo.cloud.plugins.module_utils._node import first_boot
from ansible_collections.tripleo.cloud.plugins.module_utils._node.errors import NodeError
from ansible_collections.tripleo.cloud.plugins.module_utils._node.network import name_servers, networkd_files

NETWORK_DATA: dict[str, Any] = {
    "links": [{"id": "nic0", "type": "phy", "ethernet_mac_address": "52:54:00:AA:BB:01", "mtu": 1400}],
    "networks": [
        {
            "id": "ctlplane",
            "type": "ipv4",
            "link": "nic0",
            "ip_address": "10.1.2.10",
            "netmask": "255.255.255.0",
            "routes": [{"network": "0.0.0.0", "netmask": "0.0.0.0", "gateway": "10.1.2.1"}],
        }
    ],
    "services": [{"type": "dns", "address": "10.1.2.1"}, {"type": "dns", "address": "10.1.2.2"}],
}
VENDOR_DATA = {
    "cloud-init": "#cloud-config\n"
    + json.dumps(
        {"ssh_deletekeys": False, "ssh_keys": {"ed25519_private": "PRIVATE\n", "ed25519_public": "ssh-ed25519 AA"}}
    )
}


def meta_data(url: str = "") -> dict[str, Any]:
    meta = {"tripleo_report_url": url, "tripleo_token": "t0k3n", "tripleo_plan": "p1", "tripleo_server": "s0"}
    keys = {"tripleo": "ssh-ed25519 BBBB tripleo"}
    return {"uuid": "u-1", "name": "s0", "hostname": "s0", "public_keys": keys, "meta": meta}


def test_static_network() -> None:
    assert networkd_files(NETWORK_DATA) == {
        "50-tripleo-525400aabb01.network": """[Match]
MACAddress=52:54:00:aa:bb:01
Type=ether

[Network]
DHCP=no
DNS=10.1.2.1
DNS=10.1.2.2

[Link]
MTUBytes=1400

[Address]
Address=10.1.2.10/24

[Route]
Destination=0.0.0.0/0
Gateway=10.1.2.1
"""
    }


def test_other_networks() -> None:
    data = {
        "links": [{"id": "a", "ethernet_mac_address": "52:54:00:00:00:01"}],
        "networks": [
            {"link": "a", "type": "ipv4_dhcp"},
            {"link": "a", "type": "ipv6", "ip_address": "fd00::10", "netmask": "64"},
        ],
    }
    texts = list(networkd_files(data).values())
    assert len(texts) == 1
    assert "DHCP=ipv4" in texts[0] and "Address=fd00::10/64" in texts[0]
    assert networkd_files({}) == {}
    assert name_servers({}) == []


BAD_NETWORKS = [
    ({"links": [{"id": "a", "type": "ib", "ethernet_mac_address": "52:54:00:00:00:01"}]}, "link type 'ib'"),
    ({"links": [{"id": "a"}]}, "no MAC address"),
    ({"links": [{"id": "a", "ethernet_mac_address": "52:54:00:00:00:01\nX="}]}, "no MAC address"),
    ({"networks": [{"id": "n", "link": "x", "type": "ipv4"}]}, "unknown link x"),
    ({"networks": [{"link": "a", "type": "ipv4", "ip_address": "1.2.3.4\n[X]", "netmask": "8"}]}, "is no ip_address"),
    ({"networks": [{"link": "a", "type": "ipv4", "ip_address": "1.2.3.4", "netmask": "255.0.255.0"}]}, "netmask"),
    ({"networks": [{"link": "a", "type": "vlan"}]}, "network type 'vlan'"),
]


@pytest.mark.parametrize(("data", "message"), BAD_NETWORKS)
def test_network_data_that_cannot_be_carried_out(data: dict[str, Any], message: str) -> None:
    whole = {"links": [{"id": "a", "ethernet_mac_address": "52:54:00:00:00:01"}], **data}
    with pytest.raises(NodeError, match=message):
        networkd_files(whole)


@pytest.mark.parametrize("size", [12, 16, 32])
def test_a_real_file_system_is_found_by_its_label(tmp_path: Path, size: int) -> None:
    (tmp_path / "sys").mkdir()
    (tmp_path / "dev").mkdir()
    for name, label in (("vda1", "EFI"), ("vda3", None), ("vda4", "config-2")):
        (tmp_path / "sys" / name).mkdir()
        device = tmp_path / "dev" / name
        device.write_bytes(b"")
        if label:
            with device.open("wb") as stream:
                stream.truncate({12: 1, 16: 16, 32: 64}[size] * 1024 * 1024)
            command = ["/sbin/mkfs.vfat", "-F", str(size), "-n", label, str(device)]
            subprocess.run(command, check=True, capture_output=True)
    (tmp_path / "sys" / "sr0").mkdir()  # a drive without a medium
    found = first_boot.find_config_drive(str(tmp_path / "sys"), str(tmp_path / "dev"))
    assert found == str(tmp_path / "dev" / "vda4")
    (tmp_path / "dev" / "vda4").unlink()
    assert first_boot.find_config_drive(str(tmp_path / "sys"), str(tmp_path / "dev")) is None


def drive_folder(folder: Path, url: str = "") -> Path:
    base = folder / "openstack" / "latest"
    base.mkdir(parents=True)
    (base / "meta_data.json").write_text(json.dumps(meta_data(url)))
    (base / "network_data.json").write_text(json.dumps(NETWORK_DATA))
    (base / "vendor_data.json").write_text(json.dumps(VENDOR_DATA))
    return folder


def test_a_machine_settles_once_a_deployment(tmp_path: Path) -> None:
    root = tmp_path / "root"
    (root / "etc").mkdir(parents=True)
    (root / "etc/hosts").write_text("127.0.0.1 localhost\n")
    (root / "root/.ssh").mkdir(parents=True)
    (root / "root/.ssh/authorized_keys").write_text("ssh-rsa OLD\n")
    names: list[str] = []
    drive = first_boot.read_config_drive(str(drive_folder(tmp_path / "drive")))
    assert first_boot.settle(drive, str(root), names.append)
    assert names == ["s0"]
    assert (root / "etc/hostname").read_text() == "s0\n"
    assert (root / "etc/hosts").read_text() == "127.0.0.1 localhost\n127.0.1.1 s0\n"
    assert (root / "etc/resolv.conf").read_text() == "nameserver 10.1.2.1\nnameserver 10.1.2.2\n"
    assert (root / "etc/systemd/network/50-tripleo-525400aabb01.network").exists()
    assert (root / "root/.ssh/authorized_keys").read_text() == "ssh-rsa OLD\nssh-ed25519 BBBB tripleo\n"
    private, public = root / "etc/ssh/ssh_host_ed25519_key", root / "etc/ssh/ssh_host_ed25519_key.pub"
    assert (private.read_text(), public.read_text()) == ("PRIVATE\n", "ssh-ed25519 AA\n")
    assert stat.S_IMODE(private.stat().st_mode) == 0o600
    assert stat.S_IMODE((root / "root/.ssh/authorized_keys").stat().st_mode) == 0o600
    (root / "etc/hostname").write_text("changed-by-hand\n")
    assert not first_boot.settle(drive, str(root), names.append)
    assert (root / "etc/hostname").read_text() == "changed-by-hand\n"


def test_host_keys_that_are_no_json_are_an_error() -> None:
    assert first_boot.ssh_host_keys({}) == {}
    with pytest.raises(NodeError, match="vendor_data"):
        first_boot.ssh_host_keys({"cloud-init": "#cloud-config\nssh_keys: yes"})


@pytest.mark.parametrize("text", ["[]", "{", "[" * 100000])
def test_a_broken_config_drive_names_its_file(tmp_path: Path, text: str) -> None:
    drive_folder(tmp_path)
    (tmp_path / "openstack/latest/meta_data.json").write_text(text)
    with pytest.raises(NodeError, match=r"meta_data\.json"):
        first_boot.read_config_drive(str(tmp_path))


class Taker(http.server.ThreadingHTTPServer):
    """Takes PUTs, after refusing the first `refusals` of them."""

    refusals = 0

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.taken: list[tuple[str, dict[str, Any]]] = []


class Handler(http.server.BaseHTTPRequestHandler):
    def do_PUT(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        assert isinstance(self.server, Taker)
        if self.server.refusals:
            self.server.refusals -= 1
            self.send_response(503)
        else:
            self.server.taken.append((self.path, body))
            self.send_response(201)
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture
def taker() -> Iterator[Taker]:
    server = Taker()
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def test_booted_is_reported_once_a_deployment(tmp_path: Path, taker: Taker) -> None:
    taker.refusals = 2
    url = f"http://127.0.0.1:{taker.server_port}/abc/report/"
    drive = first_boot.read_config_drive(str(drive_folder(tmp_path / "drive", url)))
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/tripleo-build-id").write_text("b1\n")
    assert first_boot.report_booted(drive, str(tmp_path))
    boot_id = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    body = {"token": "t0k3n", "plan": "p1", "server": "s0", "boot_id": boot_id, "number": 1, "stage": "booted"}
    assert taker.taken == [(f"/abc/report/{boot_id}-1.json", {**body, "build_id": "b1"})]
    assert not first_boot.report_booted(drive, str(tmp_path))
    assert len(taker.taken) == 1


def test_a_deployment_cloud_that_is_gone_is_given_up(tmp_path: Path) -> None:
    drive = first_boot.read_config_drive(str(drive_folder(tmp_path / "drive", "http://127.0.0.1:1/x/")))
    assert not first_boot.report_booted(drive, str(tmp_path), patience=0.3)
    assert not (tmp_path / "var/lib/node-agent/reported").exists()


def test_only_http_is_spoken() -> None:
    with pytest.raises(NodeError, match="not an http URL"):
        first_boot.put("https://127.0.0.1/x", b"")
