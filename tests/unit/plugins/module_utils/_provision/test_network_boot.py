# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Laying out boot files: proven images, whole folders, and no second write under one plan."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import stat
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.tripleo.cloud.plugins.module_utils._bmc.model import Access, BootOverride, Device
from ansible_collections.tripleo.cloud.plugins.module_utils._bmc.operations import BootReport
from ansible_collections.tripleo.cloud.plugins.module_utils._boot import paths
from ansible_collections.tripleo.cloud.plugins.module_utils._boot.dnsmasq import parse_run_file
from ansible_collections.tripleo.cloud.plugins.module_utils._boot.ipxe import disk_script
from ansible_collections.tripleo.cloud.plugins.module_utils._boot.model import BootServer
from ansible_collections.tripleo.cloud.plugins.module_utils._errors import TripleoError
from ansible_collections.tripleo.cloud.plugins.module_utils._image.store import ImageStore
from ansible_collections.tripleo.cloud.plugins.module_utils._provision import network_boot, ssh_key, targets
from ansible_collections.tripleo.cloud.plugins.module_utils._provision.errors import ProvisionError

KEY = bytes(32)
PLAN = "ab" * 32
PUBLIC = "ssh-ed25519 " + "A" * 68
NONE = BootOverride(Device.NONE)


@dataclasses.dataclass
class Record:
    stage: str
    plan_hash: str = PLAN
    cause: str | None = None
    updated: float = 0.0


@dataclasses.dataclass
class Memory:
    """The state, as far as this room reads it."""

    plan: dict[str, Any] | None
    records: dict[str, Record] = dataclasses.field(default_factory=dict)

    def servers(self, _stack: str) -> dict[str, Record]:
        return self.records

    def nodes(self) -> dict[str, Any]:
        return {}

    def set_stage(self, _stack: str, name: str, stage: str, *, plan: str, cause: Any = None) -> None:
        self.records[name] = Record(stage, plan)


