# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The host's network by a real networkd in a booted machine, pushed by SSH through the very network that changes.

This host's kernel has no VLANs and bonds; test_networks_rack.py has them.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.tripleo.cloud.plugins.module_utils._node import network as network_data
from ansible_collections.tripleo.cloud.plugins.module_utils._node import networkd, os_net_config
from ansible_collections.tripleo.cloud.plugins.module_utils._node.nics import Nic
from networked import GATEWAY, GATEWAY6, NODE, NetworkedMachine, payload, until

pytestmark = pytest.mark.slow
ROOT = Path(__file__).resolve().parents[2]


def network(gateway: str = GATEWAY, seconds: int = 5, **settings: Any) -> dict[str, Any]:
    bridge = {
        "type": "linux_bridge",
        "name": "br-ex",
        "mtu": 1400,
        "addresses": [{"ip_netmask": f"{NODE}/24"}, {"ip_netmask": "fd09::10/64"}],
        "routes": [{"default": True, "next_hop": gateway}, {"ip_netmask": "fd0a::/64", "next_hop": GATEWAY6}],
        "dns_servers": ["192.0.2.1"],
        "domain": "example.org",
        "members": [{"type": "interface", "name": "eth0", "primary": True}],
        **settings,
    }
    other = {"type": "interface", "name": "eth1", "mtu": 1300, "addresses": [{"ip_netmask": "10.9.1.10/24"}]}
    return {"network_config": [bridge, other], "proof_seconds": seconds}


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NetworkedMachine]:
    made = NetworkedMachine(tmp_path_factory.mktemp("node") / "machine", ROOT / ".cache" / "machine" / "base")
    made.plug_in()
    try:
        made.start()
        until(lambda: made.ssh("true").returncode == 0)
        yield made
    finally:
        made.stop()
        made.unplug()


@pytest.fixture
def fresh(machine: NetworkedMachine) -> NetworkedMachine:
    """The machine with the network of its config drive."""
    result = machine.push(None, "none")
    assert result["failed"] is None, result
    assert list(machine.files()) == ["50-tripleo-525400090001.network"]
    return machine


def addresses(machine: NetworkedMachine, device: str) -> dict[str, Any]:
    (shown,) = json.loads(machine.run(f"ip -j address show dev {device}").stdout)
    found = [f"{entry['local']}/{entry['prefixlen']}" for entry in shown["addr_info"] if entry["scope"] == "global"]
    return {"mtu": shown["mtu"], "addresses": sorted(found), "master": shown.get("master")}


def test_a_bridge_with_mtu_ipv6_routes_and_dns_and_back(fresh: NetworkedMachine) -> None:
    result = fresh.push(network(), "d1")
    assert result["failed"] is None and result["changed"], result
    assert addresses(fresh, "br-ex") == {"mtu": 1400, "addresses": ["10.9.0.10/24", "fd09::10/64"], "master": None}
    assert addresses(fresh, "eth0") == {"mtu": 1400, "addresses": [], "master": "br-ex"}
    assert addresses(fresh, "eth1") == {"mtu": 1300, "addresses": ["10.9.1.10/24"], "master": None}
    routes = fresh.run("ip -4 route; ip -6 route").stdout
    assert f"default via {GATEWAY} dev br-ex" in routes and f"fd0a::/64 via {GATEWAY6} dev br-ex" in routes
    resolv = fresh.root / "etc/resolv.conf"
    assert resolv.read_text() == "search example.org\nnameserver 192.0.2.1\n"
    connect = 'import socket; socket.create_connection(("fd09::10", 22), 5)'
    argv = ["ip", "netns", "exec", fresh.outside, sys.executable, "-c", connect]
    assert subprocess.run(argv, check=False).returncode == 0
    before = fresh.files()
    again = fresh.push(network(), "d1")
    assert (again["failed"], again["changed"], fresh.files()) == (None, False, before)
    (fresh.root / "etc/systemd/network/40-tripleo-br-ex.network").write_text("changed by hand\n")
    status = json.loads(fresh.ssh("node-agent status").stdout)
    assert status["drift"] == ["/etc/systemd/network/40-tripleo-br-ex.network"] and not status["healthy"]
    assert fresh.push(network(), "d1")["changed"]
    assert json.loads(fresh.ssh("node-agent status").stdout)["drift"] == []
    assert fresh.push(None, "d2")["failed"] is None
    assert addresses(fresh, "eth0") == {"mtu": 1500, "addresses": ["10.9.0.10/24"], "master": None}
    assert fresh.run("ip link show br-ex", check=False).returncode != 0
    assert addresses(fresh, "eth1")["addresses"] == []
    assert resolv.read_text() == "nameserver 192.0.2.53\n"


