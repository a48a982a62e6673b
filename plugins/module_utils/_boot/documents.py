# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""deploy.json, which the deploy ramdisk reads, and the config-2 documents in it, in Ironic's and Nova's format."""

from __future__ import annotations

import uuid
from typing import Any

from .model import BootServer, NodeNetwork, ServerBoot

RETRY_SECONDS = 900
NAMESPACE = uuid.UUID("1d6f1f8a-5a39-5cf3-9d5e-7f1f3d0a2b64")
DEFAULT_ROUTE = {4: ("0.0.0.0", "0.0.0.0"), 6: ("::", "::")}


def deploy_document(server: ServerBoot, boot: BootServer) -> dict[str, Any]:
    """Content of deploy.json: what to write where, how to report, and the documents of the config drive."""
    document: dict[str, Any] = {
        "schema": 1,
        "plan": server.plan,
        "server": server.server,
        "node": server.node,
        "token": server.token,
        "disk": {"hints": dict(server.hints)},
        "manifest_sha256": server.manifest_sha256,
        "retry_seconds": RETRY_SECONDS,
        "config_drive": config_drive(server, boot),
    }
    if server.root_partition:
        document["root_partition"] = server.root_partition
    return document


def config_drive(server: ServerBoot, boot: BootServer) -> dict[str, dict[str, Any]]:
    """Documents of the config-2 partition by their path. No password is in them."""
    return {
        "openstack/latest/meta_data.json": meta_data(server, boot),
        "openstack/latest/network_data.json": network_data(server.mac, server.networks),
        "ec2/latest/meta-data.json": ec2_meta_data(server),
    }


def instance_id(server: ServerBoot) -> str:
    """A UUID that is the same in every run of one plan, and another one after the server was made anew."""
    return str(uuid.uuid5(NAMESPACE, f"{server.stack}/{server.server}/{server.plan}"))


def meta_data(server: ServerBoot, boot: BootServer) -> dict[str, Any]:
    """openstack/latest/meta_data.json."""
    return {
        "uuid": instance_id(server),
        "name": server.server,
        "hostname": server.server,
        "public_keys": {"tripleo": server.public_key},
        "meta": {
            "tripleo_report_url": boot.url(server.path, "report/"),
            "tripleo_token": server.token,
            "tripleo_plan": server.plan,
            "tripleo_server": server.server,
        },
    }


def network_data(mac: str, networks: tuple[NodeNetwork, ...]) -> dict[str, Any]:
    """openstack/latest/network_data.json: one physical link with static addresses."""
    services: list[str] = []
    for network in networks:
        services += [address for address in network.dns if address not in services]
    return {
        "links": [{"id": "link0", "type": "phy", "ethernet_mac_address": mac}],
        "networks": [_network(number, network) for number, network in enumerate(networks)],
        "services": [{"type": "dns", "address": address} for address in services],
    }


def _network(number: int, network: NodeNetwork) -> dict[str, Any]:
    interface = network.interface
    route, netmask = DEFAULT_ROUTE[interface.version]
    routes = [{"network": route, "netmask": netmask, "gateway": network.gateway}] if network.gateway else []
    return {
        "id": f"network{number}",
        "network_id": network.name,
        "type": f"ipv{interface.version}",
        "link": "link0",
        "ip_address": str(interface.ip),
        "netmask": str(interface.netmask),
        "routes": routes,
    }


def ec2_meta_data(server: ServerBoot) -> dict[str, Any]:
    """ec2/latest/meta-data.json, which os-collect-config's ec2 collector reads."""
    identity = instance_id(server)
    document: dict[str, Any] = {
        "instance-id": identity,
        "hostname": server.server,
        "local-hostname": server.server,
        "public-keys": {"0": {"_name": "0=tripleo", "openssh-key": server.public_key}},
    }
    if server.provisioning.interface.version == 4:
        document["local-ipv4"] = str(server.provisioning.interface.ip)
    return document