class Setting:
    """A state directory with two images and a ramdisk, a plan of two servers, and BMCs that always obey."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.root = root
        self.store = ImageStore(os.fspath(root))
        self.add("deploy-ramdisk", "ramdisk", {"kernel": b"kernel", "ramdisk": b"ramdisk"}, "f" * 32)
        images = [self.add(f"{name}-image", "disk", {"disk.zst": name.encode()}, digit * 32)
                  for name, digit in (("control", "1"), ("compute", "2"))]  # fmt: skip
        servers = {}
        for number, image in enumerate(images, 1):
            servers[f"Group.{number}.Server"] = {
                "name": f"server-{number}",
                "node": f"n{number}",
                "mac": f"52:54:00:00:00:0{number}",
                "image": image.name,
                "build_id": image.build_id,
                "manifest_sha256": image.manifest_sha256,
                "disk": {"hints": {"serial": f"RACK000{number}"}},
                "networks": {"ctlplane": [f"10.1.2.1{number}"]},
            }
        network = {"cidr": "10.1.2.0/24", "gateway_ip": None, "dns_nameservers": []}
        self.plan = {"stack": "cloud", "hash": PLAN, "servers": servers, "networks": {"ctlplane": network}}
        self.state = Memory(self.plan)
        self.overrides: dict[str, BootOverride] = {}
        monkeypatch.setattr(network_boot, "set_boot_device", self.set_boot_device)

    def add(self, name: str, kind: str, files: dict[str, bytes], build: str) -> Any:
        with self.store.staging(name) as work:
            entries = {}
            for file, content in files.items():
                Path(work, file).write_bytes(content)
                entries[file] = {
                    "file": file, "size": len(content), "sha256": hashlib.sha256(content).hexdigest(),
                }  # fmt: skip
            manifest: dict[str, Any] = {"schema": 1, "kind": kind, "name": name, "build_id": build}
            manifest.update({"files": entries} if kind == "ramdisk" else {"stored": entries["disk.zst"]})
            if kind == "disk":
                # An image of one zero MiB: no chunk covers it.
                manifest.update(root_partition=3, size=1 << 20, chunks=[])
            return self.store.add(work, manifest)

    def set_boot_device(self, _name: str, accesses: Any, wanted: Any, *, check: bool, **_options: Any) -> Any:
        reports = {}
        for access in accesses:
            before, after = self.overrides.get(access.node, NONE), wanted[access.node]
            reports[access.node] = BootReport(before, after, before != after)
            if not check:
                self.overrides[access.node] = after
        return reports

    def run(self, only: tuple[str, ...] = (), *, check: bool = False, arguments: tuple[str, ...] = ()) -> Any:
        request = network_boot.Request(
            state_dir=os.fspath(self.root), boot=BootServer("10.1.2.1", 8088), ramdisk="deploy-ramdisk",
            arguments=arguments, timeout=5, check=check, locks=os.fspath(self.root / "locks"),
        )  # fmt: skip
        everyone = targets.targets(self.state, self.plan, [])
        chosen = targets.targets(self.state, self.plan, only)
        accesses = [Access(target.node, "10.9.9.9", "u", "p") for target in chosen]
        return network_boot.boot_servers(request, self.plan, everyone, chosen, accesses, KEY, PUBLIC)

    def folder(self, node: str) -> Path:
        return self.root / "serve" / f"10.1.2.1{node[1]}" / paths.node_path(KEY, node, PLAN)

    def run_file(self) -> dict[str, Any]:
        _plan, entries = parse_run_file(json.loads((self.root / "run" / "cloud.boot.json").read_text()))
        return {entry.server: entry for entry in entries}


@pytest.fixture
def setting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Setting:
    return Setting(tmp_path, monkeypatch)


def tree(root: Path) -> dict[str, bytes]:
    return {os.fspath(path): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}


def test_all_servers_are_laid_out_and_boot_from_the_network(setting: Setting) -> None:
    result = setting.run()
    assert (result["changed"], result["changed_nodes"], result["total"]) == (True, ["n1", "n2"], 2)
    folder = setting.folder("n1")
    assert sorted(os.listdir(folder)) == ["boot.ipxe", "deploy.json", "disk.zst", "kernel", "manifest.json", "ramdisk"]
    assert (folder / "disk.zst").read_bytes() == b"control"
    assert os.path.samefile(folder / "kernel", setting.store.get("deploy-ramdisk").path("kernel"))  # type: ignore
    deploy = json.loads((folder / "deploy.json").read_text())
    assert (deploy["server"], deploy["disk"], deploy["root_partition"]) == (
        "server-1", {"hints": {"serial": "RACK0001"}}, 3,
    )  # fmt: skip
    manifest = (folder / "manifest.json").read_bytes()
    assert hashlib.sha256(manifest).hexdigest() == deploy["manifest_sha256"]
    assert {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {0o644}
    assert setting.overrides == dict.fromkeys(("n1", "n2"), BootOverride(Device.NETWORK))
    entries = setting.run_file()
    assert sorted(entries) == ["server-1", "server-2"]
    assert entries["server-1"].token_sha256 == hashlib.sha256(deploy["token"].encode()).hexdigest()
    assert stat.S_IMODE((setting.root / "run" / "cloud.boot.json").stat().st_mode) == 0o600
    assert "n1 (server-1): boot device none\n" in result["diff"]["before"]


def test_a_second_run_changes_nothing(setting: Setting) -> None:
    setting.run()
    before = tree(setting.root)
    result = setting.run()
    assert not result["changed"]
    assert set(result["servers"].values()) == {"unchanged"}
    assert result["diff"] == {"before": "", "after": ""}
    assert tree(setting.root) == before


def test_check_mode_says_the_same_and_writes_nothing(setting: Setting) -> None:
    before = tree(setting.root)
    predicted = setting.run(check=True)
    assert tree(setting.root) == before
    assert not setting.overrides
    done = setting.run()
    assert predicted == done


def test_a_changed_image_stops_everything_before_anything_is_laid_out(setting: Setting) -> None:
    image = setting.store.get("compute-image")
    assert image is not None
    Path(image.path("stored")).write_bytes(b"compuTe")
    with pytest.raises(TripleoError, match=r"compute-image.*disk\.zst"):
        setting.run()
    assert not (setting.root / "serve").exists()
    assert not setting.overrides


def test_a_changed_ramdisk_stops_everything(setting: Setting) -> None:
    image = setting.store.get("deploy-ramdisk")
    assert image is not None
    Path(image.path("ramdisk")).write_bytes(b"Ramdisk")
    with pytest.raises(TripleoError, match="deploy-ramdisk"):
        setting.run()
    assert not (setting.root / "serve").exists()


def test_another_manifest_under_the_planned_build_is_refused(setting: Setting) -> None:
    setting.plan["servers"]["Group.1.Server"]["manifest_sha256"] = "0" * 64
    with pytest.raises(ProvisionError, match="not the one that was planned"):
        setting.run()


@pytest.mark.parametrize("stage", ["booted", "configured", "healthy"])
def test_a_booted_server_is_not_touched(setting: Setting, stage: str) -> None:
    setting.state.records["server-1"] = Record(stage)
    result = setting.run()
    assert result["changed_nodes"] == ["n2"]
    assert not setting.folder("n1").exists()
    assert list(setting.overrides) == ["n2"]
    assert sorted(setting.run_file()) == ["server-2"]


def test_a_stage_of_another_plan_counts_for_nothing(setting: Setting) -> None:
    setting.state.records["server-1"] = Record("booted", "cd" * 32)
    assert setting.run()["changed_nodes"] == ["n1", "n2"]


def test_a_written_server_only_gets_the_way_to_its_disk(setting: Setting) -> None:
    setting.state.records["server-1"] = Record("written")
    setting.run()
    assert sorted(os.listdir(setting.folder("n1"))) == ["boot.ipxe", "go"]
    assert (setting.folder("n1") / "boot.ipxe").read_text() == disk_script()
    assert list(setting.overrides) == ["n2"]
    assert setting.run_file()["server-1"].switched
    assert not setting.run()["changed"]


@pytest.mark.parametrize("stage", ["writing", "failed", "reserved"])
def test_a_node_that_the_keeper_has_switched_is_never_written_again(setting: Setting, stage: str) -> None:
    setting.run()
    folder = setting.folder("n1")
    (folder / "deploy.json").unlink()
    (folder / "go").write_text("go\n")
    setting.state.records["server-1"] = Record(stage)
    setting.run()
    assert not (folder / "deploy.json").exists()
    assert setting.run_file()["server-1"].switched


@pytest.mark.parametrize(("stage", "outcome"), [("writing", "in use"), ("failed", "laid out anew")])
def test_other_arguments_reach_only_nodes_that_do_not_read_now(setting: Setting, stage: str, outcome: str) -> None:
    setting.run()
    setting.state.records["server-1"] = Record(stage)
    result = setting.run(arguments=("quiet",))
    assert result["servers"] == {"server-1": outcome, "server-2": "laid out anew"}
    assert ("quiet" in (setting.folder("n1") / "boot.ipxe").read_text()) == (outcome != "in use")


def test_only_keeps_the_others_in_the_run_file(setting: Setting) -> None:
    setting.run()
    result = setting.run(only=("server-2",))
    assert (result["total"], result["changed"]) == (1, False)
    assert sorted(setting.run_file()) == ["server-1", "server-2"]


def test_an_unreadable_store_file_is_copied(setting: Setting) -> None:
    image = setting.store.get("control-image")
    assert image is not None
    os.chmod(image.path("stored"), 0o600)
    setting.run()
    served = setting.folder("n1") / "disk.zst"
    assert not os.path.samefile(served, image.path("stored"))
    assert stat.S_IMODE(served.stat().st_mode) == 0o644
    assert not setting.run()["changed"]


def test_a_folder_is_passable_whatever_the_umask(setting: Setting) -> None:
    before = os.umask(0o077)
    try:
        setting.run()
    finally:
        os.umask(before)
    folder = setting.folder("n1")
    assert [stat.S_IMODE(path.stat().st_mode) for path in (folder, folder.parent, folder.parent.parent)] == [0o755] * 3
    assert sorted(os.listdir(setting.root / "serve")) == ["10.1.2.11", "10.1.2.12"]


def test_a_server_that_cannot_be_served_is_named(setting: Setting) -> None:
    setting.plan["networks"]["storage"] = {"cidr": "172.16.0.0/24"}
    setting.plan["servers"]["Group.2.Server"]["networks"] = {"storage": ["172.16.0.5"]}
    with pytest.raises(ProvisionError, match=r"n2.*server-2 has no address on the provisioning network.*10\.1\.2\.1"):
        setting.run()
    assert not (setting.root / "serve").exists()


def test_unknown_servers_and_nodes_are_named(setting: Setting) -> None:
    with pytest.raises(ProvisionError, match="no server server-9"):
        targets.targets(setting.state, setting.plan, ["server-9"])
    target = targets.targets(setting.state, setting.plan, ["server-1"])[0]
    with pytest.raises(ProvisionError, match="no node n1, which the plan uses for server-1"):
        targets.bmc_of(target, {"bmc": {"n2": {}}})


def test_the_ssh_key_is_made_once(tmp_path: Path) -> None:
    state_dir = os.fspath(tmp_path)
    assert ssh_key.ensure_ssh_key(state_dir, "cloud", check=True) == ssh_key.UNKNOWN
    public = ssh_key.ensure_ssh_key(state_dir, "cloud")
    assert public.startswith("ssh-ed25519 ")
    assert public.endswith(" tripleo-cloud")
    assert ssh_key.ensure_ssh_key(state_dir, "cloud") == public
    private = Path(ssh_key.key_file(state_dir, "cloud"))
    assert stat.S_IMODE(private.stat().st_mode) == 0o600
    private.with_suffix(".pub").unlink()
    assert ssh_key.ensure_ssh_key(state_dir, "cloud").split()[:2] == public.split()[:2]
    assert sorted(path.name for path in private.parent.iterdir()) == ["ssh_key", "ssh_key.pub"]