@pytest.mark.parametrize(
    ("document", "cause"),
    [
        (network("10.9.0.99"), "the gateway 10.9.0.99 on br-ex did not answer within 5 s through the new settings"),
        (
            network(addresses=[{"ip_netmask": "10.9.2.10/24"}], routes=[{"default": True, "next_hop": "10.9.2.1"}]),
            "the Deployment cloud 10.9.0.1 and the gateway 10.9.2.1 on br-ex did not answer",
        ),
    ],
)
def test_wrong_settings_come_back_by_themselves(fresh: NetworkedMachine, document: Any, cause: str) -> None:
    before = {name: text for name, (_time, text) in fresh.files().items()}
    result = fresh.push(document)
    assert result["failed"]["step"] == "network" and not result["healthy"]
    assert cause in result["failed"]["cause"] and result["failed"]["cause"].endswith("; the old settings are back")
    assert {name: text for name, (_time, text) in fresh.files().items()} == before
    assert addresses(fresh, "eth0") == {"mtu": 1500, "addresses": ["10.9.0.10/24"], "master": None}
    assert fresh.ssh("ip link show br-ex").returncode == 1
    assert cause in json.loads(fresh.ssh("node-agent status").stdout)["cause"]


def test_settings_that_are_wrong_in_themselves_touch_nothing(fresh: NetworkedMachine) -> None:
    before = fresh.files()
    result = fresh.push({"network_config": [{"type": "ovs_bridge", "name": "br-ex", "members": []}]})
    assert "type 'ovs_bridge' of br-ex is not supported" in result["failed"]["cause"]
    assert fresh.files() == before


