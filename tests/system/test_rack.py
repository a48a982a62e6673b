# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The virtual rack against independent clients: ipmitool and ipmipower drive its BMCs, other namespaces its network."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from rack_tools import MARK, boots, console, told, tool, type_into, until

from tripleo_cloud.rack import Rack, RackError
from tripleo_cloud.rack import network as rack_network

pytestmark = [pytest.mark.rack, pytest.mark.usefixtures("off_again")]
ROOT = Path(__file__).resolve().parents[2]


def test_a_machine_is_driven_by_ipmitool(rack: Rack, suite: int) -> None:
    told(rack, "a1", "sel", "clear", suite=suite)
    assert "is off" in told(rack, "a1", "power", "status", suite=suite)
    before = boots(rack, "a1")
    told(rack, "a1", "power", "on", suite=suite)
    assert "is on" in told(rack, "a1", "power", "status", suite=suite)
    until("boot from disk", lambda: boots(rack, "a1") > before)
    told(rack, "a1", "power", "reset", suite=suite)
    until("boot after reset", lambda: boots(rack, "a1") > before + 1)
    told(rack, "a1", "power", "cycle", suite=suite)
    until("boot after cycle", lambda: boots(rack, "a1") > before + 2)
    told(rack, "a1", "power", "off", suite=suite)
    assert "is off" in told(rack, "a1", "power", "status", suite=suite)
    for action in ("reset", "cycle", "soft"):
        assert tool(rack, "a1", "power", action, suite=suite).returncode != 0
    log = told(rack, "a1", "sel", "elist", suite=suite)
    assert log.count("Power off/down | Deasserted") == 1
    assert log.count("Initiated by power up") == 2
    assert log.count("Initiated by hard reset") == 1
    assert log.count("Power cycle") == 1
    assert re.search(time.strftime(r"%m/%d/%y \| \d\d:\d\d:\d\d UTC", time.gmtime()), log)


@pytest.mark.parametrize(
    ("words", "raw"),
    [
        (("pxe",), "8004000000"),
        (("disk",), "8008000000"),
        (("pxe", "options=persistent"), "c004000000"),
        (("disk", "options=persistent,efiboot"), "e008000000"),
        (("bios",), "8018000000"),
    ],
)
def test_boot_flags_are_kept_as_they_are(rack: Rack, suite: int, words: tuple[str, ...], raw: str) -> None:
    told(rack, "a1", "chassis", "bootdev", *words, suite=suite)
    assert f"data: {raw}" in told(rack, "a1", "chassis", "bootparam", "get", "5", suite=suite)


def test_next_boot_is_used_up_and_persistent_is_not(rack: Rack) -> None:
    def boot(expected_first: str) -> None:
        rack.console_log("a1").unlink(missing_ok=True)
        told(rack, "a1", "power", "on")
        first = until("boot", lambda: re.search(b"iPXE initialising|" + MARK.strip(), console(rack, "a1")))
        assert first[0] == {"network": b"iPXE initialising", "disk": MARK.strip()}[expected_first]
        told(rack, "a1", "power", "off")

    told(rack, "a1", "chassis", "bootdev", "pxe")
    boot("network")
    assert "data: 0000000000" in told(rack, "a1", "chassis", "bootparam", "get", "5")
    boot("disk")
    told(rack, "a1", "chassis", "bootdev", "pxe", "options=persistent")
    boot("network")
    assert "data: c004000000" in told(rack, "a1", "chassis", "bootparam", "get", "5")
    told(rack, "a1", "chassis", "bootdev", "none")


def test_machine_with_network_first_falls_through_to_its_disk_and_a_flag_overrides_it(rack: Rack) -> None:
    told(rack, "a2", "power", "on")
    until("boot from disk", lambda: boots(rack, "a2"))
    assert b"iPXE initialising" in console(rack, "a2")
    told(rack, "a2", "power", "off")
    rack.console_log("a2").unlink()
    told(rack, "a2", "chassis", "bootdev", "disk")
    told(rack, "a2", "power", "on")
    until("boot from disk", lambda: boots(rack, "a2"))
    assert b"iPXE initialising" not in console(rack, "a2")


