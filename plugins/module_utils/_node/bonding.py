# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The bonding driver's options as systemd-networkd's. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from .errors import NodeError

MODES = ("balance-rr", "active-backup", "balance-xor", "broadcast", "802.3ad", "balance-tlb", "balance-alb")
_CHOICES = {
    "mode": ("Mode", MODES),
    "lacp_rate": ("LACPTransmitRate", ("slow", "fast")),
    "xmit_hash_policy": (
        "TransmitHashPolicy",
        ("layer2", "layer3+4", "layer2+3", "encap2+3", "encap3+4", "vlan+srcmac"),
    ),
    "arp_validate": ("ARPValidate", ("none", "active", "backup", "all")),
    "arp_all_targets": ("ARPAllTargets", ("any", "all")),
    "primary_reselect": ("PrimaryReselectPolicy", ("always", "better", "failure")),
    "fail_over_mac": ("FailOverMACPolicy", ("none", "active", "follow")),
    "ad_select": ("AdSelect", ("stable", "bandwidth", "count")),
    "all_slaves_active": ("AllSlavesActive", ("no", "yes")),
    "tlb_dynamic_lb": ("DynamicTransmitLoadBalancing", ("no", "yes")),
}
# networkd's name, its unit, the largest value.
_NUMBERS = {
    "miimon": ("MIIMonitorSec", "ms", 600000),
    "updelay": ("UpDelaySec", "ms", 600000),
    "downdelay": ("DownDelaySec", "ms", 600000),
    "arp_interval": ("ARPIntervalSec", "ms", 600000),
    "lp_interval": ("LearnPacketIntervalSec", "s", 0x7FFFFFFF),
    "min_links": ("MinLinks", "", 1024),
    "num_grat_arp": ("GratuitousARP", "", 255),
    "num_unsol_na": ("GratuitousARP", "", 255),
    "resend_igmp": ("ResendIGMP", "", 255),
    "packets_per_slave": ("PacketsPerSlave", "", 65535),
}
_LACP_ONLY = ("lacp_rate", "ad_select")


def parse(text: str) -> dict[str, str]:
    """``mode=active-backup miimon=100`` as a dictionary. Raises NodeError."""
    found: dict[str, str] = {}
    for word in text.split():
        name, equals, value = word.partition("=")
        if not equals or not name or not value or name in found:
            raise NodeError(f"bonding option '{word}' is none, or there twice")
        found[name] = value
    return found


def networkd_options(given: Mapping[str, str]) -> tuple[tuple[tuple[str, str], ...], str]:
    """Lines of networkd's section ``[Bond]``, mode first, and the member that is primary. Raises NodeError."""
    options: dict[str, str] = {}
    values = {"mode": "balance-rr", **given}
    primary = values.pop("primary", "")
    targets = values.pop("arp_ip_target", "")
    mode = _choice("mode", values["mode"])
    for name, value in values.items():
        if name in _CHOICES:
            options[_CHOICES[name][0]] = _choice(name, value)
        elif name in _NUMBERS:
            key, unit, largest = _NUMBERS[name]
            if not value.isdigit() or int(value) > largest:
                raise NodeError(f"bonding option {name}={value} is not a number from 0 to {largest}")
            options[key] = f"{int(value)}{unit}"
        else:
            raise NodeError(f"bonding option '{name}' is not known")
        if name in _LACP_ONLY and mode != "802.3ad":
            raise NodeError(f"bonding option {name} needs mode 802.3ad, not {mode}")
    if targets:
        options["ARPIPTargets"] = " ".join(_target(target) for target in targets.split(","))
    if "arp_interval" in values and int(values["arp_interval"]):
        if not targets:
            raise NodeError("bonding option arp_interval needs arp_ip_target")
        if mode in ("802.3ad", "balance-tlb", "balance-alb"):
            raise NodeError(f"bonding option arp_interval does not work with mode {mode}")
    elif "miimon" not in values:
        # The driver's own default is not to watch the cards at all.
        options["MIIMonitorSec"] = "100ms"
    if primary and mode not in ("active-backup", "balance-tlb", "balance-alb"):
        raise NodeError(f"bonding option primary does not work with mode {mode}")
    return tuple(options.items()), primary


def _choice(name: str, value: str) -> str:
    choices = _CHOICES[name][1]
    if value.isdigit() and int(value) < len(choices):
        return choices[int(value)]
    if value not in choices:
        raise NodeError(f"bonding option {name}={value} is not one of {', '.join(choices)}")
    return value


def _target(text: str) -> str:
    octets = text.split(".")
    if len(octets) != 4 or any(not octet.isdigit() or int(octet) > 255 for octet in octets):
        raise NodeError(f"bonding option arp_ip_target: '{text}' is no IPv4 address")
    return text
