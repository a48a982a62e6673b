# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The main job, whole, in its order: each test takes the cloud one step on, a failed step fails the later ones.

The Deployment cloud is another machine, reached by SSH.
"""

from __future__ import annotations

import json
import os
import secrets
import shlex
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import openstack
import pytest
from leaks import Samples, assert_no_secret, secret
from remote_run import STATE_DIR, RemoteRun
from whole_run import BIN, ROOT, STACK

from tripleo_cloud.api import STEPS

pytestmark = pytest.mark.rack
CONTROLLER = f"{STACK}-controller-0"
# Another one each time: the project that AWX gets has this file in it.
GIVEN = f"gi$$ \"{secrets.token_hex(4)}'%/+&"


@pytest.fixture(scope="module")
def run() -> Iterator[RemoteRun]:
    whole = RemoteRun(ROOT / ".cache" / "whole-run")
    whole.start_machine()
    try:
        whole.play("rack_down")
        whole.must_play("rack_up")
        yield whole
        whole.must_play("rack_down")
    finally:
        whole.close()


@pytest.fixture(scope="module")
def samples() -> Samples:
    """What processes show while playbooks run; the tests' own commands take passwords as arguments."""
    return Samples()


def ours(run: RemoteRun) -> list[str]:
    """Command lines of boot services and keepers on the Deployment cloud."""
    return [line for line in run.machine.processes().values() if STATE_DIR in line or "dnsmasq" in line]


def test_prepare_builds_images_and_registers_the_hardware(run: RemoteRun) -> None:
    run.must_play("prepare")
    again = run.must_play("prepare")
    assert again.changed == 0, again.output[-4000:]


def test_systemd_keeps_the_keeper(run: RemoteRun) -> None:
    units = "systemctl list-units --all --plain --no-legend tripleo-cloud-keeper-*"
    hold = {"state_dir": STATE_DIR, "stack": "held", "plan": "a" * 64}
    run.module("boot_services", {**hold, "run_id": "first"})
    unit = run.machine.run(units).stdout.split()[0]
    in_unit = run.machine.run(f"systemctl show --value -p ControlGroup {unit}").stdout.strip()
    served = {pid: line for pid, line in run.machine.processes().items() if "dnsmasq" in line or "nginx" in line}
    assert len(served) >= 3, served
    assert all(in_unit in Path(f"/proc/{pid}/cgroup").read_text() for pid in served)

    run.machine.run(f"systemctl kill --kill-who=main --signal=KILL {unit}")
    deadline = time.monotonic() + 20
    while ours(run) or run.machine.run(units).stdout:
        assert time.monotonic() < deadline, ours(run)
        time.sleep(0.2)

    run.module("boot_services", {**hold, "run_id": "first"})
    assert run.machine.run(units).stdout.split()[0] == unit
    run.module("boot_services", {**hold, "run_id": "first", "state": "stopped"})
    assert ours(run) == [] and run.machine.run(units).stdout == ""


def test_the_preview_is_what_the_deployment_stores(run: RemoteRun, samples: Samples) -> None:
    before = {path for path in run.state.rglob("*") if path.is_file() and "sqlite" not in path.name}
    preview = run.must_play("deploy", "--check", "--diff")
    assert {path for path in run.state.rglob("*") if path.is_file() and "sqlite" not in path.name} == before
    assert all("off" in run.ipmitool(node, "power", "status") for node in run.nodes())

    with samples:
        run.must_play("deploy", "-vvv")
    plan = run.plan()
    assert plan["hash"] in preview.output
    for server in plan["servers"].values():
        assert server["name"] in preview.output and server["node"] in preview.output
        assert (run.state / "run" / "console" / f"{server['node']}.log").stat().st_size > 1000
    assert ours(run) == []


def test_a_deployed_server_holds_no_secret_yet(run: RemoteRun, samples: Samples) -> None:
    assert_no_secret(run, samples, disks=True)


def test_setup_makes_every_server_healthy(run: RemoteRun, samples: Samples) -> None:
    with samples:
        run.must_play_as_awx("setup", "-vvv", "--diff")
    assert "inet " + control_vip(run) in run.ssh(CONTROLLER, "ip -4 address")


def test_initialize_makes_a_cloud_that_answers(run: RemoteRun, samples: Samples) -> None:
    with samples:
        run.must_play("initialize", "-vvv", "--diff")
    # The inventory's folder cannot be written to.
    assert (run.home / f"{STACK}-clouds.yaml").stat().st_mode & 0o777 == 0o600
    cloud = connect(run)
    assert cloud.auth_token
    assert {service.type for service in cloud.identity.services()} >= {"identity", "image"}
    content = os.urandom(1 << 20)
    image = cloud.create_image("proof", container_format="bare", disk_format="raw", data=content, wait=True)
    try:
        assert cloud.image.download_image(image).content == content
    finally:
        cloud.delete_image(image.id)


