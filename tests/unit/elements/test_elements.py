# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The shipped elements against the shipped template: what each server's files are once its documents have come."""

from __future__ import annotations

import configparser
import os
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from ansible_collections.tripleo.cloud.plugins.module_utils._node import control, metadata, tree
from ansible_collections.tripleo.cloud.plugins.module_utils._plan import secrets
from ansible_collections.tripleo.cloud.plugins.module_utils._plan.flavors import parse_flavors
from ansible_collections.tripleo.cloud.plugins.module_utils._plan.networks import parse_networks
from ansible_collections.tripleo.cloud.plugins.module_utils._plan.plan import (
    Before,
    ImageRef,
    Planned,
    Wanted,
    make_plan,
)
from cryptography.fernet import Fernet

ROOT = Path(__file__).resolve().parents[3]
ELEMENTS = ROOT / "elements"
TEMPLATES = ROOT / "templates"
FILES = {str(path.relative_to(TEMPLATES)): path.read_text() for path in TEMPLATES.rglob("*.y*ml")}
ENVIRONMENTS = {
    "production": ["workload-environment.yml"],
    "rack": ["workload-environment.yml", "environments/rack.yaml"],
}
SERVERS = {"Controller.0.Server": "control-image", "Compute.0.Server": "compute-image"}
# Groups that the packages of the image make.
GROUPS = {"keystone": 901, "glance": 902}
HOOKS = sorted(
    path
    for path in ELEMENTS.rglob("*")
    if path.is_file()
    and path.parent.suffix == ".d"
    and "os-apply-config" not in path.parts
    # diskimage-builder and the phases source these.
    and path.parent.name != "environment.d"
)


def planned(environments: list[str], **parameters: Any) -> Planned:
    flavor = {"vcpus": 1, "ram": 1024, "disk": 4}
    profiles = ("control", "compute")
    return make_plan(
        Wanted(
            stack="cloud",
            template="workload-heat-template.yml",
            files=FILES,
            environments=environments,
            parameters=parameters,
            generate_hidden=True,
            flavors=parse_flavors(
                {name: {**flavor, "extra_specs": {"capabilities:profile": name}} for name in profiles}
            ),
            networks=parse_networks(
                {
                    "ctlplane": {
                        "cidr": "192.0.2.0/24",
                        "allocation_pools": [{"start": "192.0.2.10", "end": "192.0.2.19"}],
                    }
                }
            ),
            hardware={
                name: {
                    "macs": [f"52:54:00:00:00:0{number}"],
                    "cpus": 1,
                    "memory": 2048,
                    "disk": 8,
                    "arch": "amd64",
                    "capabilities": {"profile": name},
                }
                for number, name in enumerate(profiles)
            },
            facts={},
            images={name: ImageRef(name, "a" * 64, "b" * 64, "c" * 32) for name in SERVERS.values()},
            key=b"k" * 32,
        ),
        Before(),
    )


def made(plan: Planned) -> dict[str, str]:
    """Values of all secrets, as the module stack makes them."""
    return {name: secrets.random_string(*wanted) for name, wanted in plan.to_make.items()} | dict(plan.given)


def elements_of(image: str) -> list[str]:
    """The shipped elements of a shipped image, with all that they depend on."""
    (entry,) = [
        entry
        for entry in yaml.safe_load((ROOT / "roles/images/defaults/main.yml").read_text())["images_shipped"]
        if entry["name"] == image
    ]
    found: list[str] = []
    queue = list(entry["elements"])
    while queue:
        name = queue.pop()
        if name not in found and (ELEMENTS / name).is_dir():
            found.append(name)
            dependencies = ELEMENTS / name / "element-deps"
            queue += dependencies.read_text().split() if dependencies.exists() else []
    return found


@dataclass(frozen=True)
class Server:
    """metadata: merged documents. secrets: values that may be in the files. files: by path on the server."""

    metadata: dict[str, Any]
    secrets: Mapping[str, str]
    templates: Path
    files: Mapping[str, tree.Rendered]

    def text(self, path: str) -> str:
        return self.files[path].body.decode()


def server(path: str, plan: Planned, values: Mapping[str, str], folder: Path) -> Server:
    """What the node agent of one server would write, with no key missing."""
    entry = plan.plan["servers"][path]
    names = [entry["metadata"], *(name for _title, name in entry["documents"])]
    merged = metadata.merge(secrets.fill(plan.documents[name], values) for name in names)
    templates = folder / path
    for element in elements_of(SERVERS[path]):
        source = ELEMENTS / element / "os-apply-config"
        for file in (file for file in source.rglob("*") if file.is_file()):
            target = templates / file.relative_to(source)
            assert not target.exists(), f"{target} is in two elements"
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(file, target)
    rendered = tree.render_tree(str(templates), merged, strict=True)
    return Server(merged, values, templates, {one.path: one for one in rendered})


