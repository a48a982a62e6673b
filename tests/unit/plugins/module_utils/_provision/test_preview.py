# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is previewed is what is stored: random stacks, each previewed, prepared for real, and planned."""

from __future__ import annotations

import hashlib
import json
import os
import random
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.tripleo.cloud.plugins.module_utils._image.store import ImageStore
from ansible_collections.tripleo.cloud.plugins.module_utils._plan.secrets import UNKNOWN
from ansible_collections.tripleo.cloud.plugins.module_utils._provision.hardware import register
from ansible_collections.tripleo.cloud.plugins.module_utils._provision.stacks import plan_stack
from ansible_collections.tripleo.cloud.plugins.module_utils._state.records import AsideKind
from ansible_collections.tripleo.cloud.plugins.module_utils._state.stages import Stage
from ansible_collections.tripleo.cloud.plugins.module_utils._state.store import State

TEMPLATES = Path(__file__).resolve().parents[5] / "templates"
FILES = {str(path.relative_to(TEMPLATES)): path.read_text() for path in TEMPLATES.rglob("*.y*ml")}
IMAGES = ("control-image", "compute-image")


class Site:
    """A Deployment cloud and what its operator wants, all of it by chance."""

    def __init__(self, state_dir: Path, chance: random.Random) -> None:
        self.state_dir = state_dir
        self.chance = chance
        self.hardware = {f"n{n}": self.node("control" if n == 0 else "compute", n) for n in range(chance.randint(3, 5))}
        self.count = chance.randint(0, 2)
        self.parameters: dict[str, Any] = {"Region": chance.choice(["RegionOne", "north"]), "ComputeCount": self.count}
        if chance.random() < 0.5:
            self.parameters["MysqlRootPassword"] = "Heifs23jk3"

    def node(self, profile: str, number: int) -> dict[str, Any]:
        root_device = {"serial": f"S{number}"} if self.chance.random() < 0.5 else {}
        sizes = {"cpus": self.chance.randint(1, 8), "memory": 4096, "disk": 8, "arch": "amd64"}
        bmc = {"address": f"127.79.5.{number + 1}", "port": 623, "driver": "ipmi"}
        macs = [f"52:54:00:00:00:{number:02}"]
        return {"macs": macs, **sizes, "capabilities": {"profile": profile}, "root_device": root_device, "bmc": bmc}

    def plan(self, check: bool, **pending: Any) -> dict[str, Any]:
        flavor = {"vcpus": 1, "ram": 1024, "disk": 4}
        flavors = {name: {**flavor, "extra_specs": {"capabilities:profile": name}} for name in ("control", "compute")}
        networks = {
            "ctlplane": {"cidr": "192.0.2.0/24", "allocation_pools": [{"start": "192.0.2.10", "end": "192.0.2.19"}]}
        }
        private = {
            "files": FILES,
            "template": "workload-heat-template.yml",
            "environments": ["workload-environment.yml"],
        }
        return plan_stack(
            {"state_dir": str(self.state_dir), "name": "cloud", "generate_hidden": True, "flavors": flavors}
            | {"networks": networks, "pending_images": [], "registered": {}, "only": [], **pending},
            {**private, "parameters": self.parameters, "hardware": self.hardware},
            check,
        )

    def register(self) -> None:
        private = {"hardware": self.hardware, "bmc": {}}
        register(str(self.state_dir), private, check_bmc=False, timeout=1.0, check=False)

    def build(self, *names: str) -> None:
        store = ImageStore(str(self.state_dir))
        for name in names:
            with store.staging(name) as directory:
                (Path(directory) / "disk.zst").write_bytes(b"")
                digits = f"{self.chance.getrandbits(128):032x}"
                store.add(
                    directory,
                    {"schema": 1, "kind": "disk", "name": name, "build_id": digits, "arch": "amd64", "size": 1 << 23}
                    | {"sha256": digits * 2, "root_partition": 3, "chunk_size": 1 << 24, "chunks": []}
                    | {"stored": {"file": "disk.zst", "size": 0, "sha256": hashlib.sha256(b"").hexdigest()}},
                )

    def boot(self) -> None:
        with State.open(str(self.state_dir)) as state:
            plan = state.plan("cloud")
            for server in plan["servers"].values():
                if self.chance.random() < 0.7:
                    state.set_stage("cloud", server["name"], Stage.BOOTED, plan=plan["hash"])

    def files(self) -> dict[str, bytes]:
        return {str(path): path.read_bytes() for path in self.state_dir.rglob("*") if path.is_file()}


