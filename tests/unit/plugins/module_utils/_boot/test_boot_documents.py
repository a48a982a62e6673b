# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Boot documents: what they say, and what they refuse to say."""

from __future__ import annotations

import dataclasses
import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.tripleo.cloud.plugins.module_utils._boot import dnsmasq, documents, ipxe, paths
from ansible_collections.tripleo.cloud.plugins.module_utils._boot.arguments import check_extra, kernel_arguments
from ansible_collections.tripleo.cloud.plugins.module_utils._boot.errors import BootError
from ansible_collections.tripleo.cloud.plugins.module_utils._boot.model import BootServer, NodeNetwork, ServerBoot
from ansible_collections.tripleo.cloud.plugins.module_utils._node.network import networkd_files

KEY = bytes(range(32))
PLAN = "ab" * 32
BOOT = BootServer("10.1.2.1", 8088)
NETWORK = NodeNetwork("ctlplane", "10.1.2.10", "10.1.2.0/24", gateway="10.1.2.1", dns=("10.1.2.1",))
PATH = paths.node_path(KEY, "n1", PLAN)
SERVER = ServerBoot(
    stack="workload-cloud",
    plan=PLAN,
    server="workload-cloud-controller-0",
    node="n1",
    mac="52:54:00:77:00:01",
    path=PATH,
    token=paths.node_token(KEY, "n1", PLAN),
    build_id="0" * 32,
    manifest_sha256="cd" * 32,
    public_key="ssh-ed25519 " + "A" * 68 + " tripleo",
    networks=(NETWORK,),
    hints=(("serial", "RACK0001"),),
    root_partition=3,
)


def with_(**changes: Any) -> ServerBoot:
    return dataclasses.replace(SERVER, **changes)


def test_paths_and_tokens_are_one_per_node_and_plan() -> None:
    derived = {
        function(KEY, node, plan)
        for function in (paths.node_path, paths.node_token)
        for node in ("n1", "n2")
        for plan in (PLAN, "cd" * 32)
    }
    assert len(derived) == 8
    assert paths.node_path(KEY, "n1", PLAN) == PATH
    assert all(paths.check_path(value) for value in derived)


@pytest.mark.parametrize("path", ["", "..", "a" * 63, "A" * 64, PATH + "/..", PATH + "\n"])
def test_a_foreign_path_is_refused(path: str) -> None:
    with pytest.raises(BootError):
        paths.check_path(path)


def test_a_short_key_is_refused() -> None:
    with pytest.raises(BootError, match="32 bytes"):
        paths.node_path(b"short", "n1", PLAN)


@pytest.mark.parametrize(
    "changes",
    [
        {"mac": "52:54:00:77:00:01 init=/bin/sh"},
        {"mac": "52-54-00-77-00-01"},
        {"node": "n1\ndhcp-script=/bin/sh"},
        {"server": "a b"},
        {"path": "../../etc"},
        {"token": "short"},
        {"build_id": "${x}"},
        {"public_key": "ssh-ed25519 AAAA\nssh-rsa BBBB"},
        {"networks": ()},
        {"hints": (("rotational", "1"),)},
    ],
)
def test_unchecked_values_never_become_a_server(changes: dict[str, Any]) -> None:
    with pytest.raises(BootError):
        with_(**changes)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("10.1.2.300", "10.1.2.0/24"), "not an IP address"),
        (("10.9.2.10", "10.1.2.0/24"), "not in network"),
        (("10.1.2.10", "10.1.2.5/24"), "no valid CIDR"),
        (("10.1.2.10", "10.1.2.0/24", "gate"), "not an IP address"),
    ],
)
def test_networks_are_checked(arguments: tuple[str, ...], message: str) -> None:
    with pytest.raises(BootError, match=message):
        NodeNetwork("ctlplane", *arguments)


def test_the_token_is_not_in_a_repr() -> None:
    assert SERVER.token not in repr(SERVER)


