# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.tripleo.cloud.plugins.module_utils._plan.errors import PlanError
from ansible_collections.tripleo.cloud.plugins.module_utils._plan.nodes import parse_nodes


def entry(**changes: Any) -> dict[str, Any]:
    made: dict[str, Any] = {
        "name": "n1",
        "bmc": {"address": "192.0.2.1", "username": "admin", "password": "topsecret"},
        "macs": ["52:54:00:AA:00:01"],
        "cpus": 1,
        "memory": 1024,
        "disk": 8,
    }
    made.update(changes)
    return {key: value for key, value in made.items() if value is not None}


def test_a_node_is_read_and_its_password_is_in_nothing_that_is_stored_or_shown() -> None:
    (node,) = parse_nodes({"nodes": [entry(root_device={"serial": "S"}, capabilities={"profile": "control"})]})
    assert node.macs == ("52:54:00:aa:00:01",)
    assert node.bmc.as_private()["password"] == "topsecret"
    assert "topsecret" not in repr(node) + str(node.as_hardware())
    assert "admin" not in str(node.as_hardware())


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (None, "is not a mapping with the one key 'nodes'"),
        ([], "is not a mapping"),
        ({"nodes": {}}, "is not a mapping"),
        ({"nodes": ["x"]}, "entry 1: is no mapping"),
        ({"nodes": [entry(name="a b")]}, "name must be letters"),
        ({"nodes": [entry(name=None)]}, "entry 1: name must be"),
        ({"nodes": [entry(cpu=1)]}, "n1: unknown key 'cpu'"),
        ({"nodes": [entry(macs=[])]}, "macs must list at least one"),
        ({"nodes": [entry(macs=["52-54"])]}, "'52-54' is no MAC address"),
        ({"nodes": [entry(memory="1 GiB")]}, "memory must be a whole number"),
        ({"nodes": [entry(disk=True)]}, "disk must be a whole number"),
        ({"nodes": [entry(bmc=None)]}, "bmc must be a mapping"),
        ({"nodes": [entry(bmc={"address": "bmc.example", "username": "a", "password": "b"})]}, "is no IP address"),
        ({"nodes": [entry(bmc={"address": "192.0.2.1", "username": "a"})]}, "bmc password must be a text"),
        ({"nodes": [entry(root_device={"serail": "S"})]}, "root_device has no hint 'serail'"),
        ({"nodes": [entry(), entry()]}, "name n1 stands 2 times"),
        ({"nodes": [entry(), entry(name="n2")]}, "MAC 52:54:00:aa:00:01 stands 2 times"),
    ],
)
def test_a_wrong_file_is_refused(data: Any, problem: str) -> None:
    with pytest.raises(PlanError) as raised:
        parse_nodes(data, "nodes.yaml")
    assert problem in str(raised.value)
    assert "topsecret" not in str(raised.value)


def test_all_faults_come_at_once() -> None:
    with pytest.raises(PlanError) as raised:
        parse_nodes({"nodes": [entry(cpus=0), entry(name="n2", memory=0, macs=["x"])]})
    assert all(part in str(raised.value) for part in ("n1: cpus", "n2: memory", "n2: 'x' is no MAC"))
