# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the deploy ramdisk does: fetch its orders, write and prove the image, report, restart."""

from __future__ import annotations

import ctypes
import hashlib
import json
import os
import re
import tempfile
import time
from typing import Any, Callable

from . import config_drive, disks
from .device import Device
from .errors import DeployError
from .frames import Codec
from .manifest import Chunk, parse
from .server import Reporter, Server, Ticker
from .writer import finish_disk, needed_bytes, write_image

RESTART, POWER_OFF = 0x01234567, 0x4321FEDC
_ORDERS_SECONDS = 900
_TICK_SECONDS = 2
_SCHEMA = 1
_ORDERS: dict[str, Any] = {
    "token": str,
    "plan": str,
    "server": str,
    "disk": dict,
    "manifest_sha256": str,
    "retry_seconds": (int, float),
    "config_drive": dict,
}
_URL = re.compile(r"(?:^|\s)tripleo\.url=(\S+)")

Say = Callable[[str], None]


def main(say: Say, cmdline: str = "/proc/cmdline") -> int:
    """Deploy this machine; the reboot command with which it shall end. say: prints a line on the console."""
    with open(cmdline) as stream:
        found = _URL.search(stream.read())
    if not found:
        say("the kernel arguments have no tripleo.url")
        return POWER_OFF
    url = found.group(1)
    try:
        server = Server(url, _ORDERS_SECONDS)
        orders = _read_orders(server.get("deploy.json"))
        server.retry_seconds = float(orders["retry_seconds"])
    except DeployError as error:
        say(f"there are no orders: {error}")
        return POWER_OFF
    with open("/proc/sys/kernel/random/boot_id") as stream:
        boot_id = stream.read().strip()
    common = {key: orders[key] for key in ("token", "plan", "server")}
    reporter = Reporter(server, Server(url, _TICK_SECONDS), {**common, "boot_id": boot_id})
    say(f"server {orders['server']}, plan {orders['plan'][:12]}")
    try:
        deploy(server, reporter, orders, say)
    except Exception as error:  # whatever it is, the Deployment cloud learns of it
        cause = str(error) if isinstance(error, DeployError) else f"{type(error).__name__}: {error}"
        say(f"FAILED: {cause}")
        try:
            reporter.send("failed", cause=cause)
        except DeployError as lost:
            say(str(lost))
        return POWER_OFF
    return RESTART


def _read_orders(content: bytes) -> dict[str, Any]:
    """deploy.json; DeployError when it is not what this program understands."""
    try:
        orders = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise DeployError(f"deploy.json is no JSON: {error}") from error
    if not isinstance(orders, dict) or orders.get("schema") != _SCHEMA:
        raise DeployError(f"deploy.json is not of schema {_SCHEMA}")
    for key, kinds in _ORDERS.items():
        if not isinstance(orders.get(key), kinds):
            raise DeployError(f"deploy.json has no valid {key}")
    if not isinstance(orders["disk"].get("hints"), dict):
        raise DeployError("deploy.json has no valid disk")
    return orders


def deploy(server: Server, reporter: Reporter, orders: dict[str, Any], say: Say) -> None:
    """Carry the orders out. Nothing is written before disk and manifest are certain."""
    found = disks.find_settled()
    reporter.send("ramdisk", disks=[disk.as_report() for disk in found])
    content = server.get("manifest.json")
    if hashlib.sha256(content).hexdigest() != orders["manifest_sha256"]:
        raise DeployError("the image's manifest is not the one that the plan names. Nothing was written")
    manifest = parse(content)
    disk = disks.choose(found, orders["disk"]["hints"], needed_bytes(manifest))
    say(f"writing {manifest.size} bytes to {disk}, which held: {disk.holds}")
    codec = Codec()

    def fetch(chunk: Chunk) -> bytes:
        return server.get("disk.zst", chunk.stored_offset, chunk.stored_length)

    started = time.monotonic()
    with tempfile.TemporaryDirectory() as folder, Device.open(disk.path) as device:
        reporter.tick(percent=0, bytes=0, total=manifest.size, rate=0)
        with Ticker(reporter, manifest.size, say) as ticker:
            write_image(device, manifest, codec, fetch, ticker.progress)
        say(f"written and proven in {time.monotonic() - started:.1f} s")
        private, public = config_drive.make_host_key(folder, str(orders["server"]))
        documents = {**orders["config_drive"], config_drive.VENDOR_DATA: config_drive.vendor_data(private, public)}
        finish_disk(device, manifest, disk.size, config_drive.make(folder, documents))
    reporter.send("written", disk=disk.as_report(), ssh_host_key=" ".join(public.split()[:2]))
    say("waiting for the Deployment cloud's go")
    deadline = time.monotonic() + server.retry_seconds
    while not server.exists("go"):
        if time.monotonic() > deadline:
            raise DeployError(f"the image is written, but no go came for {server.retry_seconds:.0f} s")
        time.sleep(1)


def end(command: int) -> None:
    """Restart or power off at once; does not return where it may."""
    os.sync()
    ctypes.CDLL(None).reboot(command)
