# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What could not work on hardware is refused, or passed over, before anything is reserved."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from ansible_collections.tripleo.cloud.plugins.module_utils._errors import TripleoError
from ansible_collections.tripleo.cloud.plugins.module_utils._plan.errors import PlanError
from ansible_collections.tripleo.cloud.plugins.module_utils._plan.flavors import parse_flavors
from ansible_collections.tripleo.cloud.plugins.module_utils._plan.networks import Allocator, parse_networks
from ansible_collections.tripleo.cloud.plugins.module_utils._plan.nodes import parse_nodes
from ansible_collections.tripleo.cloud.plugins.module_utils._plan.plan import (
    Before,
    ImageRef,
    Planned,
    Wanted,
    disk_holds,
    make_plan,
)

WEB = """
heat_template_version: 2018-08-31
parameters:
  Password: {type: string, hidden: true, default: ""}
  Name: {type: string, default: web}
resources:
  Web:
    type: OS::Nova::Server
    properties: {name: {get_param: Name}, image: web, flavor: any, networks: [{network: ctlplane}]}
    metadata: {password: {get_param: Password}}
"""
POOL = {"start": "192.0.2.0", "end": "192.0.2.3"}


def network(**changes: Any) -> dict[str, Any]:
    return {"cidr": "192.0.2.0/24", "allocation_pools": [POOL], **changes}


def wanted(environment: str = "{}", template: str = WEB, **changes: Any) -> Wanted:
    base = Wanted(
        stack="cloud",
        template="web.yml",
        files={"web.yml": template, "env.yml": environment},
        environments=["env.yml"],
        parameters={},
        generate_hidden=True,
        flavors=parse_flavors({"any": {"vcpus": 1, "ram": 1, "disk": 1}}),
        networks=parse_networks({"ctlplane": network()}),
        hardware={"n1": {"macs": ["52:54:00:00:00:01"], "cpus": 1, "memory": 1, "disk": 1, "arch": "amd64"}},
        facts={},
        images={"web": ImageRef("web", "a" * 64, "b" * 64, "c" * 32)},
        key=b"k" * 32,
    )
    return replace(base, **changes)


def deployed(planned: Planned) -> Before:
    servers = planned.plan["servers"].items()
    return Before(
        plan=json.loads(json.dumps(planned.plan)),
        booted=frozenset(server["name"] for _path, server in servers),
        held={path: server["node"] for path, server in servers},
        addresses={(name, path): ip for name, ip, path in planned.addresses},
    )


@pytest.mark.parametrize("name", ["a b", "under_score", "-web", "web-", "web..x", "../../etc", "web\n", "w" * 64, "ä"])
def test_a_server_needs_a_host_name(name: str) -> None:
    with pytest.raises(TripleoError, match="is no host name"):
        make_plan(wanted(parameters={"Name": name}), Before())


@pytest.mark.parametrize("name", ["web", "Web-1", "1", "web.example.org", "w" * 63])
def test_host_names_are_taken(name: str) -> None:
    assert make_plan(wanted(parameters={"Name": name}), Before()).to_do == (name,)


def test_a_password_shapes_no_digest_without_a_key() -> None:
    first, second = (
        make_plan(wanted(f"parameters: {{Password: {word}}}", key=key), Before()).plan
        for word, key in (("guess-me-1", b"1"), ("guess-me-2", b"2"))
    )
    assert first["template_sha256"] == second["template_sha256"]
    assert first["hash"] != second["hash"]


def test_other_words_for_the_same_are_no_new_plan() -> None:
    first = make_plan(wanted(), Before())
    again = make_plan(wanted("# A comment.\n{}", WEB + "# Another one.\n"), deployed(first))
    assert not again.is_new and again.plan["hash"] == first.plan["hash"]


def test_a_deployed_server_does_not_get_another_address() -> None:
    first = make_plan(wanted(), Before())
    moved = {"cidr": "198.51.100.0/24", "allocation_pools": [{"start": "198.51.100.1", "end": "198.51.100.9"}]}
    changed = wanted(networks=parse_networks({"ctlplane": moved}))
    with pytest.raises(TripleoError, match=r"web: plan: is deployed with 192\.0\.2\.1 in ctlplane; .* 198\.51\.100\.1"):
        make_plan(changed, deployed(first))
    again = make_plan(changed, replace(deployed(first), booted=frozenset()))
    assert again.is_new and again.plan["servers"]["Web"]["networks"] == {"ctlplane": ["198.51.100.1"]}


