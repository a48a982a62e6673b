# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Make the servers of a plan boot from the network: images proven, files laid out, boot device set."""

from __future__ import annotations

import dataclasses
import ipaddress
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Callable, Union

from .._bmc.errors import BmcError
from .._bmc.fanout import drive
from .._bmc.model import Access, BootOverride, Device
from .._bmc.operations import BootReport, change_boot
from .._boot import dnsmasq, paths
from .._boot.model import BootServer, NodeNetwork, ServerBoot
from .._image.store import ImageStore, StoredImage
from .._run import serve
from .._state.store import write_durably
from .errors import ProvisionError
from .layout import Laid, boot_files, disk_files, lay_out, planned_image, proven, switched
from .targets import Target

Outcome = Union[BootReport, BmcError]


@dataclass(frozen=True)
class Request:
    """What a run asks for.

    ramdisk: name of the deploy ramdisk in the store. arguments: extra kernel arguments.
    timeout: seconds for each BMC. uefi: nodes that boot by UEFI. alive: raises when no further node may be touched.
    """

    state_dir: str
    boot: BootServer
    ramdisk: str
    arguments: tuple[str, ...]
    timeout: float
    check: bool
    locks: str
    uefi: frozenset[str] = frozenset()
    alive: Callable[[], None] = lambda: None

    def folder(self, place: str) -> str:
        """The folder that a node fetches from."""
        return serve.folder(self.state_dir, place)


def set_boot_device(
    request_name: str, accesses: Sequence[Access], wanted: Mapping[str, BootOverride], *, timeout: float, check: bool,
    locks: str, alive: Callable[[], None] = lambda: None,
) -> dict[str, Outcome]:  # fmt: skip
    """Set and read back the boot device of each node."""
    outcomes: dict[str, Outcome] = {}
    for override in sorted(set(wanted.values()), key=str):
        outcomes.update(
            drive(
                [access for access in accesses if wanted[access.node] == override],
                change_boot(override, check=check),
                name=request_name,
                locks=locks,
                timeout=timeout,
                alive=alive,
            )
        )
    return outcomes


def server_boot(
    plan: Mapping[str, Any], target: Target, key: bytes, public_key: str, boot: BootServer, root_partition: int = 0
) -> ServerBoot:
    """The checked values of one server, out of the plan's words on it."""
    entry = target.entry
    return ServerBoot(
        stack=str(plan["stack"]),
        plan=str(plan["hash"]),
        server=target.server,
        node=target.node,
        mac=str(entry["mac"]).lower(),
        path=paths.node_path(key, target.node, plan["hash"]),
        token=paths.node_token(key, target.node, plan["hash"]),
        build_id=str(entry["build_id"]),
        manifest_sha256=str(entry["manifest_sha256"]),
        public_key=public_key,
        networks=networks_of(plan, target, boot),
        hints=tuple(sorted((entry.get("disk") or {}).get("hints", {}).items())),
        root_partition=root_partition,
    )


def networks_of(plan: Mapping[str, Any], target: Target, boot: BootServer) -> tuple[NodeNetwork, ...]:
    """The server's addresses, that on the boot server's network first."""
    found = []
    for name, addresses in target.entry["networks"].items():
        network = plan["networks"].get(name)
        if network is None:
            raise ProvisionError(f"the plan has no network {name}", node=target.node, operation="boot documents")
        found += [
            NodeNetwork(
                name=name,
                address=str(address),
                cidr=str(network["cidr"]),
                gateway=str(network.get("gateway_ip") or ""),
                dns=tuple(str(server) for server in network.get("dns_nameservers") or ()),
            )
            for address in addresses
        ]
    address = ipaddress.ip_address(boot.address)
    found.sort(key=lambda network: address not in network.interface.network)
    if not found or address not in found[0].interface.network:
        raise ProvisionError(
            f"{target.server} has no address on the provisioning network, where {address} serves its boot files",
            node=target.node,
            operation="boot documents",
            next_step="Give the server a port on that network in the template, or correct tripleo_networks.",
        )
    return tuple(found)


def boot_servers(
    request: Request,
    plan: Mapping[str, Any],
    everyone: Sequence[Target],
    chosen: Sequence[Target],
    accesses: Sequence[Access],
    key: bytes,
    public_key: str,
) -> dict[str, Any]:
    """Lay out the files of the chosen servers that have not booted, and boot those without an image by network.

    everyone: all servers of the plan, for the run file. Images are proven before anything is laid out.
    """
    due = [target for target in chosen if not target.booted]
    to_write = [target for target in due if not target.written and not switched(_folder(request, key, target, plan))]
    images: dict[str, StoredImage] = {}
    ramdisk: StoredImage | None = None
    if to_write:
        store = ImageStore(request.state_dir)
        ramdisk = _ramdisk(store, request.ramdisk)
        for target in to_write:
            build = str(target.entry["build_id"])
            if build not in images:
                images[build] = proven(store, planned_image(store, target.entry))

    laid: dict[str, Laid] = {}
    booting: dict[str, ServerBoot] = {}
    for target in due:
        request.alive()
        image = images.get(str(target.entry["build_id"]))
        partition = int(image.manifest.get("root_partition") or 0) if image else 0
        server = server_boot(plan, target, key, public_key, request.boot, partition)
        booting[target.server] = server
        if target in to_write and image is not None and ramdisk is not None:
            files = boot_files(server, request.boot, image, ramdisk, list(request.arguments))
        else:
            files = disk_files()
        laid[target.server] = lay_out(request.folder(server.place), files, stage=target.stage, check=request.check)

    run_changed = _write_run_file(request, plan, everyone, booting, key, public_key) if due else False
    wanted = {target.node: BootOverride(Device.NETWORK, uefi=target.node in request.uefi) for target in to_write}
    outcomes = set_boot_device(
        "boot device network",
        [access for access in accesses if access.node in wanted],
        wanted,
        timeout=request.timeout,
        check=request.check,
        locks=request.locks,
        alive=request.alive,
    )
    return summary(due, laid, outcomes, len(chosen), run_changed)