def test_kernel_arguments() -> None:
    assert kernel_arguments(SERVER, BOOT, ["quiet", "hugepagesz=1G", "net.ifnames=0"]) == (
        f"console=ttyS0,115200 tripleo.url=http://10.1.2.1:8088/{PATH}/ tripleo.mac=52:54:00:77:00:01 "
        "tripleo.address=10.1.2.10/24 tripleo.gateway=10.1.2.1 quiet hugepagesz=1G net.ifnames=0"
    )


def test_an_own_console_replaces_the_default() -> None:
    line = kernel_arguments(SERVER, BOOT, ["console=tty0", "console=ttyS1,9600n8"])
    assert "ttyS0" not in line
    assert line.endswith("console=tty0 console=ttyS1,9600n8")


@pytest.mark.parametrize(
    ("extra", "there"), [([], True), (["quiet"], False), (["loglevel=7"], False), (["loglevel"], True)]
)
def test_the_kernel_prints_warnings_and_worse_unless_told_otherwise(extra: list[str], there: bool) -> None:
    assert (" loglevel=5 " in kernel_arguments(SERVER, BOOT, extra)) is there


def test_ipv6_addresses_stand_in_brackets() -> None:
    network = NodeNetwork("ctlplane", "fd00::10", "fd00::/64")
    line = kernel_arguments(with_(networks=(network,)), BootServer("fd00::1", 80))
    assert f"tripleo.url=http://[fd00::1]:80/{PATH}/" in line
    assert "tripleo.address=fd00::10/64" in line
    assert "gateway" not in line


@pytest.mark.parametrize(
    "argument",
    ["", "a b", "a;b", "a|b", "a&&b", "${x}", "a=$x", 'a="b"', "#", "a\nb", "-x", "tripleo.url=http://evil/",
     "tripleo.x", "initrd=foo", "BOOTIF=01", "x=" + "y" * 256, "é=1", 7],
)  # fmt: skip
def test_arguments_outside_of_the_grammar_are_refused(argument: Any) -> None:
    with pytest.raises(BootError, match="kernel arguments"):
        check_extra([argument])


def test_a_too_long_command_line_is_refused() -> None:
    with pytest.raises(BootError, match="2047"):
        kernel_arguments(SERVER, BOOT, [f"x{number}=" + "y" * 250 for number in range(8)])


def test_boot_script() -> None:
    url = BOOT.url(PATH)
    script = ipxe.boot_script(url, kernel_arguments(SERVER, BOOT))
    assert script.startswith("#!ipxe\n")
    assert f"kernel {url}kernel initrd=ramdisk console=ttyS0,115200 loglevel=5 tripleo.url={url} " in script
    assert f"initrd --name ramdisk {url}ramdisk" in script


@pytest.mark.parametrize("arguments", ["a\nshell", "${net0/mac}"])
def test_boot_script_takes_no_foreign_syntax(arguments: str) -> None:
    with pytest.raises(ValueError, match="dollar"):
        ipxe.boot_script("http://10.1.2.1/x/", arguments)


def test_the_disk_script_asks_the_network_for_nothing() -> None:
    script = ipxe.disk_script()
    assert script.startswith("#!ipxe\n")
    assert "http" not in script
    assert "sanboot --no-describe --drive 0x80 || exit" in script


def test_deploy_document() -> None:
    document = documents.deploy_document(SERVER, BOOT)
    drive = document.pop("config_drive")
    assert document == {
        "schema": 1,
        "plan": PLAN,
        "server": "workload-cloud-controller-0",
        "node": "n1",
        "token": SERVER.token,
        "disk": {"hints": {"serial": "RACK0001"}},
        "manifest_sha256": "cd" * 32,
        "root_partition": 3,
        "retry_seconds": 900,
    }
    identity = drive["openstack/latest/meta_data.json"]["uuid"]
    assert drive == {
        "openstack/latest/meta_data.json": {
            "uuid": identity,
            "name": "workload-cloud-controller-0",
            "hostname": "workload-cloud-controller-0",
            "public_keys": {"tripleo": SERVER.public_key},
            "meta": {
                "tripleo_report_url": f"http://10.1.2.1:8088/{PATH}/report/",
                "tripleo_token": SERVER.token,
                "tripleo_plan": PLAN,
                "tripleo_server": "workload-cloud-controller-0",
            },
        },
        "openstack/latest/network_data.json": {
            "links": [{"id": "link0", "type": "phy", "ethernet_mac_address": "52:54:00:77:00:01"}],
            "networks": [
                {
                    "id": "network0",
                    "network_id": "ctlplane",
                    "type": "ipv4",
                    "link": "link0",
                    "ip_address": "10.1.2.10",
                    "netmask": "255.255.255.0",
                    "routes": [{"network": "0.0.0.0", "netmask": "0.0.0.0", "gateway": "10.1.2.1"}],
                }
            ],
            "services": [{"type": "dns", "address": "10.1.2.1"}],
        },
        "ec2/latest/meta-data.json": {
            "instance-id": identity,
            "hostname": "workload-cloud-controller-0",
            "local-hostname": "workload-cloud-controller-0",
            "local-ipv4": "10.1.2.10",
            "public-keys": {"0": {"_name": "0=tripleo", "openssh-key": SERVER.public_key}},
        },
    }