@pytest.fixture(autouse=True)
def _groups_of_the_image(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control, "grp", SimpleNamespace(getgrnam=lambda name: SimpleNamespace(gr_gid=GROUPS[name])))


@pytest.fixture(params=sorted(ENVIRONMENTS))
def cloud(request: pytest.FixtureRequest, tmp_path: Path) -> dict[str, Server]:
    plan = planned(ENVIRONMENTS[request.param])
    values = made(plan)
    return {path: server(path, plan, values, tmp_path) for path in SERVERS}


def test_every_key_of_every_template_is_in_the_documents(cloud: dict[str, Server]) -> None:
    for path, one in cloud.items():
        for template in one.files:
            text = (one.templates / template).read_text()
            for key in re.findall(r"\{\{#([\w.-]+)\}\}", text):
                assert metadata.lookup(one.metadata, key) is not None, f"{path}: {template}: {key}"
        assert not [name for name, file in one.files.items() if b"%{" in file.body or b"{{" in file.body]


def test_the_controller_gets_the_files_of_its_services(cloud: dict[str, Server]) -> None:
    controller = cloud["Controller.0.Server"]
    meta, values = controller.metadata, controller.secrets
    root_password = values["%{secret:MysqlRootPassword#1}"]
    assert controller.text("root/.my.cnf") == f"[client]\nuser = root\npassword = {root_password}\n"
    assert controller.text("etc/tripleo/services").split() == ["mariadb", "keystone", "glance-api", "chrony"]
    keystone = settings(controller.text("etc/keystone/keystone.conf"))
    database = values["%{secret:KeystoneDatabasePassword#1}"]
    assert keystone["database"]["connection"].startswith(f"mysql+pymysql://keystone:{database}@localhost/keystone?")
    assert f"IDENTIFIED BY '{database}'" in controller.text("etc/tripleo/keystone.sql")
    glance = settings(controller.text("etc/glance/glance-api.conf"))
    assert glance["keystone_authtoken"]["password"] == values["%{secret:GlancePassword#1}"]
    assert glance["keystone_authtoken"]["auth_url"] == f"http://{meta['control-vip']['address']}:5000/v3"
    vip = meta["control-vip"]["address"]
    assert controller.text("etc/tripleo/control-vip") == f"{meta['local-ip']} {vip}/32\n"
    bootstrap = dict(line.split("=", 1) for line in controller.text("etc/tripleo/keystone-bootstrap").splitlines())
    assert bootstrap["OS_BOOTSTRAP_PASSWORD"] == values["%{secret:AdminPassword#1}"]
    assert bootstrap["OS_BOOTSTRAP_PUBLIC_URL"] == f"http://{vip}:5000/v3"


def test_the_compute_server_follows_the_controllers_clock_and_holds_no_secret(cloud: dict[str, Server]) -> None:
    controller, compute = cloud["Controller.0.Server"], cloud["Compute.0.Server"]
    assert set(compute.files) == {"etc/chrony/chrony.conf", "etc/hosts", "etc/tripleo/services"}
    assert compute.text("etc/tripleo/services") == "chrony\n"
    assert f"server {controller.metadata['local-ip']} iburst" in compute.text("etc/chrony/chrony.conf").splitlines()
    assert "local stratum" not in compute.text("etc/chrony/chrony.conf")
    own = controller.text("etc/chrony/chrony.conf").splitlines()
    assert "local stratum 10" in own and "allow" in own and not [line for line in own if line.startswith("server ")]
    for one in cloud.values():
        assert f"{controller.metadata['local-ip']} cloud-controller-0" in one.text("etc/hosts").splitlines()
        assert f"{compute.metadata['local-ip']} cloud-compute-0" in one.text("etc/hosts").splitlines()
    assert not [value for value in compute.secrets.values() if value in str(compute.metadata)]


def test_time_servers_take_the_place_of_the_own_clock(tmp_path: Path) -> None:
    plan = planned(ENVIRONMENTS["production"], NtpServers="198.51.100.1,198.51.100.2")
    text = server("Controller.0.Server", plan, made(plan), tmp_path).text("etc/chrony/chrony.conf")
    assert text.startswith("server 198.51.100.1 iburst\nserver 198.51.100.2 iburst\n")
    assert "local stratum" not in text


