# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The rack's pure parts: boot flags, records, addresses, QEMU's arguments, the files for Ansible."""

from __future__ import annotations

import ipaddress
import os
import struct
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tripleo_cloud.rack import addresses, bootflags, eventlog, inventory, network, process, qemu, records
from tripleo_cloud.rack.errors import RackError
from tripleo_cloud.rack.eventlog import EventLog
from tripleo_cloud.rack.spec import RackSpec, parse

SPEC = parse(
    {
        "defaults": {"memory": 512},
        "machines": [
            {"name": "n1", "cpus": 2, "capabilities": {"profile": "control"}, "disks": [{"size": 8, "serial": "S1"}]},
            {"name": "n2", "boot": "network", "macs": ["52:54:00:00:00:0A", "52:54:00:00:00:0b"]},
        ],
    },
    b"\x01\x02\x03",
)


@pytest.mark.parametrize(
    ("flags", "own", "first", "after"),
    [
        ("0000000000", "disk", "disk", "0000000000"),
        ("0000000000", "network", "network", "0000000000"),
        ("8004000000", "disk", "network", "0000000000"),
        ("a004000000", "disk", "network", "0000000000"),
        ("c004000000", "disk", "network", "c004000000"),
        ("8008000000", "network", "disk", "0000000000"),
        ("e008000000", "network", "disk", "e008000000"),
        ("800c000000", "network", "disk", "0000000000"),
        ("8014000000", "disk", "disk", "0000000000"),
        ("8014000000", "network", "network", "0000000000"),
        ("c000000000", "disk", "disk", "c000000000"),
        ("0004000000", "disk", "disk", "0000000000"),
        ("4004000000", "disk", "disk", "0000000000"),
    ],
)
def test_boot_flags(flags: str, own: str, first: str, after: str) -> None:
    choice = bootflags.choose(bytes.fromhex(flags), own)
    assert (choice.first, choice.flags_after.hex()) == (first, after)


def test_event_log_numbers_grow_and_the_oldest_goes() -> None:
    log = EventLog()
    for _number in range(eventlog.LONGEST + 3):
        log.add(eventlog.POWER_ON)
    numbers = [struct.unpack_from("<H", record)[0] for record in log.records]
    assert numbers == list(range(4, eventlog.LONGEST + 4))
    assert all(len(record) == 16 for record in log.records)
    log.clear()
    assert len(log.records) == 1
    assert log.erased_at == log.now()


def test_event_log_clock_can_be_set() -> None:
    log = EventLog()
    log.set_clock(86400)
    log.add(eventlog.BOOT_WARM_RESET, 1)
    assert struct.unpack_from("<I", log.records[0], 3)[0] in (86400, 86401)


def test_sensor_record_is_as_long_as_it_says() -> None:
    record = records.temperature_record()
    assert record[4] == len(record) - 5
    assert record[47] & 0x1F == len(record) - 48


@pytest.mark.parametrize("name", ["n", "a-name-of-thirty-two-characters-"])
def test_fru_areas_add_up_to_zero(name: str) -> None:
    fru = records.fru(name, "00000000-0000-0000-0000-000000000001")
    assert sum(fru[:8]) & 0xFF == 0
    board, product = fru[3] * 8, fru[4] * 8
    for start in (board, product):
        assert sum(fru[start : start + fru[start + 1] * 8]) & 0xFF == 0
    assert product + fru[product + 1] * 8 == len(fru)


def test_addresses_are_stable_free_and_short(tmp_path: Path) -> None:
    first = addresses.choose(tmp_path / "a", [])
    assert addresses.choose(tmp_path / "a", []) == first
    assert addresses.choose(tmp_path / "b", []).namespace != first.namespace
    other = addresses.choose(tmp_path / "a", [first.subnet])
    assert not other.subnet.overlaps(first.subnet)
    assert (other.namespace, other.interface) == (first.namespace, first.interface)
    assert first.subnet.subnet_of(ipaddress.IPv4Network("10.0.0.0/8"))
    assert len(first.interface) <= 15
    assert ipaddress.IPv6Address(first.host_address6) in ipaddress.IPv6Network("fd00::/8")
    assert first.host_address == str(first.subnet[1])


def test_no_free_subnet_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(RackError, match="no free /24"):
        addresses.choose(tmp_path, [ipaddress.IPv4Network("10.0.0.0/8")])


def test_host_routes_are_read() -> None:
    assert ipaddress.IPv4Network("127.0.0.0/8") in addresses.taken_by_host()


def test_allow_list_names_the_hosts_own_address_only(tmp_path: Path) -> None:
    net = addresses.choose(tmp_path, [])
    rules = network.rules(net)
    assert f"ip daddr {{ {net.host_address}, " in rules
    assert rules.count("drop") == 2


