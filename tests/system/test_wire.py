# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Somebody else on a rack's provisioning network, put there by hand."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from whole_run import WholeRun

from tripleo_cloud.rack import addresses

pytestmark = [pytest.mark.rack, pytest.mark.slow]


def run(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


@contextmanager
def second_server(pair: WholeRun, folder: Path) -> Iterator[tuple[str, str]]:
    """A DHCP server in a namespace of its own, on a port of the rack's bridge; its IP and its Ethernet address."""
    rack = addresses.namespace(pair.folder / ".work" / "rack")
    subnet = pair.nodes()[0]["bmc"]["address"].rpartition(".")[0]
    stranger = f"second-{os.getpid()}"
    run("ip", "netns", "add", stranger)
    try:
        port = ["type", "veth", "peer", "name", "eth0", "netns", stranger]
        run("ip", "-n", rack, "link", "add", "second", "master", "rack", *port)
        run("ip", "-n", rack, "link", "set", "second", "up")
        run("ip", "-n", stranger, "address", "add", f"{subnet}.190/24", "dev", "eth0")
        run("ip", "-n", stranger, "link", "set", "eth0", "up")
        # It goes to the background when it listens.
        words = ["dnsmasq", "-C", "/dev/null", "--port=0", "--interface=eth0", "--bind-interfaces", "--user=root"]
        words += [
            f"--dhcp-range={subnet}.191,{subnet}.198",
            f"--dhcp-leasefile={folder / 'leases'}",
            f"--pid-file={folder / 'pid'}",
        ]
        run("ip", "netns", "exec", stranger, *words)
        try:
            yield f"{subnet}.190", run("ip", "netns", "exec", stranger, "cat", "/sys/class/net/eth0/address").strip()
        finally:
            os.kill(int((folder / "pid").read_text()), signal.SIGKILL)
            run("ip", "-n", rack, "link", "delete", "second")
    finally:
        run("ip", "netns", "delete", stranger)


def power(pair: WholeRun) -> list[str]:
    return [pair.ipmitool(node, *words) for node in pair.nodes() for words in (("power", "status"), ("sel", "elist"))]


def test_a_second_dhcp_server_stops_the_run_before_any_power_on(pair: WholeRun, tmp_path: Path) -> None:
    before = power(pair)
    with second_server(pair, tmp_path) as (address, ethernet):
        refused = pair.play("deploy")
        assert refused.rc != 0
        said = refused.output.replace("\\n", "\n")
        for words in ("another DHCP server answers on", f"{address} (from {address}, Ethernet {ethernet}", "Next: "):
            assert words in said, said[-4000:]
        assert power(pair) == before
        assert not list((pair.state / "run").glob("*.lease"))
    pair.must_play("deploy")
    assert all("on" in pair.ipmitool(node, "power", "status") for node in pair.nodes())