def test_only_the_rack_trades_durability_for_speed(tmp_path: Path) -> None:
    for name, environments in ENVIRONMENTS.items():
        plan = planned(environments)
        files = server("Controller.0.Server", plan, made(plan), tmp_path / name).files
        unit = files["etc/systemd/system/mariadb.service.d/relaxed.conf"]
        relaxed = name == "rack"
        assert not unit.control.allow_empty and bool(unit.body.strip()) == relaxed
        body = files["etc/mysql/mariadb.conf.d/90-tripleo.cnf"].body
        assert (b"innodb_flush_log_at_trx_commit = 0" in body) == relaxed


def test_files_with_secrets_are_kept_from_others(cloud: dict[str, Server]) -> None:
    seen = set()
    for one in cloud.values():
        for path, file in one.files.items():
            if any(value in file.body.decode() for value in one.secrets.values()):
                seen.add(path)
                # 0640 only where the service's own group reads it.
                assert file.control.mode == (0o600 if file.control.gid is None else 0o640), path
                assert file.control.gid is None or file.control.uid == 0, path
    assert {"root/.my.cnf", "etc/tripleo/keystone-keys", "etc/glance/glance-api.conf"} <= seen


def test_keystones_keys_are_keys(cloud: dict[str, Server]) -> None:
    lines = cloud["Controller.0.Server"].text("etc/tripleo/keystone-keys").splitlines()
    kinds = [line.split()[:2] for line in lines]
    assert kinds == [["fernet-keys", "0"], ["fernet-keys", "1"], ["credential-keys", "0"], ["credential-keys", "1"]]
    keys = [line.split()[2] for line in lines]
    assert len(set(keys)) == 4
    for key in keys:
        # Refuses what does not decode to 32 bytes.
        fernet = Fernet(key)
        assert fernet.decrypt(fernet.encrypt(b"token")) == b"token"


def test_two_stacks_share_no_secret(tmp_path: Path) -> None:
    plan = planned(ENVIRONMENTS["production"])
    stacks = [made(plan) for _number in range(2)]
    assert len({value for values in stacks for value in values.values()}) == 2 * len(plan.to_make) > 8
    one, other = (
        server("Controller.0.Server", plan, values, tmp_path / str(number)) for number, values in enumerate(stacks)
    )
    for path, file in other.files.items():
        assert not [value for value in stacks[0].values() if value in file.body.decode()], path
    assert one.files.keys() == other.files.keys()


def test_the_worked_example_of_mysql_common(tmp_path: Path) -> None:
    template = ELEMENTS / "mysql-common/os-apply-config/root/.my.cnf"
    assert template.read_text() == (
        "[client]\nuser = root\n{{#mysql.root-password}}\npassword = {{.}}\n{{/mysql.root-password}}\n"
    )
    (file,) = tree.render_tree(str(template.parents[1]), {"mysql": {"root-password": "Heifs23jk3"}}, strict=True)
    assert (file.path, file.body) == ("root/.my.cnf", b"[client]\nuser = root\npassword = Heifs23jk3\n")
    assert file.control.mode == 0o600


@pytest.mark.parametrize("hook", HOOKS, ids=lambda hook: str(hook.relative_to(ELEMENTS)))
def test_a_hook_script_can_run(hook: Path) -> None:
    assert hook.read_text().splitlines()[0] == "#!/bin/bash -eu"
    assert os.access(hook, os.X_OK)
    assert re.fullmatch(r"[A-Za-z0-9_-]+", hook.name), "the phases skip names with other letters"


def test_every_service_has_a_script_that_starts_it_and_a_health_check(cloud: dict[str, Server]) -> None:
    scripts = [path.read_text() for path in HOOKS if path.parent.name == "post-configure.d"]
    checks = [path.read_text() for path in HOOKS if path.parent.name == "health.d"]
    for name in (service["name"] for one in cloud.values() for service in one.metadata["services"]):
        assert [text for text in scripts if f"tripleo-service {name} " in text], name
        assert [text for text in checks if f"grep -qx {name} /etc/tripleo/services" in text], name


def settings(text: str) -> Mapping[str, Any]:
    """A file in the form of oslo.config; an error for a section or an option that stands twice."""
    parser = configparser.RawConfigParser()
    parser.read_string(text)
    return parser


@pytest.mark.parametrize(
    "element", sorted(path for path in ELEMENTS.iterdir() if path.is_dir()), ids=lambda path: str(path.name)
)
def test_an_element_says_what_it_is_and_depends_on_elements(element: Path) -> None:
    assert (element / "README.md").read_text().strip()
    builder = {"package-installs", "dpkg"}
    dependencies = element / "element-deps"
    for name in dependencies.read_text().split() if dependencies.exists() else []:
        assert name in builder or (ELEMENTS / name).is_dir(), name
