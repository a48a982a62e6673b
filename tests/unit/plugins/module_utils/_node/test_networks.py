# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documents of OpenStack and os-net-config as networkd's files: what they become, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.tripleo.cloud.plugins.module_utils._node import bonding, networkd, os_net_config
from ansible_collections.tripleo.cloud.plugins.module_utils._node.errors import NodeError
from ansible_collections.tripleo.cloud.plugins.module_utils._node.network import networkd_files, prefix_length
from ansible_collections.tripleo.cloud.plugins.module_utils._node.nics import Nic

NICS = [Nic("eth0", "52:54:00:00:00:01"), Nic("eth1", "52:54:00:00:00:02"), Nic("eth2", "52:54:00:00:00:03", False)]


def files(*objects: dict[str, Any], **document: Any) -> dict[str, str]:
    whole = {"network_config": list(objects), **document}
    return networkd.files(os_net_config.links(whole, NICS), "40-tripleo")


def interface(name: str = "eth0", **settings: Any) -> dict[str, Any]:
    return {"type": "interface", "name": name, **settings}


def address(*texts: str) -> list[dict[str, str]]:
    return [{"ip_netmask": text} for text in texts]


def test_an_interface_with_everything() -> None:
    found = files(
        interface(
            "nic1",
            mtu=9000,
            addresses=address("10.0.0.5/24", "fd00::5/64"),
            routes=[
                {"default": True, "next_hop": "10.0.0.1"},
                {"destination": "10.9.0.0/16", "nexthop": "10.0.0.2", "metric": 5, "table": "100"},
                {"default": "yes", "next_hop": "fe80::1"},
            ],
            dns_servers=["10.0.0.2"],
            domain=["example.org", "example.net"],
            onboot=True,
            nm_controlled=False,
        )
    )
    assert found == {
        "40-tripleo-eth0.network": """[Match]
Name=eth0

[Network]
DHCP=no
IPv6AcceptRA=no
DNS=10.0.0.2
Domains=example.org example.net

[Link]
MTUBytes=9000

[Address]
Address=10.0.0.5/24

[Address]
Address=fd00::5/64

[Route]
Destination=0.0.0.0/0
Gateway=10.0.0.1

[Route]
Destination=10.9.0.0/16
Gateway=10.0.0.2
Metric=5
Table=100

[Route]
Destination=::/0
Gateway=fe80::1
"""
    }


def test_a_bond_with_a_vlan_on_it() -> None:
    found = files(
        {
            "type": "linux_bond",
            "name": "bond1",
            "bonding_options": "mode=802.3ad lacp_rate=fast updelay=1000 miimon=50 xmit_hash_policy=layer3+4",
            "addresses": address("10.0.0.5/24"),
            "members": [
                interface("nic1"),
                interface("nic2", primary=True),
                {"type": "vlan", "vlan_id": 20, "mtu": 9000, "addresses": address("10.0.20.5/24")},
            ],
        }
    )
    assert found["40-tripleo-bond1.netdev"] == (
        "[NetDev]\nName=bond1\nKind=bond\nMACAddress=52:54:00:00:00:02\n\n[Bond]\nMode=802.3ad\nLACPTransmitRate=fast\n"
        "UpDelaySec=1000ms\nMIIMonitorSec=50ms\nTransmitHashPolicy=layer3+4\n"
    )
    assert found["40-tripleo-vlan20.netdev"] == "[NetDev]\nName=vlan20\nKind=vlan\n\n[VLAN]\nId=20\n"
    assert "VLAN=vlan20\n" in found["40-tripleo-bond1.network"] and "MTUBytes=9000" in found["40-tripleo-bond1.network"]
    assert "Bond=bond1\nPrimarySlave=yes\n" in found["40-tripleo-eth1.network"]
    assert "MTUBytes=9000" in found["40-tripleo-eth0.network"] and "Primary" not in found["40-tripleo-eth0.network"]


