# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Machines that do not come, without machines: what is told, what is set aside, and how it is given free."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from ansible_collections.tripleo.cloud.plugins.module_utils._image.store import ImageStore
from ansible_collections.tripleo.cloud.plugins.module_utils._state.store import State
from desk import Desk

COMPUTE, CONTROLLER = "workload-cloud-compute-0", "workload-cloud-controller-0"
CONTROLLER_ONLY = ["-e", json.dumps({"tripleo_parameters": {"ComputeCount": 0}})]


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    """A desk whose boot services serve a bridge of their own; it has a ramdisk that nobody boots."""
    number = os.getpid() % 250
    device, address = f"tcaside{number}", f"198.18.{number}.1"
    network = {"cidr": f"198.18.{number}.0/24", "allocation_pools": [{"start": f"{address}0", "end": f"{address}9"}]}
    subprocess.run(["ip", "link", "add", device, "type", "bridge"], check=True)
    try:
        subprocess.run(["ip", "address", "add", f"{address}/24", "dev", device], check=True)
        subprocess.run(["ip", "link", "set", device, "up"], check=True)
        made = Desk(
            tmp_path,
            "127.79.7",
            {
                "tripleo_networks": {"ctlplane": network},
                "tripleo_provisioning_interface": device,
                "tripleo_provisioning_address": address,
            },
        )
        made.begin()
        store_ramdisk(made)
        yield made
        made.end()
    finally:
        subprocess.run(["ip", "link", "delete", device], check=True)


def store_ramdisk(desk: Desk) -> None:
    store = ImageStore(str(desk.state))
    with store.staging("deploy-ramdisk") as folder:
        files = {}
        for name in ("kernel", "ramdisk"):
            Path(folder, name).write_bytes(name.encode())
            files[name] = {"file": name, "size": len(name), "sha256": hashlib.sha256(name.encode()).hexdigest()}
        store.add(
            folder, {"schema": 1, "kind": "ramdisk", "name": "deploy-ramdisk", "build_id": "f" * 32, "files": files}
        )


def aside(desk: Desk) -> dict[str, list[str]]:
    with State.open(str(desk.state), read_only=True) as state:
        return {name: [mark.kind.value for mark in marks] for name, marks in state.aside().items()}


def test_all_failures_are_told_at_once_and_their_nodes_are_left_out(desk: Desk) -> None:
    desk.must_play("prepare", "--tags", "deployment_cloud,register")
    nodes = yaml.safe_load(desk.nodes_file.read_text())
    nodes["nodes"][1]["bmc"]["port"] = 6699
    desk.nodes_file.write_text(yaml.safe_dump(nodes))
    registered = desk.must_play("prepare", "--tags", "register")
    assert "n2: check the BMC: the BMC at 127.79.7.2 does not answer" in registered.output
    assert aside(desk) == {"n2": ["registration"]}
    desk.must_play("maintenance", "-e", "names=n2", "-e", "maintenance=false")

    failed = desk.play("deploy", "-e", "provision_stage_timeout=3")
    (told,) = [line for line in failed.output.splitlines() if line.startswith("[ERROR]")]
    assert f"{COMPUTE} (n2): stage failed: boot device network: the BMC at 127.79.7.2 does not answer" in told
    assert f"{CONTROLLER} (n1): stage powered: it has not asked for its boot script for 3 s; how long machines" in told
    assert told.count("then run: ansible-playbook tripleo.cloud.deploy") == 2
    assert aside(desk) == {"n1": ["deployment"], "n2": ["deployment"]}

    # Another plan does not choose them, until they are given free.
    refused = desk.play("deploy", "--check", *CONTROLLER_ONLY)
    assert refused.rc != 0
    assert "n1 was set aside on " in refused.output and "has not asked for its boot script" in refused.output
    assert "ansible-playbook tripleo.cloud.maintenance -e names=n1 -e maintenance=false" in refused.output
    preview = desk.must_play("maintenance", "--check", "-e", "names=n1", "-e", "maintenance=false")
    assert preview.changed == 1 and set(aside(desk)) == {"n1", "n2"}
    freed = desk.must_play("maintenance", "-e", "names=n1", "-e", "maintenance=false")
    assert freed.changed == 1 and "n2" in freed.output
    desk.must_play("deploy", "--check", *CONTROLLER_ONLY)
