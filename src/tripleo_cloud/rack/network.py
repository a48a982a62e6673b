# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Makes and removes a rack's network: a bridge in a namespace of its own, tied to the host by one veth pair.

Every frame that leaves the bridge for the host passes an allow list in the rack's namespace: only what is meant for
the host's own address on this link goes through. So nothing can be forwarded, and the host's other addresses stay out
of reach, whatever the host's own firewall and forwarding settings are. The BMCs answer the host only, no machine.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

from tripleo_cloud.rack.addresses import RackNetwork
from tripleo_cloud.rack.errors import RackError

BRIDGE = "rack"
UPLINK = "uplink"
_NAMESPACES = Path("/run/netns")


def tap(machine: int, card: int) -> str:
    """Name of the tap device of a machine's network card, both counted from 0."""
    return f"m{machine}n{card}"


def run(*argv: str, text: str | None = None, fail: bool = True) -> str:
    """Run a command and return its output; raises RackError with its complaint."""
    done = subprocess.run(argv, input=text, capture_output=True, text=True, check=False)
    if done.returncode and fail:
        raise RackError(f"{' '.join(argv)}: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout


def exists(name: str) -> bool:
    """Is there a namespace of this name?"""
    return (_NAMESPACES / name).exists()


def inside(namespace: str | None, *argv: str) -> list[str]:
    """The argument vector that runs argv in a namespace; None is the host's own."""
    return [*(["ip", "netns", "exec", namespace] if namespace else []), *argv]


@contextlib.contextmanager
def host_lock() -> Iterator[None]:
    """One rack at a time chooses its addresses. Nothing is written: the lock is on the directory itself."""
    import fcntl

    handle = os.open("/run", os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def create(network: RackNetwork, taps: Sequence[str], bmc_addresses: Sequence[str]) -> None:
    """Make the namespace, the bridge with its taps and BMC addresses, and the veth pair. Raises RackError."""
    name = network.namespace
    length = network.subnet.prefixlen
    run("ip", "netns", "add", name)
    # The nodes' IPv6 packets cross the bridge; the namespace itself has no part in it.
    settings = ["net.ipv4.ip_forward=0", "net.ipv6.conf.all.forwarding=0", "net.ipv6.conf.default.disable_ipv6=1"]
    run(*inside(name, "sysctl", "-q", "-w", *settings))
    batch = [
        "link set lo up",
        f"link add {BRIDGE} address {_bridge_mac(network)} type bridge stp_state 0 forward_delay 0 mcast_snooping 0",
        f"link add {UPLINK} type veth peer name {network.interface}",
        f"link set {UPLINK} master {BRIDGE} up",
        *(f"address add {address}/{length} dev {BRIDGE}" for address in bmc_addresses),
    ]
    for device in taps:
        batch += [f"tuntap add {device} mode tap", f"link set {device} master {BRIDGE} up"]
    batch.append(f"link set {BRIDGE} up")
    run("ip", "-n", name, "-batch", "-", text="\n".join(batch) + "\n")
    # Filtered before the host can be reached at all.
    run(*inside(name, "nft", "-f", "-"), text=rules(network))
    run("ip", "-n", name, "link", "set", network.interface, "netns", _own_namespace())
    configure_host_end(network)


def rules(network: RackNetwork) -> str:
    """The allow list of what may leave the bridge for the host, in nft's language."""
    broadcast = network.subnet.broadcast_address
    return f"""table bridge rack {{
  chain uplink_out {{
    type filter hook postrouting priority 0; policy accept;
    oifname != "{UPLINK}" accept
    ether type arp arp daddr ip {network.cidr} accept
    ip saddr {{ 0.0.0.0, {network.cidr} }} \
ip daddr {{ {network.host_address}, {broadcast}, 255.255.255.255, 224.0.0.0/4 }} accept
    ip6 daddr {{ fe80::/10, ff00::/8, {network.host_address6} }} accept
    counter drop
  }}
  chain bmcs_in {{
    type filter hook input priority 0; policy drop;
    iifname "{UPLINK}" accept
  }}
}}
"""


def configure_host_end(network: RackNetwork, namespace: str | None = None) -> bool:
    """Give the host's end of the pair its addresses, in the namespace where it is; False when all was there."""
    device = network.interface
    found = run(*inside(namespace, "ip", "address", "show", "dev", device))
    wanted = (f" {network.host_address}/", f" {network.host_address6}/")
    if all(address in found for address in wanted) and "state UP" in found:
        return False
    # First no forwarding, then addresses.
    settings = [f"net.ipv4.conf.{device}.forwarding=0", f"net.ipv6.conf.{device}.forwarding=0"]
    settings += [f"net.ipv6.conf.{device}.accept_ra=0", f"net.ipv4.conf.{device}.accept_redirects=0"]
    run(*inside(namespace, "sysctl", "-q", "-w", *settings))
    batch = (
        f"address replace {network.host_address}/{network.subnet.prefixlen} dev {device}\n"
        f"address replace {network.host_address6}/64 dev {device} nodad\n"
        f"link set {device} up\n"
    )
    run(*inside(namespace, "ip", "-batch", "-"), text=batch)
    return True


def move_host_end(network: RackNetwork, source: str | None, target: str | None) -> None:
    """Put the host's end of the pair into another namespace; None is the host's own. Raises RackError."""
    run(*inside(source, "ip", "link", "set", network.interface, "netns", target or _own_namespace()))
    configure_host_end(network, target)


def host_end_present(network: RackNetwork, namespace: str | None = None) -> bool:
    """Is the host's end of the pair there?"""
    argv = inside(namespace, "ip", "link", "show", "dev", network.interface)
    return subprocess.run(argv, capture_output=True, check=False).returncode == 0


def pids(namespace: str) -> list[int]:
    """Processes in a namespace, as the host sees them."""
    return [int(word) for word in run("ip", "netns", "pids", namespace, fail=False).split()]


def remove(name: str) -> None:
    """Remove a rack's namespace with all that is in it, and so the veth pair, wherever its other end is."""
    # Deleting a namespace takes its devices away some time later; deleting the device does it now.
    run("ip", "-n", name, "link", "delete", UPLINK, fail=False)
    run("ip", "netns", "delete", name, fail=False)


def _bridge_mac(network: RackNetwork) -> str:
    """Without an address of its own a bridge takes that of its ports, and changes it as they come and go."""
    digits = network.interface[-6:]
    return f"56:54:00:{digits[:2]}:{digits[2:4]}:{digits[4:]}"


def _own_namespace() -> str:
    return str(os.getpid())