def test_a_bridge_over_a_bond_and_dhcp() -> None:
    bond = {"type": "linux_bond", "name": "bond0", "bonding_options": "mode=1 primary=eth1",
            "members": [interface("eth0"), interface("eth1")]}  # fmt: skip
    bridge = {
        "type": "linux_bridge",
        "name": "br-ex",
        "mtu": 1400,
        "use_dhcp": True,
        "defroute": False,
        "members": [bond],
    }
    found = files({**bridge, "members": [bond]}, interface("eth2", use_dhcp="true", use_dhcpv6=True))
    assert found["40-tripleo-br-ex.netdev"] == (
        "[NetDev]\nName=br-ex\nKind=bridge\nMACAddress=52:54:00:00:00:02\n\n[Bridge]\nSTP=no\n"
    )
    assert "DHCP=ipv4\nIPv6AcceptRA=no\n" in found["40-tripleo-br-ex.network"]
    assert "[DHCPv4]\nUseGateway=no" in found["40-tripleo-br-ex.network"]
    assert (
        "Bridge=br-ex\n" in found["40-tripleo-bond0.network"] and "MTUBytes=1400" in found["40-tripleo-bond0.network"]
    )
    assert "Mode=active-backup\nMIIMonitorSec=100ms\n" in found["40-tripleo-bond0.netdev"]
    assert "Bond=bond0\nPrimarySlave=yes" in found["40-tripleo-eth1.network"]
    assert "DHCP=yes\nIPv6AcceptRA=yes\n" in found["40-tripleo-eth2.network"]


def test_vlans_on_a_card_also_by_the_name_of_an_interface() -> None:
    found = files(
        interface("nic1"),
        {"type": "vlan", "device": "nic1", "vlan_id": 30, "addresses": address("10.0.30.5/24")},
        interface("nic1.40", addresses=address("10.0.40.5/24")),
    )
    assert "VLAN=vlan30\nVLAN=eth0.40\n" in found["40-tripleo-eth0.network"]
    assert "Name=eth0.40\nKind=vlan" in found["40-tripleo-eth0.40.netdev"]


def names(document: dict[str, Any], nics: list[Nic] | None = None, **kept: str) -> dict[str, str]:
    return os_net_config.aliases({"network_config": [], **document}, nics or NICS, kept)


def test_names_of_cards() -> None:
    assert names({}) == {"nic1": "eth0", "nic2": "eth1"}
    assert names({"interface_mapping": {"nic1": "52:54:00:00:00:02"}}) == {"nic1": "eth1"}
    assert names({"interface_mapping": {"storage": "eth2"}}) == {"storage": "eth2", "nic1": "eth0", "nic2": "eth1"}
    assert names({"network_config": [interface("nic9", nic_mapping={"nic9": "eth2"})]})["nic9"] == "eth2"
    # A card that comes first moves no other.
    more = [Nic("em1", "52:54:00:00:00:09"), *NICS]
    assert names({}, more) == {"nic1": "em1", "nic2": "eth0", "nic3": "eth1"}
    kept = {"nic1": NICS[0].mac, "nic2": NICS[1].mac, "nic7": "52:54:00:00:00:77"}
    assert names({}, more, **kept) == {"nic1": "eth0", "nic2": "eth1"}
    assert os_net_config.is_card_missing({"network_config": [interface("nic3")]}, NICS, {})
    assert not os_net_config.is_card_missing({"network_config": [interface("nic2"), interface("eth7")]}, NICS, {})


VLAN = {"type": "vlan", "device": "eth0", "vlan_id": 10}
FIVE = address("10.0.0.5/24")


def bond(options: str = "", **settings: Any) -> dict[str, Any]:
    return {"type": "linux_bond", "name": "bond0", "bonding_options": options, "members": [interface()], **settings}


def gateway(hop: str, **settings: Any) -> dict[str, Any]:
    return interface(addresses=FIVE, routes=[{"default": True, "next_hop": hop}], **settings)


