# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Faults of a rack's machines, made and mended with the host's own tools, not with the project's."""

from __future__ import annotations

import contextlib
import json
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from whole_run import WholeRun


def _in_rack(run: WholeRun, *argv: str) -> None:
    subprocess.run(["ip", "netns", "exec", run.rack.network.namespace, *argv], check=True)


@contextlib.contextmanager
def silent_bmc(run: WholeRun, node: str) -> Iterator[None]:
    """Nothing that is sent to a node's BMC arrives."""
    address = run.rack.bmc(node)["address"]
    _in_rack(run, "nft", "add", "table", "ip", "fault")
    _in_rack(run, "nft", "add", "chain", "ip", "fault", "into", "{ type filter hook input priority 0 ; }")
    _in_rack(run, "nft", "add", "rule", "ip", "fault", "into", "ip", "daddr", address, "udp", "dport", "623", "drop")
    try:
        yield
    finally:
        _in_rack(run, "nft", "delete", "table", "ip", "fault")


@contextlib.contextmanager
def unplugged(run: WholeRun, index: int) -> Iterator[Callable[[], None]]:
    """The cable of a machine, by its place in the rack, is out once what is yielded was called."""
    device = f"m{index}n0"
    try:
        yield lambda: _in_rack(run, "ip", "link", "set", device, "nomaster")
    finally:
        _in_rack(run, "ip", "link", "set", device, "master", "rack")


@contextlib.contextmanager
def bad_sectors(run: WholeRun, node: str, serial: str, sector: int) -> Iterator[None]:
    """A disk behind which QEMU's storage daemon refuses each write that touches a sector."""
    owner, disk = run.rack.owner_pid(), run.rack.disk(node, serial)
    behind = disk.with_suffix(".behind")
    with behind.open("wb") as file:
        file.truncate(disk.stat().st_size)
    errors = [{"event": "none", "iotype": "write", "errno": 5, "sector": sector}]
    bad = {"driver": "blkdebug", "node-name": "bad", "image": "file", "inject-error": errors}
    words = [
        *("--blockdev", json.dumps({"driver": "file", "node-name": "file", "filename": str(behind)})),
        *(
            "--blockdev",
            json.dumps(bad),
        ),
        *("--export", f"type=fuse,id=disk,node-name=bad,mountpoint={disk},writable=on"),
    ]
    # In the rack's own mount namespace, where its machines open their disks.
    daemon = subprocess.Popen(["nsenter", "-t", str(owner), "-m", "qemu-storage-daemon", *words])
    try:
        wait(lambda: str(disk) in Path(f"/proc/{owner}/mounts").read_text(), 30)
        yield
    finally:
        daemon.terminate()
        daemon.wait()
        behind.unlink()


def wait(condition: Callable[[], bool], seconds: float) -> None:
    """Wait until a condition holds; a TimeoutError after so many seconds."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"it did not come about within {seconds:.0f} s")
        time.sleep(0.2)