def _folder(request: Request, key: bytes, target: Target, plan: Mapping[str, Any]) -> str:
    address = str(networks_of(plan, target, request.boot)[0].interface.ip)
    return request.folder(paths.node_place(address, paths.node_path(key, target.node, plan["hash"])))


def _ramdisk(store: ImageStore, name: str) -> StoredImage:
    image = store.get(name)
    if image is None or image.kind != "ramdisk":
        raise ProvisionError(
            "the image store has no such deploy ramdisk",
            operation=f"image {name}",
            next_step="Run the playbook tripleo.cloud.prepare.",
        )
    return proven(store, image)


def _write_run_file(
    request: Request,
    plan: Mapping[str, Any],
    everyone: Sequence[Target],
    booting: Mapping[str, ServerBoot],
    key: bytes,
    public_key: str,
) -> bool:
    """run/<stack>.boot.json of all servers that are laid out and have not booted; whether it changed."""
    entries = []
    for target in everyone:
        server = booting.get(target.server)
        if server is None:
            if target.booted or not os.path.isdir(_folder(request, key, target, plan)):
                continue
            server = server_boot(plan, target, key, public_key, request.boot)
        gone_on = target.written or switched(request.folder(server.place))
        entries.append(dataclasses.replace(dnsmasq.entry(server), switched=gone_on))
    document = dnsmasq.run_file(plan["hash"], entries)
    path = os.path.join(request.state_dir, "run", f"{plan['stack']}.boot.json")
    try:
        with open(path, encoding="utf-8") as stream:
            if json.load(stream) == document:
                return False
    except (FileNotFoundError, ValueError):
        pass
    if not request.check:
        write_durably(path, json.dumps(document, sort_keys=True, indent=1))
    return True


def summary(
    due: Sequence[Target], laid: Mapping[str, Laid], outcomes: Mapping[str, Outcome], total: int, run_changed: bool
) -> dict[str, Any]:
    """The result of the module for servers of a plan."""
    before, after, changed = [], [], []
    for target in due:
        files, boot = laid[target.server], outcomes.get(target.node)
        boot_changed = isinstance(boot, BootReport) and boot.changed
        if not files.changed and not boot_changed:
            continue
        changed.append(target.node)
        name = f"{target.node} ({target.server})"
        if files.changed:
            before.append(f"{name}: boot files {'none' if files is Laid.MADE else 'of an earlier run'}\n")
            after.append(f"{name}: boot files of {target.entry['image']} {target.entry['build_id'][:12]}\n")
        if isinstance(boot, BootReport) and boot.changed:
            before.append(f"{name}: boot device {boot.before}\n")
            after.append(f"{name}: boot device {boot.after}\n")
    return {
        "changed": bool(changed) or run_changed,
        "total": total,
        "changed_nodes": sorted(changed),
        "failed_nodes": [outcome.as_failure() for outcome in outcomes.values() if isinstance(outcome, BmcError)],
        "servers": {target.server: laid[target.server].value for target in due},
        "boot": boot_result(outcomes),
        "diff": {"before": "".join(before), "after": "".join(after)},
    }


def node_summary(outcomes: Mapping[str, Outcome]) -> dict[str, Any]:
    """The result of the module for nodes given inline."""
    changed = {node: one for node, one in outcomes.items() if isinstance(one, BootReport) and one.changed}
    return {
        "changed": bool(changed),
        "total": len(outcomes),
        "changed_nodes": sorted(changed),
        "failed_nodes": [outcome.as_failure() for outcome in outcomes.values() if isinstance(outcome, BmcError)],
        "servers": {},
        "boot": boot_result(outcomes),
        "diff": {
            "before": "".join(f"{node}: boot device {one.before}\n" for node, one in sorted(changed.items())),
            "after": "".join(f"{node}: boot device {one.after}\n" for node, one in sorted(changed.items())),
        },
    }


def boot_result(outcomes: Mapping[str, Outcome]) -> dict[str, Any]:
    """Boot device of each node before and after."""
    return {
        node: {"before": str(outcome.before), "after": str(outcome.after)}
        for node, outcome in outcomes.items()
        if isinstance(outcome, BootReport)
    }
