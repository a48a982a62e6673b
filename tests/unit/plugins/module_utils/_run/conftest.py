# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import hashlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from wire import Wire


@pytest.fixture
def wire(tmp_path: Path) -> Iterator[Wire]:
    wire = Wire(int(hashlib.sha256(os.fspath(tmp_path).encode()).hexdigest(), 16) % 250)
    subprocess.run(["ip", "netns", "add", wire.namespace], check=True)
    try:
        pair = ["type", "veth", "peer", "name", wire.peer, "netns", wire.namespace]
        subprocess.run(["ip", "link", "add", wire.interface, *pair], check=True)
        subprocess.run(["ip", "address", "add", f"{wire.address(1)}/24", "dev", wire.interface], check=True)
        subprocess.run(["ip", "link", "set", wire.interface, "up"], check=True)
        for host in (10, 11, 77):
            wire.ip("address", "add", f"{wire.address(host)}/24", "dev", wire.peer)
        wire.ip("link", "set", wire.peer, "up")
        yield wire
    finally:
        subprocess.run(["ip", "netns", "delete", wire.namespace], check=True)