def test_a_second_run_changes_nothing(run: RemoteRun) -> None:
    events = [run.ipmitool(node, "sel", "elist") for node in run.nodes()]
    again = run.must_play_as_awx("site")
    assert again.changed == 0, again.output[-6000:]
    assert [run.ipmitool(node, "sel", "elist") for node in run.nodes()] == events
    assert ours(run) == []


@pytest.mark.parametrize("step", ["register", "plan", "boot", "push", "identity", "clouds", "prove"])
def test_each_step_alone_changes_nothing(run: RemoteRun, step: str) -> None:
    phase = next(phase for phase, steps in STEPS.items() if step in steps)
    again = run.must_play(phase, "--tags", step)
    assert again.changed == 0, again.output[-6000:]


def test_what_an_operator_altered_comes_back(run: RemoteRun) -> None:
    run.ssh(CONTROLLER, "echo '# by hand' >> /etc/glance/glance-api.conf")
    cloud = connect(run)
    endpoint = next(e for e in cloud.identity.endpoints() if ":9292" in e.url and e.interface == "admin")
    cloud.identity.update_endpoint(endpoint, url="http://192.0.2.99:9292")

    preview = run.must_play("setup", "--check", "--diff")
    assert preview.changed > 0
    assert run.must_play("setup").changed > 0
    assert "by hand" not in run.ssh(CONTROLLER, "cat /etc/glance/glance-api.conf")
    assert run.must_play("initialize").changed > 0
    assert "192.0.2.99" not in [e.url for e in connect(run).identity.endpoints()]


def test_another_database_password_changes_file_and_account_and_nothing_else(
    run: RemoteRun, samples: Samples, tmp_path: Path
) -> None:
    events = [run.ipmitool(node, "sel", "elist") for node in run.nodes()]
    (tmp_path / "password").write_text("opens-the-vault")
    (tmp_path / "given.yml").write_text(json.dumps({"tripleo_parameters": {"MysqlRootPassword": GIVEN}}))
    vault = ["--vault-password-file", str(tmp_path / "password")]
    subprocess.run([f"{BIN}/ansible-vault", "encrypt", *vault, tmp_path / "given.yml"], check=True)
    given = ["-vvv", "--diff", *vault, "-e", f"@{tmp_path / 'given.yml'}"]
    with samples:
        run.must_play("deploy", *given)
        assert run.must_play("setup", *given).changed > 0
    assert [run.ipmitool(node, "sel", "elist") for node in run.nodes()] == events
    assert run.ssh(CONTROLLER, "cat /root/.my.cnf") == f"[client]\nuser = root\npassword = {GIVEN}\n"
    # Not as the machine's root, whom the socket lets in without a password.
    select = "runuser -u nobody -- mariadb --no-defaults -u root -e 'SELECT 7'"
    assert "7" in run.ssh(CONTROLLER, f"MYSQL_PWD={shlex.quote(GIVEN)} {select}")
    assert "denied" in run.ssh(CONTROLLER, f"MYSQL_PWD=wrong {select} 2>&1 || true")
    assert run.must_play("setup", *given).changed == 0
    assert_no_secret(run, samples, [secret("the given password", GIVEN)])


def test_the_nodes_stand_alone(run: RemoteRun) -> None:
    for node in run.nodes():
        run.ipmitool(node, "chassis", "bootdev", "pxe", "options=persistent")
        run.ipmitool(node, "chassis", "power", "reset")
    deadline = time.monotonic() + 900
    while True:
        try:
            assert connect(run).auth_token
            break
        except Exception:
            if time.monotonic() > deadline:
                raise
            time.sleep(5)


def test_rack_down_leaves_nothing(run: RemoteRun) -> None:
    run.must_play("rack_down")
    listed = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout
    assert os.fspath(run.folder / ".work") not in listed


def control_vip(run: RemoteRun) -> str:
    address: str = run.plan()["ports"]["ControlVip"]["address"]
    return address


def connect(run: RemoteRun) -> openstack.connection.Connection:
    """A connection by the clouds.yaml that the run wrote for the operator."""
    path = run.home / f"{STACK}-clouds.yaml"
    config = openstack.config.OpenStackConfig(config_files=[os.fspath(path)], vendor_files=[], secure_files=[])
    return openstack.connection.Connection(config=config.get_one(STACK))