def test_addresses_that_no_host_can_have_are_passed_over() -> None:
    networks = parse_networks({"ctlplane": network(gateway_ip="192.0.2.1")})
    allocator = Allocator(networks, {}, {("ctlplane", "192.0.2.2")})
    assert allocator.address("ctlplane", "A") == "192.0.2.3"
    with pytest.raises(PlanError, match="has no free address left for B"):
        allocator.address("ctlplane", "B")


@pytest.mark.parametrize(
    ("address", "problem"),
    [("198.51.100.1", "no address of 192.0.2.0/24"), ("nowhere", "no address of"), ("192.0.2.2", "which is in use")],
)
def test_a_fixed_address_must_be_free_and_of_the_network(address: str, problem: str) -> None:
    allocator = Allocator(parse_networks({"ctlplane": network()}), {}, {("ctlplane", "192.0.2.2")})
    with pytest.raises(PlanError, match=problem):
        allocator.address("ctlplane", "A", address)


@pytest.mark.parametrize(
    ("entry", "problem"),
    [
        (None, "is no mapping"),
        (network(pool=1), "unknown key pool"),
        ({"allocation_pools": [POOL]}, "has no cidr"),
        (network(cidr="192.0.2.1/24"), "has host bits set"),
        (network(gateway_ip="198.51.100.1"), "gateway_ip 198.51.100.1 is not in"),
        (network(allocation_pools=[]), "has no allocation_pools"),
        (network(allocation_pools=[{"start": "192.0.2.9", "end": "192.0.2.1"}]), "is no range of"),
        (network(allocation_pools=[{"start": "192.0.2.9"}]), "'end'"),
        (network(dns_nameservers=["dns.example.org"]), "does not appear to be an IP"),
    ],
)
def test_a_wrong_network_is_refused(entry: Any, problem: str) -> None:
    with pytest.raises(PlanError, match=problem) as raised:
        parse_networks({"ctlplane": entry})
    assert "network ctlplane" in str(raised.value)


@pytest.mark.parametrize(
    ("hints", "expected"),
    [
        ({"serial": "S1"}, "old"),
        ({"name": "/dev/vdb"}, "nothing"),
        ({"wwn": "0x5000ABC"}, "old"),
        ({"size": 8}, "old"),
        ({"model": "none"}, "0 of 2 disks match"),
        ({}, "2 of 2 disks match"),
    ],
)
def test_what_a_disk_holds_is_found_as_the_ramdisk_finds_the_disk(hints: dict[str, Any], expected: str) -> None:
    disks = [
        {"name": "vda", "serial": "S1", "wwn": "naa.5000abc", "model": "", "size": 8, "holds": "old"},
        {"name": "vdb", "serial": "S2", "wwn": "", "model": "", "size": 16, "holds": ""},
    ]
    assert disk_holds(hints, {"disks": disks}) == expected


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"macs": 5}, "macs must list at least one"),
        ({"name": "under_score"}, "name must be letters"),
        ({"root_device": {"serial": ["a"]}}, "root_device serial must be a text"),
        ({"root_device": {"size": "8 GB"}}, "root_device size must be a number of bytes"),
        ({"root_device": {1: "a", "x": "b"}}, "root_device has no hint '1'"),
    ],
)
def test_more_wrong_nodes_are_refused(changes: dict[str, Any], problem: str) -> None:
    bmc = {"address": "192.0.2.1", "username": "admin", "password": "topsecret"}
    entry = {"name": "n1", "bmc": bmc, "macs": ["52:54:00:00:00:01"], "cpus": 1, "memory": 1, "disk": 1}
    with pytest.raises(PlanError, match=problem):
        parse_nodes({"nodes": [{**entry, **changes}]})


def resource(kind: str, **properties: Any) -> str:
    """A template with one resource, written as JSON, which is YAML."""
    return json.dumps(
        {"heat_template_version": "2018-08-31", "resources": {"R": {"type": kind, "properties": properties}}}
    )