def assert_same(previewed: Any, stored: Any, path: str = "plan") -> None:
    if isinstance(previewed, str) and UNKNOWN in previewed:
        return
    if isinstance(previewed, dict):
        assert set(previewed) == set(stored), path
        for key, value in previewed.items():
            assert_same(value, stored[key], f"{path}.{key}")
    elif isinstance(previewed, (list, tuple)):
        assert len(previewed) == len(stored), path
        for number, value in enumerate(previewed):
            assert_same(value, stored[number], f"{path}.{number}")
    else:
        assert previewed == stored, path


@pytest.mark.parametrize("seed", range(24))
def test_what_is_previewed_is_what_is_stored(seed: int, tmp_path: Path) -> None:
    chance = random.Random(seed)
    site = Site(tmp_path / "state", chance)
    if chance.random() < 0.5:
        site.register()
        site.build(*IMAGES)
        site.plan(check=False)
        site.boot()
        # A deployed server cannot go, and keeps its node.
        site.parameters.update(
            ComputeCount=site.count + chance.randint(0, 1), Region=chance.choice(["RegionOne", "south"])
        )
        site.hardware["n9"] = site.node("compute", 9)
    pending_images = [name for name in IMAGES if chance.random() < 0.5 or not (tmp_path / "state").exists()]
    pending_nodes = chance.random() < 0.7

    before = site.files()
    preview = site.plan(check=True, pending_images=pending_images, registered={"changed": pending_nodes})
    assert site.files() == before
    if pending_nodes or not before:
        site.register()
    site.build(*pending_images)
    done = site.plan(check=False)

    assert done["changed"] <= preview["changed"]
    with State.open(str(site.state_dir), read_only=True) as state:
        stored = state.plan("cloud")
    if "planned" not in preview:
        assert (preview["plan"]["serial"], preview["plan"]["hash"]) == (stored["serial"], stored["hash"])
        return
    planned = json.loads(json.dumps(preview["planned"]))
    assert_same(planned["plan"], stored)
    assert "Heifs23jk3" not in json.dumps(preview)
    for name, document in planned["documents"].items():
        if not name.startswith(UNKNOWN):
            path = os.path.join(site.state_dir, "documents", f"{name.partition(':')[2]}.json")
            assert json.loads(Path(path).read_text()) == document


@pytest.mark.parametrize("answers", [False, True])
def test_a_node_that_registration_sets_aside_or_gives_free_is_previewed_so(answers: bool, tmp_path: Path) -> None:
    site = Site(tmp_path, random.Random(0))
    site.parameters["ComputeCount"] = 1
    site.hardware = {"n0": site.node("control", 0), "n1": site.node("compute", 1), "n2": site.node("compute", 2)}
    site.register()
    site.build(*IMAGES)
    with State.open(str(tmp_path)) as state:
        if answers:
            state.set_aside({"n1": "it was dead"}, AsideKind.REGISTRATION)
    said = {"bmc": {"n1": {"power": "off"}}} if answers else {"set_aside": {"n1": "it is dead"}}
    preview = site.plan(check=True, registered={"changed": True, **said})
    with State.open(str(tmp_path)) as state:
        if answers:
            state.clear_aside(["n1"], [AsideKind.REGISTRATION])
        else:
            state.set_aside({"n1": "it is dead"}, AsideKind.REGISTRATION)
    site.plan(check=False)
    with State.open(str(tmp_path), read_only=True) as state:
        stored = state.plan("cloud")
    assert_same(json.loads(json.dumps(preview["planned"]["plan"])), stored)
    assert stored["servers"]["Compute.0.Server"]["node"] == ("n1" if answers else "n2")
