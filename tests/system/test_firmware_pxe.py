# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A firmware without iPXE in its network card: OVMF's own PXE loads iPXE by TFTP, iPXE the node's script by HTTP."""

from __future__ import annotations

import http.server
import os
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import jinja2
import pytest
from ansible_collections.tripleo.cloud.plugins.module_utils._boot.dnsmasq import BootEntry, hosts_line, tag
from ansible_collections.tripleo.cloud.plugins.module_utils._run.serve import show_programs

from tripleo_cloud.rack import Rack
from tripleo_cloud.rack.network import inside, tap
from tripleo_cloud.rack.qemu import ACCELERATOR_ARGUMENTS, BINARY

pytestmark = [pytest.mark.rack, pytest.mark.slow]
ROOT = Path(__file__).resolve().parents[2]
TEMPLATE = ROOT / "roles" / "deployment_cloud" / "templates" / "dnsmasq.conf.j2"
MARK = "SCRIPT-OF-THIS-NODE"
MAC = "52:54:00:00:0f:01"
_PORT = 8093
_SECONDS = 240


@pytest.fixture
def rack(tmp_path: Path) -> Iterator[Rack]:
    """Lends its network; its own machine stays off."""
    machine = f"{{name: f1, memory: 128, disks: [{{size: 1}}], macs: ['{MAC}']}}"
    (tmp_path / "rack.yml").write_text(f"machines: [{machine}]\n")
    with Rack(tmp_path / "rack.yml", tmp_path / "state") as rack:
        yield rack


@pytest.fixture
def boot_services(rack: Rack, tmp_path: Path) -> Iterator[None]:
    """dnsmasq with the role's own configuration, and a script for the one node."""
    net = rack.network
    run = tmp_path / "services" / "run"
    run.mkdir(parents=True)
    environment = jinja2.Environment(undefined=jinja2.StrictUndefined, trim_blocks=True)
    environment.filters["bool"] = bool
    configuration = environment.from_string(TEMPLATE.read_text()).render(
        ansible_managed="made by a test",
        deployment_cloud_state_dir=os.fspath(run.parent),
        deployment_cloud_provisioning_interface=net.interface,
        deployment_cloud_provisioning_cidr=net.cidr,
        deployment_cloud_router_advertisements=True,
    )
    entry = BootEntry("s1", "f1", MAC, str(net.subnet[10]), "a" * 64, "b" * 64, "c" * 32)
    url = f"http://{net.host_address}:{_PORT}/boot.ipxe"
    show_programs(os.fspath(run.parent), {entry.address})
    (run / "dnsmasq.hosts").write_text(hosts_line(entry) + "\n")
    (run / "dnsmasq.opts").write_text(f"tag:{tag('f1')},tag:ipxe,option:bootfile-name,{url}\n")
    (run / "dnsmasq.conf").write_text(configuration)
    with (run / "dnsmasq.log").open("w") as log:
        dnsmasq = subprocess.Popen(["dnsmasq", "-k", "-C", run / "dnsmasq.conf"], stdout=log, stderr=log)

    class Script(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = f"#!ipxe\necho {MARK} ${{platform}}\nshell\n".encode()
            self.send_response(200 if self.path == "/boot.ipxe" else 404)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Nothing."""

    server = http.server.ThreadingHTTPServer((net.host_address, _PORT), Script)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield
    server.shutdown()
    server.server_close()
    dnsmasq.terminate()
    dnsmasq.wait()


@pytest.mark.usefixtures("boot_services")
def test_ovmf_boots_by_its_own_pxe(rack: Rack, tmp_path: Path) -> None:
    shutil.copy("/usr/share/OVMF/OVMF_VARS_4M.fd", tmp_path / "vars.fd")
    argv = [BINARY, *ACCELERATOR_ARGUMENTS["tcg"], "-machine", "q35,graphics=off", "-m", "512"]
    argv += [
        "-nodefaults",
        "-display",
        "none",
        "-no-reboot",
        "-serial",
        "file:console.log",
        "-device",
        "virtio-rng-pci",
    ]
    argv += ["-drive", "if=pflash,format=raw,readonly=on,file=/usr/share/OVMF/OVMF_CODE_4M.fd"]
    argv += ["-drive", "if=pflash,format=raw,file=vars.fd"]
    argv += ["-netdev", f"tap,id=net0,ifname={tap(0, 0)},script=no,downscript=no"]
    # Without an option ROM the card has no iPXE: what boots is the firmware's own PXE.
    argv += ["-device", f"virtio-net-pci,netdev=net0,mac={MAC},romfile=,bootindex=1"]
    machine = subprocess.Popen(inside(rack.network.namespace, *argv), cwd=tmp_path)
    console = tmp_path / "console.log"
    try:
        deadline = time.monotonic() + _SECONDS
        while not console.exists() or f"{MARK} efi" not in console.read_text(errors="replace"):
            assert machine.poll() is None
            assert time.monotonic() < deadline, console.read_text(errors="replace")[-2000:]
            time.sleep(0.2)
    finally:
        machine.kill()
        machine.wait()
    assert "tftp" in (tmp_path / "services" / "run" / "dnsmasq.log").read_text()