REFUSED: list[tuple[list[Any], str]] = [
    ([], "at least one object"),
    (["eth0"], "type 'None'"),
    ([{"type": "ovs_bridge", "name": "br-ex"}], "type 'ovs_bridge' of br-ex is not supported .*; use linux_bridge"),
    ([{"type": "ovs_bond", "name": "b"}], "use linux_bond"),
    ([{"type": "sriov_pf", "name": "p"}], "type 'sriov_pf' of p"),
    ([{"type": "linux_bond", "name": "b", "members": [bond()]}], "member of a linux_bond"),
    ([interface(speed=1)], "eth0: interface has the unknown key speed"),
    ([interface(ethtool_opts="x")], "ethtool_opts is not supported"),
    ([interface(rules=[{"rule": "x"}])], "rules is not supported"),
    ([interface(persist_mapping=True)], "persist_mapping"),
    ([interface(onboot=False)], "leave the object out"),
    ([interface(use_dhcp="maybe")], "use_dhcp must be true or false"),
    ([interface(name="eth9")], "there is no network card of this name; there are eth0"),
    ([interface(name="nic4")], "nic4: there is no network card"),
    ([interface(mtu="big")], "mtu must be a number"),
    ([interface(mtu=40)], "mtu 40 is not from 68 to 65535"),
    ([interface(mtu=1000, addresses=address("fd00::1/64"))], "mtu 1000 is not from 1280"),
    ([interface(addresses="10.0.0.5/24")], "addresses must be a list"),
    ([interface(addresses=address("10.0.0.5"))], "has no prefix length"),
    ([interface(addresses=address("10.0.0.300/24"))], "is no address with a prefix length"),
    ([interface(addresses=address("10.0.0.5/33"))], "is no address with a prefix length"),
    ([interface(addresses=address("10.0.0.5/24\nX=1"))], "is no address with a prefix length"),
    ([interface(addresses=address("10.0.0.255/24"))], "no host can have"),
    ([interface(addresses=address("10.0.0.0/24"))], "no host can have"),
    ([interface(addresses=address("224.0.0.1/24"))], "no host can have"),
    ([interface(addresses=address("127.0.0.2/8"))], "no host can have"),
    ([interface(addresses=FIVE), interface("eth1", addresses=address("10.0.0.5/16"))], "10.0.0.5 is there twice"),
    ([interface(), interface()], "eth0 is there twice"),
    ([interface(), interface("nic1")], "eth0 is there twice"),
    ([gateway("10.0.1.1")], "its gateway 10.0.1.1 is in none of its subnets"),
    ([gateway("10.0.0.5")], "its gateway 10.0.0.5 is its own address"),
    ([gateway("fd00::1")], "its gateway fd00::1 is in none of its subnets"),
    ([gateway("x")], "does not appear to be an IPv4 or IPv6 address"),
    ([interface(routes=[{"next_hop": "10.0.0.1"}])], "has no destination"),
    ([interface(routes=[{"default": True}])], "has no next_hop"),
    ([interface(routes=[{"next_hop": "1.2.3.4", "nexthop": "1.2.3.4"}])], "both next_hop and nexthop"),
    ([interface(routes=[{"next_hop": "1.2.3.4", "ip_netmask": "10.0.0.0/8", "default": True}])], "goes to 10.0.0.0/8"),
    ([interface(routes=[{"next_hop": "1.2.3.4", "default": True, "route_options": "x"}])], "route_options"),
    ([interface(routes=[{"next_hop": "1.2.3.4", "default": True, "via": "x"}])], "unknown key via"),
    ([interface(routes=[{"next_hop": "1.2.3.4", "default": True, "metric": "x"}])], "metric 'x'"),
    (
        [interface(addresses=FIVE, routes=[{"next_hop": "10.0.0.1", "ip_netmask": "10.1.0.1/16"}])],
        "has host bits set",
    ),
    (
        [gateway("10.0.0.1"), {**gateway("10.0.2.1"), "name": "eth1", "addresses": address("10.0.2.5/24")}],
        "the route to 0.0.0.0/0 .* is there twice",
    ),
    ([interface(dns_servers=["ns1"])], "DNS server 'ns1'"),
    ([interface(domain="a b")], "'a b' is no domain"),
    ([VLAN], "'eth0' is no other link of the document"),
    ([{"type": "vlan", "vlan_id": 10}], "vlan10: device is missing"),
    ([interface(), {**VLAN, "vlan_id": 0}], "VLAN id 0 is not from 1 to 4094"),
    ([interface(), {**VLAN, "vlan_id": 4095}], "VLAN id 4095"),
    ([interface(), {**VLAN, "vlan_id": "10"}], "vlan_id must be a number"),
    ([interface(), VLAN, VLAN], "vlan10 is there twice"),
    ([interface(), VLAN, {**VLAN, "device": "vlan10", "vlan_id": 11}], "VLAN on the VLAN 'vlan10'"),
    ([interface(mtu=1500), {**VLAN, "mtu": 9000}], "its mtu 9000 is larger than the 1500 of eth0"),
    ([bond("mode=7")], "mode=7 is not one of balance-rr"),
    ([bond("mode")], "bonding option 'mode' is none"),
    ([bond("speed=1")], "bonding option 'speed' is not known"),
    ([bond("miimon=fast")], "not a number from 0"),
    ([bond("mode=1 lacp_rate=fast")], "needs mode 802.3ad"),
    ([bond("mode=1 arp_interval=100")], "needs arp_ip_target"),
    ([bond("mode=1 arp_interval=100 arp_ip_target=ten")], "'ten' is no IPv4 address"),
    ([bond("mode=4 primary=eth0")], "primary does not work with mode 802.3ad"),
    ([bond("mode=1 primary=eth1")], "its primary 'eth1' is no member"),
    ([bond(members=[])], "a bond needs a member"),
    ([bond(members=[interface(addresses=FIVE)])], "a member of bond0 can have no addresses"),
    ([bond(members=[interface(primary=True), interface("eth1", primary=True)])], "two members are primary"),
    ([bond(mtu=9000, members=[interface(mtu=1500)])], "its mtu 1500 is not the 9000 of bond0"),
    ([bond(), {**bond(), "name": "bond9"}], "eth0 is there twice"),
    ([bond(name="a-name-that-is-too-long")], "is no name for an interface"),
    ([bond(name="../x")], "is no name for an interface"),
    ([bond(name="a\nKind=tun")], "is no name for an interface"),
]  # fmt: skip