@pytest.mark.parametrize(
    ("first", "order"), [("disk", {"disk0": 1, "net0": 2, "net1": 3}), ("network", {"net0": 1, "net1": 2, "disk0": 3})]
)
def test_boot_order_on_the_command_line(first: str, order: dict[str, int]) -> None:
    argv = qemu.command_line(SPEC.machines[1], 1, uuid="u", accelerator="tcg", first=first, qmp_fd=9)
    devices = [word for word in argv if "bootindex=" in word]
    for name, place in order.items():
        assert [device for device in devices if f"={name}," in device and device.endswith(f"bootindex={place}")]
    assert "tap,id=net1,ifname=m1n1,script=no,downscript=no" in argv


def test_machines_without_addresses_get_their_own() -> None:
    assert SPEC.machines[0].macs == ("52:54:00:01:02:01",)
    assert SPEC.machines[1].macs == ("52:54:00:00:00:0a", "52:54:00:00:00:0b")
    assert (SPEC.machines[1].cpus, SPEC.machines[1].memory, SPEC.machines[1].disks[0].serial) == (1, 512, "RACK0002")
    assert RackSpec.from_dict(SPEC.to_dict()) == SPEC


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (None, ["must be a mapping", "list of 1 to 50"]),
        ({"machines": []}, ["list of 1 to 50"]),
        ({"machines": [{"name": "n"}], "machine": 1}, ["unknown key 'machine'"]),
        ({"machines": [{"name": "N_1"}]}, ["lower case"]),
        ({"machines": [{"name": "n"}, {"name": "n"}]}, ["name n: used more than once"]),
        ({"machines": [{"name": "n", "cpus": 0, "memory": "1G"}]}, ["n: cpus", "n: memory"]),
        ({"machines": [{"name": "n", "cpus": True}]}, ["n: cpus"]),
        ({"machines": [{"name": "n", "macs": ["52:54:00:00:00"]}]}, ["n: macs"]),
        ({"machines": [{"name": "n", "macs": ["01:00:5e:00:00:01"]}]}, ["multicast"]),
        ({"machines": [{"name": "n", "macs": [90693]}]}, ["in quotes"]),
        ({"machines": [{"name": "n", "disks": [{"serial": "a,b=c"}]}]}, ["disk 1: serial", "disk 1: size"]),
        ({"machines": [{"name": "n", "disks": [{"size": 1, "serial": "S"}] * 2}]}, ["serial number S"]),
        ({"machines": [{"name": "n", "boot": "cdrom"}]}, ["disk, network"]),
        ({"machines": [{"name": "n", "capabilities": ["x"]}]}, ["capabilities"]),
        ({"machines": [{"name": "n"}], "accelerator": "xen"}, ["auto, kvm, tcg"]),
        ({"machines": ["n"]}, ["machine 1: must be a mapping"]),
    ],
)
def test_wrong_rack_files_name_every_fault(data: object, words: list[str]) -> None:
    with pytest.raises(RackError) as error:
        parse(data, bytes(3), "rack.yml")
    for word in words:
        assert word in str(error.value)


def test_the_shipped_rack_file_is_valid() -> None:
    path = Path(__file__).parents[4] / "inventories" / "rack" / "rack.yml"
    assert [machine.name for machine in parse(yaml.safe_load(path.read_text()), bytes(3)).machines] == ["n1", "n2"]


def test_files_for_ansible_are_private_and_only_ours_are_replaced(tmp_path: Path) -> None:
    bmc = {"address": "10.1.2.201", "port": 623, "username": "admin", "password": "p", "uuid": "u", "mac": "m"}
    content = inventory.nodes(SPEC, {"n1": bmc, "n2": bmc})
    node = content["nodes"][0]
    assert node["bmc"] == {**{k: bmc[k] for k in ("address", "port", "username", "password")}, "driver": "ipmi"}
    assert node["root_device"] == {"serial": "S1"}
    wanted = {inventory.NODES: content}
    assert inventory.outdated(tmp_path, wanted) == [inventory.NODES]
    inventory.write(tmp_path, inventory.NODES, content)
    assert inventory.outdated(tmp_path, wanted) == []
    assert (tmp_path / inventory.NODES).stat().st_mode & 0o777 == 0o600
    assert inventory.remove(tmp_path) == [inventory.NODES]
    (tmp_path / inventory.NODES).write_text("nodes: []\n")
    with pytest.raises(RackError, match="not written by a rack"):
        inventory.outdated(tmp_path, wanted)
    assert inventory.remove(tmp_path) == []


def test_processes_are_known_by_their_start_time(tmp_path: Path) -> None:
    path = tmp_path / "pid"
    assert process.recall(path) is None
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    process.remember(path, child.pid)
    assert process.recall(path) == child.pid
    process.end(child.pid)
    assert process.wait_gone(child.pid, 10)
    assert process.recall(path) is None
    child.communicate()
    path.write_text(path.read_text().replace(str(child.pid), str(os.getpid())))
    assert process.recall(path) is None