def test_a_server_made_anew_has_another_identity() -> None:
    assert documents.instance_id(SERVER) == documents.instance_id(with_())
    assert documents.instance_id(SERVER) != documents.instance_id(with_(plan="ef" * 32))


def test_network_data_without_a_gateway_has_no_route() -> None:
    data = documents.network_data(SERVER.mac, (NodeNetwork("ctlplane", "fd00::5", "fd00::/64"),))
    assert data["networks"][0]["routes"] == []
    assert data["networks"][0]["netmask"] == "ffff:ffff:ffff:ffff::"
    assert data["services"] == []


def test_the_run_file_reads_back_and_holds_no_token() -> None:
    document = dnsmasq.run_file(PLAN, [dnsmasq.entry(SERVER)])
    assert SERVER.token not in json.dumps(document)
    assert dnsmasq.parse_run_file(json.loads(json.dumps(document))) == (PLAN, (dnsmasq.entry(SERVER),))


@pytest.mark.parametrize("document", [None, {}, {"plan": PLAN, "servers": []}, {"plan": PLAN, "servers": {"a": {}}}])
def test_a_damaged_run_file_is_refused(document: Any) -> None:
    with pytest.raises(BootError, match="damaged"):
        dnsmasq.parse_run_file(document)


def test_dnsmasq_takes_the_lines(tmp_path: Path) -> None:
    entries = [
        dnsmasq.entry(
            with_(
                mac=f"52:54:00:77:00:0{number}",
                node=f"n-{number}",
                networks=(NodeNetwork("ctlplane", f"10.1.2.1{number}", "10.1.2.0/24"),),
            )
        )
        for number in (3, 1, 2)
    ]
    hosts, options = dnsmasq.hosts_file(entries), dnsmasq.options_file(entries, BOOT)
    assert [line.split(",")[0][-1] for line in hosts.splitlines()] == ["1", "2", "3"]
    assert dnsmasq.tag("n-1") in options
    assert f",tag:ipxe,option:bootfile-name,http://10.1.2.1:8088/{PATH}/boot.ipxe\n" in options
    binary = shutil.which("dnsmasq", path="/usr/sbin:/usr/bin")
    if not binary:
        pytest.skip("dnsmasq is not installed")
    # --test does not read dhcp-hostsfile and dhcp-optsfile; their lines are what these options take.
    lines = [f"dhcp-host={line}\n" for line in hosts.splitlines()]
    lines += [f"dhcp-option={line}\n" for line in options.splitlines()]
    (tmp_path / "conf").write_text("port=0\ndhcp-userclass=set:ipxe,iPXE\n" + "".join(lines))
    done = subprocess.run(
        [binary, "--test", "-C", tmp_path / "conf"], capture_output=True, text=True, check=False, cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr


def test_the_node_reads_the_network_as_it_was_meant() -> None:
    """The seam to `_node`: what is written here is what a first boot configures."""
    files = networkd_files(documents.network_data(SERVER.mac, SERVER.networks))
    assert len(files) == 1
    text = next(iter(files.values()))
    assert SERVER.mac in text
    assert "10.1.2.10/24" in text
    assert "10.1.2.1" in text