@pytest.mark.parametrize(("objects", "message"), REFUSED)
def test_documents_that_are_refused(objects: list[Any], message: str) -> None:
    with pytest.raises(NodeError, match=message) as caught:
        files(*objects)
    assert str(caught.value).startswith("os_net_config: ")


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ([], "must be a mapping"),
        ({"network_config": {}}, "network_config must be a list"),
        ({"network_config": [interface()], "other": 1}, "unknown key other"),
        ({"network_config": [interface()], "proof_seconds": 0}, "proof_seconds"),
        ({"network_config": [interface()], "interface_mapping": {"nic1": "eth9"}}, "no network card here"),
        ({"network_config": [interface()], "interface_mapping": {"a": "eth1", "b": "eth1"}}, "eth1 is mapped twice"),
        ({"network_config": [interface()], "interface_mapping": {"eth1": "eth0"}}, "itself an active network card"),
        ({"network_config": [interface(nic_mapping=[1])]}, "nic_mapping must be a mapping"),
    ],
)
def test_whole_documents_that_are_refused(document: Any, message: str) -> None:
    with pytest.raises(NodeError, match=message):
        os_net_config.links(document, NICS)


def test_a_bond_and_a_vlan_of_a_config_drive() -> None:
    found = networkd_files(
        {
            "links": [
                {"id": "a", "type": "phy", "ethernet_mac_address": "52:54:00:00:00:01"},
                {"id": "b", "type": "phy", "ethernet_mac_address": "52:54:00:00:00:02"},
                {
                    "id": "0f5ad6d4-8a2b-4a4e-b8f2-2a3a2b6f2a1d",
                    "type": "bond",
                    "bond_links": ["a", "b"],
                    "bond_mode": "802.3ad",
                    "bond_miimon": 200,
                    "bond_hash_policy": "layer2+3",
                    "ethernet_mac_address": "52:54:00:00:00:01",
                },
                {
                    "id": "v",
                    "type": "vlan",
                    "vlan_id": 101,
                    "vlan_link": "0f5ad6d4-8a2b-4a4e-b8f2-2a3a2b6f2a1d",
                    "vlan_mac_address": "52:54:00:00:00:09",
                },
            ],
            "networks": [
                {"id": "n", "link": "v", "type": "ipv6", "ip_address": "fd00::5", "netmask": "ffff:ffff:ffff:ffff::"}
            ],
        }
    )
    assert sorted(found) == [
        "50-tripleo-525400000001.network", "50-tripleo-525400000002.network", "50-tripleo-bond0.netdev",
        "50-tripleo-bond0.network", "50-tripleo-vlan101.netdev", "50-tripleo-vlan101.network",
    ]  # fmt: skip
    assert found["50-tripleo-525400000002.network"] == (
        "[Match]\nPermanentMACAddress=52:54:00:00:00:02\nType=ether\n\n[Network]\nDHCP=no\nBond=bond0\n"
    )
    assert "Mode=802.3ad\nMIIMonitorSec=200ms\nTransmitHashPolicy=layer2+3\n" in found["50-tripleo-bond0.netdev"]
    assert "VLAN=vlan101" in found["50-tripleo-bond0.network"]
    assert "MACAddress=52:54:00:00:00:09\n\n[VLAN]\nId=101\n" in found["50-tripleo-vlan101.netdev"]
    assert "Address=fd00::5/64" in found["50-tripleo-vlan101.network"]