def test_reset_by_the_guest_starts_it_again_and_shutdown_leaves_it_off(rack: Rack) -> None:
    told(rack, "a1", "sel", "clear")
    before = boots(rack, "a1")
    told(rack, "a1", "power", "on")
    until("first boot", lambda: boots(rack, "a1") > before)
    type_into(rack, "a1", b"r")
    until("second boot", lambda: boots(rack, "a1") > before + 1)
    assert "is on" in told(rack, "a1", "power", "status")
    type_into(rack, "a1", b"o")
    until("power off by the guest", lambda: "is off" in told(rack, "a1", "power", "status"))
    log = told(rack, "a1", "sel", "elist")
    assert "Initiated by warm reset" in log
    assert "soft-off" in log.lower()


def test_power_off_is_a_power_cut(rack: Rack) -> None:
    told(rack, "a1", "power", "on")
    machine = next(
        pid
        for pid in rack_network.pids(rack.network.namespace)
        if b"\0-name\0a1\0" in Path(f"/proc/{pid}/cmdline").read_bytes()
    )
    told(rack, "a1", "power", "off")
    assert not Path(f"/proc/{machine}").exists()


def test_sensors_inventory_and_accounts(rack: Rack, suite: int) -> None:
    assert re.search(
        r"System Temp +\| 01h \| ok +\| +7\.1 \| \d+ degrees C", told(rack, "a1", "sdr", "elist", suite=suite)
    )
    assert "| degrees C  | ok" in told(rack, "a1", "sensor", suite=suite)
    assert "Virtual rack machine" in told(rack, "a1", "fru", "print", suite=suite)
    assert "IPMI Version              : 2.0" in told(rack, "a1", "mc", "info", suite=suite)
    assert "passed" in told(rack, "a1", "mc", "selftest", suite=suite)
    assert rack.bmc("a1")["address"] in told(rack, "a1", "lan", "print", "1", suite=suite)
    assert re.search(r"2 +admin .* ADMINISTRATOR", told(rack, "a1", "user", "list", "1", suite=suite))
    ciphers = told(rack, "a1", "channel", "getciphers", "ipmi", "1", suite=suite)
    assert re.findall(r"^(\d+) ", ciphers, re.MULTILINE) == ["3", "17"]


def test_each_machine_has_an_identity_of_its_own(rack: Rack) -> None:
    assert told(rack, "a1", "mc", "guid") != told(rack, "a2", "mc", "guid")


@pytest.mark.parametrize("account", [{"password": "wrong"}, {"username": "nobody"}, {"password": ""}])
def test_wrong_account_is_refused(rack: Rack, suite: int, account: dict[str, str]) -> None:
    assert tool(rack, "a1", "power", "status", suite=suite, **account).returncode != 0


@pytest.mark.parametrize("number", [0, 1, 2])
def test_weak_cipher_suites_are_refused(rack: Rack, number: int) -> None:
    assert tool(rack, "a1", "power", "status", suite=number).returncode != 0


def test_freeipmi_finds_the_same(rack: Rack) -> None:
    for number in ("3", "17"):
        for name in ("a1", "a2"):
            bmc = rack.bmc(name)
            argv = ["ipmipower", "-D", "LAN_2_0", "-I", number, "-h", bmc["address"], "-u", "admin", "-s"]
            done = subprocess.run([*argv, "-p", bmc["password"]], capture_output=True, text=True, check=True)
            assert done.stdout.strip() == f"{bmc['address']}: off"


def test_killed_bmc_process_leaves_machines_running_and_comes_back(rack: Rack) -> None:
    told(rack, "a1", "chassis", "bootdev", "pxe", "options=persistent")
    told(rack, "a2", "power", "on")
    starts = rack.machine("a2")["starts"]
    killed = rack.bmc_pid()
    assert killed is not None
    os.kill(killed, signal.SIGKILL)
    until("a new BMC process", lambda: rack.bmc_pid() not in (None, killed))
    until("an answer", lambda: tool(rack, "a2", "power", "status").returncode == 0)
    assert "is on" in told(rack, "a2", "power", "status")
    assert rack.machine("a2")["starts"] == starts
    assert "data: c004000000" in told(rack, "a1", "chassis", "bootparam", "get", "5")
    assert "Power off/down | Deasserted" in told(rack, "a2", "sel", "elist")
    told(rack, "a1", "chassis", "bootdev", "none")