def start_push(machine: NetworkedMachine, seconds: int = 100) -> subprocess.Popen[str]:
    """A push whose proof cannot come, as far as the network has changed."""
    process = subprocess.Popen(
        machine.ssh_command("node-agent push"), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdin
    process.stdin.write(payload(network("10.9.0.99", seconds=seconds)))
    process.stdin.close()
    until(lambda: "40-tripleo-br-ex.network" in machine.files())
    until(lambda: "10.9.0.10" in machine.run("ip address show dev br-ex", check=False).stdout)
    return process


def agent_process(machine: NetworkedMachine) -> int:
    """The process of the push, as this host sees it."""
    (pid,) = [
        pid for pid, line in machine.processes().items() if line.startswith("/usr/bin/python3") and " push" in line
    ]
    return pid


def is_back(machine: NetworkedMachine) -> bool:
    return list(machine.files()) == ["50-tripleo-525400090001.network"] and machine.ssh("true").returncode == 0


def test_an_agent_that_is_killed_in_the_middle(fresh: NetworkedMachine) -> None:
    process = start_push(fresh)
    os.kill(agent_process(fresh), 9)
    process.wait()
    started = time.monotonic()
    until(lambda: is_back(fresh), 30)
    assert addresses(fresh, "eth0")["addresses"] == ["10.9.0.10/24"]
    assert time.monotonic() - started < 30
    until(lambda: "network-restore" not in " ".join(fresh.processes().values()))
    assert fresh.push(network(), "good")["failed"] is None


def test_a_connection_that_breaks_in_the_middle(fresh: NetworkedMachine) -> None:
    process = start_push(fresh, 10)
    process.kill()
    process.wait()
    assert agent_process(fresh)
    # What metadata_push does: it connects again and sends the same; the agent waits for the run that goes on.
    result = fresh.push(network(), "good")
    assert result["failed"] is None and result["changed"], result


def test_a_power_cut_before_the_proof(fresh: NetworkedMachine) -> None:
    process = start_push(fresh)
    fresh.pull_the_plug()
    process.kill()
    process.wait()
    assert "40-tripleo-br-ex.network" in fresh.files()
    fresh.unplug()
    fresh.plug_in()
    fresh.start()
    until(lambda: is_back(fresh), 60)
    until(lambda: "node-agent resume" not in " ".join(fresh.processes().values()))
    log = fresh.run("journalctl -b -u node-agent-boot -u node-agent --no-pager").stdout
    assert "network settings that were not proven were taken back" in log
    assert is_back(fresh)
    cause = json.loads(fresh.ssh("node-agent status").stdout)["cause"]
    assert "the machine went down before the new settings were proven" in cause and "push them again" in cause


def test_networkd_knows_every_line_of_a_bond_and_its_vlan(fresh: NetworkedMachine) -> None:
    """This kernel makes neither, but networkd reads the files, and complains of what it does not know."""
    options = "miimon=100 updelay=200 downdelay=200 fail_over_mac=active min_links=1 all_slaves_active=1 lp_interval=2"
    modes = {
        "b0": "mode=802.3ad lacp_rate=fast ad_select=count xmit_hash_policy=layer3+4",
        "b1": "mode=active-backup primary_reselect=better num_grat_arp=2 resend_igmp=3",
        "b2": "mode=1 arp_interval=100 arp_ip_target=10.0.0.1,10.0.0.2 arp_validate=all arp_all_targets=any",
        "b3": "mode=balance-tlb tlb_dynamic_lb=0 packets_per_slave=1",
    }
    document = []
    for number, (name, mode) in enumerate(modes.items()):
        words = mode if "arp_interval" in mode else f"{mode} {options}"
        vlan = {"type": "vlan", "vlan_id": 20 + number, "mtu": 1400, "use_dhcp": True, "defroute": False}
        members = [{"type": "interface", "name": f"eth{number}", "primary": True}, vlan]
        document.append({"type": "linux_bond", "name": name, "bonding_options": words, "members": members})
    document[0].update(use_dhcpv6=True, defroute=False, domain=["a.example", "b.example"], dns_servers=["fd00::1"])
    cards = [Nic(f"eth{number}", f"52:54:00:00:0a:0{number}") for number in range(4)]
    made = networkd.files(os_net_config.links({"network_config": document}, cards), "60-tripleo")
    drive = {
        "links": [
            {"id": "a", "ethernet_mac_address": "52:54:00:00:0b:01"},
            {"id": "b9", "type": "bond", "bond_links": ["a"], "ethernet_mac_address": "52:54:00:00:0b:01"},
            {"id": "v", "type": "vlan", "vlan_link": "b9", "vlan_id": 90, "vlan_mac_address": "52:54:00:00:0b:02"},
        ]
    }
    folder = fresh.root / "etc/systemd/network"
    texts = {**made, **network_data.networkd_files(drive), "60-wrong.netdev": "[NetDev]\nName=w\nKind=bond\nNo=1\n"}
    for name, text in texts.items():
        (folder / name).write_text(text)
    fresh.run("journalctl --rotate; systemctl restart systemd-networkd; networkctl reload; sleep 1")
    log = fresh.run("journalctl -b -u systemd-networkd --no-pager -o cat").stdout
    for name in texts:
        (folder / name).unlink()
    fresh.run("networkctl reload")
    complaints = [line for line in log.splitlines() if "/etc/systemd/network/" in line and "Configuring" not in line]
    assert complaints and all("60-wrong.netdev:4: Unknown key" in line for line in complaints)
    assert "b0: netdev could not be created" in log and "vlan20" not in log