@pytest.mark.parametrize("netmask", ["255.0.255.0", "ffff:0:ffff::", "x", "255.255.255", ""])
def test_netmasks_that_are_none(netmask: str) -> None:
    with pytest.raises(NodeError, match="netmask"):
        prefix_length({"netmask": netmask})


def test_bonding_options_have_one_value_each() -> None:
    assert bonding.networkd_options({})[0] == (("Mode", "balance-rr"), ("MIIMonitorSec", "100ms"))
    assert bonding.parse("mode=4  miimon=1") == {"mode": "4", "miimon": "1"}
    with pytest.raises(NodeError, match="there twice"):
        bonding.parse("mode=1 mode=4")


def test_what_a_change_of_files_asks_of_networkd() -> None:
    card, bond_file, netdev = "[Match]\nName=eth0\nBond=b\n", "[Match]\nName=b\n", "[NetDev]\nName=b\nMode=1\n"
    whole = {"e.network": card, "b.network": bond_file, "b.netdev": netdev}
    nothing: dict[str, str | None] = dict.fromkeys(whole)
    assert networkd.effects(whole, whole) == ([], [])
    assert networkd.effects(nothing, whole) == ([], ["eth0", "b"])
    assert networkd.effects(whole, nothing) == (["b"], ["eth0", "b"])
    # A VLAN goes with what it is on, and before it.
    vlan = {"v.netdev": "[NetDev]\nName=v\n", "v.network": "[Match]\nName=v\n", "b.network": f"{bond_file}VLAN=v\n"}
    stacked = {**whole, **vlan}
    assert networkd.effects(stacked, {**stacked, "b.netdev": "[NetDev]\nName=b\n"}) == (["v", "b"], ["eth0", "b"])
    # The member's file is as it was, but its bond is made anew.
    assert networkd.effects(whole, {**whole, "b.netdev": netdev.replace("1", "4")}) == (["b"], ["eth0"])