def test_mc_reset_ends_sessions_and_leaves_machines_running(rack: Rack) -> None:
    told(rack, "a2", "power", "on")
    starts = rack.machine("a2")["starts"]
    told(rack, "a2", "mc", "reset", "cold")
    until("an answer", lambda: tool(rack, "a2", "power", "status").returncode == 0)
    assert "is on" in told(rack, "a2", "power", "status")
    assert rack.machine("a2")["starts"] == starts


def test_block_statistics_count_writes(rack: Rack) -> None:
    told(rack, "a1", "power", "on")
    counters = rack.block_statistics("a1")
    assert set(counters["disks"]) == {"TESTA1", "TESTA1B"}
    assert counters["disks"]["TESTA1"]["wr_operations"] == 0


def sh(*argv: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    return subprocess.run(argv, capture_output=True, text=True, check=check)


@pytest.fixture
def node_side(rack: Rack) -> Iterator[str]:
    """A namespace with an interface on the rack's bridge, as a node has it, and the host's end as its router."""
    name, net = f"node-{os.getpid()}", rack.network
    sh("ip", "netns", "add", name)
    sh("ip", "-n", net.namespace, "link", "add", "probe", "type", "veth", "peer", "name", "eth0")
    sh("ip", "-n", net.namespace, "link", "set", "eth0", "netns", name)
    sh("ip", "-n", net.namespace, "link", "set", "probe", "master", rack_network.BRIDGE, "up")
    sh("ip", "-n", name, "address", "add", f"{net.subnet[50]}/24", "dev", "eth0")
    sh("ip", "-n", name, "link", "set", "eth0", "up")
    sh("ip", "-n", name, "route", "add", "default", "via", net.host_address)
    until("the host's own address", lambda: reaches(name, net.host_address))
    yield name
    sh("ip", "-n", net.namespace, "link", "delete", "probe")
    sh("ip", "netns", "delete", name)


def reaches(namespace: str, address: str) -> bool:
    argv = ["ip", "netns", "exec", namespace, "busybox", "ping", "-c", "1", "-W", "1", address]
    return sh(*argv, check=False).returncode == 0


def addresses_of_host() -> list[str]:
    found = json.loads(sh("ip", "-4", "-json", "address", "show", "scope", "global").stdout)
    return [info["local"] for link in found for info in link["addr_info"]]


def test_nodes_reach_the_host_at_their_network_only(rack: Rack, node_side: str) -> None:
    others = [address for address in addresses_of_host() if address != rack.network.host_address]
    assert [address for address in others if reaches(node_side, address)] == []
    assert reaches(node_side, rack.network.host_address)
    assert sh("busybox", "ping", "-c", "1", "-W", "2", str(rack.network.subnet[50]), check=False).returncode == 0


def test_nodes_do_not_reach_bmcs(rack: Rack, node_side: str) -> None:
    assert not reaches(node_side, rack.bmc("a1")["address"])
    assert "is off" in told(rack, "a1", "power", "status")


def test_nothing_is_forwarded_even_by_a_router(rack: Rack, node_side: str) -> None:
    """The host's end of the veth pair moves into a namespace that forwards everything; beyond it is another host."""
    net = rack.network
    router, outside = f"router-{os.getpid()}", f"outside-{os.getpid()}"
    for name in (router, outside):
        sh("ip", "netns", "add", name)
    try:
        sh("ip", "-n", router, "link", "add", "up0", "type", "veth", "peer", "name", "eth0")
        sh("ip", "-n", router, "link", "set", "eth0", "netns", outside)
        for name, device, address in ((router, "up0", "198.51.100.1"), (outside, "eth0", "198.51.100.2")):
            sh("ip", "-n", name, "address", "add", f"{address}/24", "dev", device)
            sh("ip", "-n", name, "link", "set", device, "up")
        sh("ip", "-n", outside, "route", "add", "default", "via", "198.51.100.1")
        rack.move_host_end(router)
        assert rack.status()["host_namespace"] == router
        assert rack.up()["changes"] == []
        sh("ip", "netns", "exec", router, "sysctl", "-q", "-w", "net.ipv4.ip_forward=1")
        assert reaches(node_side, net.host_address)
        assert reaches(router, "198.51.100.2")
        assert not reaches(node_side, "198.51.100.1")
        assert not reaches(node_side, "198.51.100.2")
        # Without the allow list both would work: the test does see what it looks for.
        sh("ip", "netns", "exec", net.namespace, "nft", "delete", "table", "bridge", "rack")
        assert reaches(node_side, "198.51.100.1")
        assert reaches(node_side, "198.51.100.2")
    finally:
        subprocess.run(
            ["ip", "netns", "exec", net.namespace, "nft", "-f", "-"],
            input=rack_network.rules(net),
            text=True,
            check=True,
        )
        rack.move_host_end(None)
        for name in (router, outside):
            sh("ip", "netns", "delete", name)
    assert "is off" in told(rack, "a1", "power", "status")


def test_other_machines_in_the_file_are_refused_while_the_rack_runs(rack: Rack, tmp_path: Path) -> None:
    (tmp_path / "rack.yml").write_text("machines: [{name: other}]\n")
    with pytest.raises(RackError, match="rack_down"):
        Rack(tmp_path / "rack.yml", rack.state_dir).up()


def test_killed_owner_takes_all_with_it_and_the_next_up_starts_anew(tmp_path: Path) -> None:
    (tmp_path / "rack.yml").write_text("machines: [{name: b1, memory: 128, disks: [{size: 1, serial: TESTB1}]}]\n")
    with Rack(tmp_path / "rack.yml", tmp_path / "state") as rack:
        told(rack, "b1", "chassis", "bootdev", "pxe", "options=persistent")
        told(rack, "b1", "power", "on")
        network, password = rack.network, rack.bmc("b1")["password"]
        owner = rack.owner_pid()
        assert owner is not None
        os.kill(owner, signal.SIGKILL)
        until("all processes gone", lambda: not rack_network.pids(network.namespace))
        assert rack.status()["running"] is False
        assert "started" in rack.up()["changes"]
        assert rack.bmc("b1")["password"] == password
        assert "is off" in told(rack, "b1", "power", "status")
        assert "data: c004000000" in told(rack, "b1", "chassis", "bootparam", "get", "5")
    assert not rack_network.exists(network.namespace)
    assert not rack_network.host_end_present(network)
    assert not (tmp_path / "state").exists()
    assert rack.down()["changed"] is False


def test_rack_whose_directory_was_removed_goes_down_too(tmp_path: Path) -> None:
    (tmp_path / "rack.yml").write_text("machines: [{name: b1, memory: 128, disks: [{size: 1}]}]\n")
    rack = Rack(tmp_path / "rack.yml", tmp_path / "state")
    rack.up()
    name = rack.network.namespace
    shutil.rmtree(tmp_path / "state")
    assert rack.down()["changed"] is True
    assert not rack_network.exists(name)


def test_the_playbooks_run_twice(tmp_path: Path) -> None:
    inventory = tmp_path / "inventories" / "rack"
    inventory.mkdir(parents=True)
    (inventory / "hosts.yml").write_text((ROOT / "inventories" / "rack" / "hosts.yml").read_text())
    (inventory / "rack.yml").write_text("machines: [{name: c1, memory: 128, disks: [{size: 1}]}]\n")

    def changed(playbook: str, *words: str) -> int:
        argv = [Path(sys.executable).parent / "ansible-playbook", "-i", inventory / "hosts.yml"]
        argv += [f"tripleo.cloud.{playbook}", *words]
        done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        numbers = re.findall(r"changed=(\d+)", done.stdout)
        return sum(int(number) for number in numbers)

    try:
        assert changed("rack_up", "--check") == 1
        assert not (tmp_path / ".work").exists()
        assert changed("rack_up") == 1
        assert changed("rack_up") == 0
        assert changed("rack_up", "--check") == 0
        nodes = yaml.safe_load((inventory / "nodes.yaml").read_text())["nodes"]
        assert [node["name"] for node in nodes] == ["c1"]
        assert (inventory / "nodes.yaml").stat().st_mode & 0o777 == 0o600
        variables = yaml.safe_load((inventory / "group_vars" / "all" / "rack.yml").read_text())
        address = variables["tripleo_provisioning_address"]
        assert address in addresses_of_host()
        assert changed("rack_down", "--check") == 1
    finally:
        assert changed("rack_down") == 1
    assert changed("rack_down") == 0
    assert not (inventory / "nodes.yaml").exists()
    assert not (tmp_path / ".work" / "rack").exists()
