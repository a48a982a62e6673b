# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Deployed servers get a password, a bond under their only address and a VLAN; a wrong gateway goes away by itself."""

from __future__ import annotations

import ipaddress
import json
import os
import subprocess
from typing import Any

import pytest
import yaml
from whole_run import ROOT, WholeRun

pytestmark = [pytest.mark.rack, pytest.mark.slow]
SERVERS = ("pair-0", "pair-1")
TEMPLATE = "/usr/libexec/os-apply-config/templates/etc/app.conf"


def configure(run: WholeRun, **parameters: Any) -> None:
    run.override(
        tripleo_template=str(ROOT / "tests" / "system" / "pair" / "networks.yml"), tripleo_parameters=parameters
    )


def plan(run: WholeRun) -> dict[str, Any]:
    newest = max((run.state / "plans").glob("pair-*.json"), key=lambda path: int(path.stem.rpartition("-")[2]))
    loaded: dict[str, Any] = json.loads(newest.read_text())
    return loaded


def ssh(run: WholeRun, server: str, command: str) -> str:
    secrets = run.state / "secrets" / "pair"
    address = next(s["networks"]["ctlplane"][0] for s in plan(run)["servers"].values() if s["name"] == server)
    options = [f"UserKnownHostsFile={secrets / 'known_hosts'}", "StrictHostKeyChecking=yes", "BatchMode=yes"]
    argv = ["ssh", "-F", "none", "-i", os.fspath(secrets / "ssh_key"), *(w for o in options for w in ("-o", o))]
    done = subprocess.run([*argv, f"root@{address}", command], capture_output=True, text=True, check=False)
    assert done.returncode == 0, (command, done.stdout, done.stderr)
    return done.stdout


def files(run: WholeRun, server: str) -> str:
    return ssh(run, server, "cd /etc/systemd/network && ls -l --time-style=full-iso && cat 40-*")


def test_a_password_a_vlan_and_a_bond_and_a_gateway_that_is_wrong(pair: WholeRun) -> None:
    configure(pair, Password="First-1")
    pair.must_play("deploy")
    for server in SERVERS:
        ssh(pair, server, f"mkdir -p $(dirname {TEMPLATE}) && printf '%s' '{{{{app.password}}}}' > {TEMPLATE}")
    pair.must_play("setup")
    assert [ssh(pair, server, "cat /etc/app.conf") for server in SERVERS] == ["First-1", "First-1"]

    rack = yaml.safe_load((pair.inventory.parent / "group_vars" / "all" / "rack.yml").read_text())
    subnet = ipaddress.ip_network(rack["tripleo_networks"]["ctlplane"]["cidr"])
    known = {"Password": "Second-2", "Bonded": True, "Length": str(subnet.prefixlen)}
    configure(pair, **known, Gateway=rack["tripleo_provisioning_address"])
    pair.must_play("deploy")
    pair.must_play("setup")
    for server in SERVERS:
        assert ssh(pair, server, "cat /etc/app.conf") == "Second-2"
        assert "Bonding Mode: fault-tolerance (active-backup)" in ssh(pair, server, "cat /proc/net/bonding/bond0")
        assert "id 20" in ssh(pair, server, "ip -d link show vlan20")
        assert "dev bond0" in ssh(pair, server, "ip route get 192.0.2.1")
    ssh(pair, SERVERS[0], "ping -c 3 -W 5 -I vlan20 10.20.0.11")

    before = [files(pair, server) for server in SERVERS]
    assert pair.must_play("setup").changed == 0
    assert [files(pair, server) for server in SERVERS] == before

    # Nobody has the last address of the subnet.
    configure(pair, **{**known, "Gateway": str(subnet[-2])})
    pair.must_play("deploy")
    done = pair.play("setup")
    assert done.rc != 0 and f"the gateway {subnet[-2]} on bond0 did not answer" in done.output
    assert "the old settings are back" in done.output
    for server in SERVERS:
        assert f"via {rack['tripleo_provisioning_address']}" in ssh(pair, server, "ip route show default")
        assert str(subnet[-2]) not in files(pair, server)
