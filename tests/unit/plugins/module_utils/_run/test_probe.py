# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The look for other DHCP servers, with real ones at the other end of a wire."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from ansible_collections.tripleo.cloud.plugins.module_utils._errors import TripleoError
from ansible_collections.tripleo.cloud.plugins.module_utils._run import probe
from wire import Wire

NODES = {"52:54:00:aa:bb:01": "n1", "52:54:00:aa:bb:02": "n2"}
OURS = "/etc/dnsmasq of our own"
Serve = Callable[..., Path]

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0 or not shutil.which("dnsmasq"), reason="needs root and dnsmasq (the role deployment_cloud has it)"
)


@pytest.fixture
def serve(wire: Wire, tmp_path: Path) -> Iterator[Serve]:
    """Starts a DHCP server at the other end, or here; it has address 10 there and 1 here. Returns its log."""
    log, started = tmp_path / "log", list[subprocess.Popen[bytes]]()

    def start(*words: str, here: bool = False) -> Path:
        place = [] if here else ["ip", "netns", "exec", wire.namespace]
        interface = wire.interface if here else wire.peer
        fixed = ["dnsmasq", "-k", "-C", "/dev/null", "--port=0", f"--interface={interface}", "--bind-interfaces"]
        fixed += ["--user=root", "--pid-file=", "--log-dhcp", "--log-facility=-", f"--dhcp-leasefile={tmp_path / 'l'}"]
        with log.open("wb") as stream:
            started.append(subprocess.Popen([*place, *fixed, *words], stderr=stream))
        while b"DHCP" not in log.read_bytes():
            time.sleep(0.05)
        return log

    yield start
    for process in started:
        process.kill()
        process.wait()


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe, "_PAUSE_SECONDS", 0.2)


def found(wire: Wire, nodes: dict[str, str], seconds: float = 0.3) -> tuple[str, list[dict[str, str]]]:
    """What is said of the others."""
    with pytest.raises(probe.OtherDhcpServers) as caught:
        probe.alone(wire.interface, wire.address(1), nodes, seconds, OURS)
    return str(caught.value), caught.value.servers


def ethernet(wire: Wire) -> str:
    return wire.inside("cat", f"/sys/class/net/{wire.peer}/address").decode().strip()


def pool(wire: Wire) -> str:
    return f"--dhcp-range={wire.address(50)},{wire.address(90)},1h"


def test_a_second_server_is_named_within_seconds(wire: Wire, serve: Serve) -> None:
    # By default dnsmasq pings an address for three seconds before it offers it.
    log = serve(pool(wire))
    before = time.monotonic()
    message, servers = found(wire, NODES, 3)
    assert time.monotonic() - before < 6
    (server,) = servers
    assert server["server"] == server["source"] == wire.address(10)
    assert (server["ethernet"], server["node"]) == (ethernet(wire), "")
    assert server["offered"].startswith(wire.address(0)[:-1])
    for words in (wire.interface, wire.address(10), ethernet(wire), server["offered"], "a machine that nobody knows"):
        assert words in message
    assert "Next: take it off the provisioning network" in message
    assert "DHCPREQUEST" not in log.read_text()


@pytest.mark.usefixtures("quick")
def test_a_server_that_answers_known_machines_only(wire: Wire, serve: Serve) -> None:
    log = serve(
        "--no-ping", pool(wire), "--dhcp-ignore=tag:!known", f"--dhcp-host=52:54:00:aa:bb:02,{wire.address(60)}"
    )
    probe.alone(wire.interface, wire.address(1), {"52:54:00:aa:bb:01": "n1"}, 0.3, OURS)
    message, servers = found(wire, NODES)
    assert all(mac in log.read_text() for mac in NODES)
    assert [(server["node"], server["offered"]) for server in servers] == [("n2", wire.address(60))]
    assert f"an offer of {wire.address(60)} to node n2" in message


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("architecture", ["x86PC", "X86-64_EFI"])
def test_a_server_of_boot_files_only(wire: Wire, serve: Serve, architecture: str) -> None:
    serve(f"--dhcp-range={wire.address(0)},proxy", f"--pxe-service={architecture},boot,program")
    message, servers = found(wire, {})
    assert [(server["server"], server["offered"]) for server in servers] == [(wire.address(10), "")]
    assert "boot information without an address" in message


def test_a_server_on_this_host_is_named_but_ours(wire: Wire, serve: Serve) -> None:
    serve("--no-ping", pool(wire), here=True)
    message, _servers = found(wire, NODES)
    assert re.search(rf"listens on {wire.interface} of this host: dnsmasq \(process [0-9]+\)\. Next: keep it", message)
    probe.alone(wire.interface, wire.address(1), NODES, 0.3, "/dev/../dev/null")


@pytest.mark.usefixtures("quick")
def test_one_that_answers_under_our_own_name_is_ours(wire: Wire, serve: Serve) -> None:
    serve("--no-ping", pool(wire))
    probe.alone(wire.interface, wire.address(10), NODES, 0.3, OURS)


@pytest.mark.usefixtures("quick")
def test_a_quiet_network(wire: Wire) -> None:
    """While it listens, answers to other hardware addresses get in too: not every server honours the broadcast flag."""

    def promiscuous() -> bool:
        shown = subprocess.run(["ip", "-d", "link", "show", wire.interface], capture_output=True, check=True)
        return b"promiscuity 1" in shown.stdout

    with ThreadPoolExecutor() as pool:
        looking = pool.submit(probe.alone, wire.interface, wire.address(1), NODES, 1, OURS)
        while not promiscuous():
            assert not looking.done()
        looking.result()
    assert not promiscuous()


@pytest.mark.parametrize("words", [["link", "delete"], ["link", "set", "down", "dev"]])
def test_an_interface_that_cannot_be_used(wire: Wire, words: list[str]) -> None:
    subprocess.run(["ip", *words, wire.interface], check=True)
    with pytest.raises(TripleoError, match=rf"DHCP servers: {wire.interface}: .*tripleo_provisioning_interface"):
        probe.alone(wire.interface, wire.address(1), NODES, 0.3, OURS)