SERVER = {"image": "web", "flavor": "any", "networks": [{"network": "ctlplane"}]}


@pytest.mark.parametrize(
    ("template", "problem"),
    [
        (resource("OS::Nova::Server", **{**SERVER, "image": 5}), "needs 'image'"),
        (
            resource("OS::Nova::Server", **{**SERVER, "image": "gone"}),
            "no image 'gone' in the image store; there is web",
        ),
        (resource("OS::Nova::Server", **{**SERVER, "flavor": "big"}), "no flavor 'big'; there is any"),
        (resource("OS::Nova::Server", **{**SERVER, "networks": 5}), "needs at least one network"),
        (resource("OS::Nova::Server", **{**SERVER, "networks": ["ctlplane"]}), "each of a server's networks needs"),
        (
            resource("OS::Nova::Server", **{**SERVER, "networks": [{"network": "other"}]}),
            "wants network other; there is",
        ),
        (
            resource("OS::Nova::Server", **{**SERVER, "networks": [{"network": "a", "port": "b"}]}),
            "'port' of a server's",
        ),
        (resource("OS::Nova::Server", **{**SERVER, "networks": SERVER["networks"] * 2}), "in a network twice"),
        (resource("OS::Nova::Server", **SERVER, metadata=[1]), "metadata must be a map"),
        (resource("OS::Nova::Server", **SERVER, user_data="x"), "property 'user_data' of OS::Nova::Server is not supp"),
        (resource("OS::Neutron::Port"), "needs 'network'"),
        (resource("OS::Neutron::Port", network="other"), "wants network other"),
        (resource("OS::Neutron::Port", network="ctlplane", fixed_ips="192.0.2.1"), "must be a list with one entry"),
        (resource("OS::Neutron::Port", network="ctlplane", fixed_ips=[1]), "needs 'ip_address'"),
        (resource("OS::Neutron::Port", network="ctlplane", fixed_ips=[{"ip_address": "::1"}]), "no address of 192"),
        (resource("OS::Heat::RandomString", length=True), "length must be a number"),
        (resource("OS::Heat::RandomString", length="8"), "length must be a number"),
        (resource("OS::Heat::RandomString", sequence=["digits"]), "is not known"),
    ],
)
def test_what_the_driver_table_cannot_do_is_refused(template: str, problem: str) -> None:
    with pytest.raises(TripleoError, match=problem) as raised:
        make_plan(wanted(template=template), Before())
    assert "web.yml:" in str(raised.value)


def test_addresses_that_are_used_up_are_an_error_with_its_place() -> None:
    taken = frozenset(("ctlplane", f"192.0.2.{number}") for number in range(4))
    for template in (WEB, resource("OS::Neutron::Port", network="ctlplane")):
        with pytest.raises(TripleoError, match=r"web\.yml:\d+: \w+: network ctlplane has no free address left"):
            make_plan(wanted(template=template), Before(foreign_addresses=taken))


def constrained(name: str, default: str) -> str:
    parameter = {"type": "string", "default": default, "constraints": [{"custom_constraint": name}]}
    return json.dumps({"heat_template_version": "2018-08-31", "parameters": {"P": parameter}, "resources": {}})


@pytest.mark.parametrize(
    ("name", "value", "problem"),
    [
        ("glance.image", "gone", "there is no image 'gone' in the image store; there is web"),
        ("nova.flavor", "big", "there is no flavor 'big'; there is any"),
        ("neutron.network", "other", "there is no network 'other'; there is ctlplane"),
        ("cinder.volume", "v", "custom constraint 'cinder.volume' is not supported; there is glance.image"),
    ],
)
def test_custom_constraints_are_answered_from_the_deployment_cloud(name: str, value: str, problem: str) -> None:
    with pytest.raises(TripleoError, match=problem):
        make_plan(wanted(template=constrained(name, value)), Before())


@pytest.mark.parametrize(
    ("name", "value"), [("glance.image", "web"), ("nova.flavor", "any"), ("glance.image", "later")]
)
def test_a_constraint_that_holds_or_cannot_be_known_yet_is_passed(name: str, value: str) -> None:
    images = None if value == "later" else wanted().images
    assert make_plan(wanted(template=constrained(name, value), images=images), Before()).to_do == ()
