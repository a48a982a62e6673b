# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""`site --check` where nothing was prepared: it tells all, changes nothing, and what it tells is stored later."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from whole_run import ROOT, STACK, WholeRun, files_of

pytestmark = pytest.mark.rack
IMAGES = ROOT / "tests" / "integration" / "targets" / "stack" / "files" / "images.py"
SECRET = "Heifs23jk3-of-an-operator"
UNKNOWN = "known after prepare"
# Runs after the phase `deploy`, and keeps what its preview says.
KEEP = [
    {
        "name": "Keep the preview",
        "ansible.builtin.copy": {
            "content": "{{ provision_plan.planned | to_json }}",
            "dest": "{{ tripleo_kept }}",
            "mode": "0600",
        },
        "check_mode": False,
        "changed_when": False,
        "diff": False,
        "delegate_to": "localhost",
        "vars": {"ansible_python_interpreter": "{{ ansible_playbook_python }}"},
        "when": "provision_plan.planned is defined",
    }
]


@pytest.fixture(scope="module")
def run() -> Iterator[WholeRun]:
    """A rack that is up, and a Deployment cloud where nothing was done."""
    folder = ROOT / ".cache" / "preview"
    variables = {"tripleo_deploy_post": str(folder / "keep.yml"), "tripleo_kept": str(folder / "kept.json")}
    run = WholeRun(folder, {**variables, "tripleo_parameters": {"MysqlRootPassword": SECRET}})
    (folder / "keep.yml").write_text(yaml.safe_dump(KEEP))
    shutil.rmtree(run.state, ignore_errors=True)
    run.must_play("rack_up")
    yield run
    run.must_play("rack_down")


def kept(run: WholeRun) -> Any:
    """What the last preview said."""
    path = run.folder / "kept.json"
    text = path.read_text()
    path.unlink()
    return json.loads(text)


def look(run: WholeRun) -> dict[str, Any]:
    """Everything that a preview must leave alone."""
    nodes = run.nodes()
    return {
        "power": [run.ipmitool(node, "power", "status") for node in nodes],
        "events": [run.ipmitool(node, "sel", "elist") for node in nodes],
        "host": {folder: files_of(Path(folder)) for folder in ("/var/lib/tripleo-cloud", "/run/tripleo-cloud")},
        "inventory": files_of(run.inventory.parent),
        "state": files_of(run.state),
        "exists": run.state.exists(),
    }


def same(previewed: Any, stored: Any) -> bool:
    """Equal, field by field, but for what the preview says to be known later."""
    if isinstance(previewed, str) and UNKNOWN in previewed:
        return True
    if isinstance(previewed, dict):
        return set(previewed) == set(stored) and all(same(value, stored[key]) for key, value in previewed.items())
    if isinstance(previewed, list):
        return len(previewed) == len(stored) and all(map(same, previewed, stored))
    return bool(previewed == stored)


def test_the_preview_of_all_changes_nothing_and_is_what_is_stored(run: WholeRun) -> None:
    before = look(run)
    bare = run.must_play("site", "--check", "--diff")
    assert look(run) == before and not before["exists"]
    for words in (
        "inputs of control-image (there is no build of it)",
        "inputs of deploy-ramdisk (there is no build of it)",
        '"serial": "RACK0001"',
        f"{STACK}-controller-0 (Controller.0.Server) -> node n1",
        "OVERWRITES the disk with serial RACK0001",
        f"{STACK}-compute-0 on node n2",
        f"+ {STACK}-compute-0: it is not booted yet",
        "+service glance (image)",
        "known after tripleo.cloud.setup",
        "an image is uploaded",
        f"%{{given:MysqlRootPassword#{UNKNOWN}}}",
    ):
        assert words in bare.output, words
    # The state folder and its services' configuration, images, nodes, plan, boot, setup, identity and its proof.
    assert bare.changed == 9, bare.output[-2000:]
    assert SECRET not in bare.output
    early = kept(run)
    assert SECRET not in json.dumps(early)

    run.must_play("prepare", "--tags", "register")
    subprocess.run([sys.executable, IMAGES, run.state], check=True)
    before = look(run)
    late = run.must_play("deploy", "--check", "--diff")
    assert look(run) == before and SECRET not in late.output
    exact = kept(run)

    run.must_play("deploy", "--tags", "plan")
    stored = run.plan()
    assert exact["plan"] == stored and stored["hash"] in late.output
    assert same(early["plan"], stored)
    marked = {text.partition(" (")[0] for text in texts(early["plan"]) if UNKNOWN in text}
    assert marked == {UNKNOWN}
    assert early["plan"]["ports"] == stored["ports"] and UNKNOWN not in json.dumps(early["plan"]["networks"])
    documents = run.state / "documents"
    for name, document in exact["documents"].items():
        assert json.loads((documents / f"{name.partition(':')[2]}.json").read_text()) == document


def texts(value: Any) -> Iterator[str]:
    """Every text in a plan."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, (dict, list)):
        for part in value.values() if isinstance(value, dict) else value:
            yield from texts(part)


@pytest.fixture
def sshd(tmp_path: Path) -> Iterator[dict[str, Any]]:
    """Variables of a host that is reached by SSH: a second sshd of this machine."""
    port = 22_900
    for name in ("host", "user"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", tmp_path / name], check=True)
    Path("/run/sshd").mkdir(exist_ok=True)
    config = tmp_path / "sshd_config"
    config.write_text(
        f"ListenAddress 127.79.78.1:{port}\nHostKey {tmp_path}/host\nAuthorizedKeysFile {tmp_path}/user.pub\n"
        "StrictModes no\nPermitRootLogin prohibit-password\nPasswordAuthentication no\nUsePAM no\nUseDNS no\n"
        "PidFile none\nSubsystem sftp internal-sftp\n"
    )
    server = subprocess.Popen(["/usr/sbin/sshd", "-D", "-e", "-f", config], stderr=subprocess.DEVNULL)
    options = f"-o UserKnownHostsFile={tmp_path}/known -o StrictHostKeyChecking=accept-new"
    yield {
        "ansible_host": "127.79.78.1",
        "ansible_port": port,
        "ansible_user": "root",
        "ansible_ssh_private_key_file": str(tmp_path / "user"),
        "ansible_ssh_args": f"{options} -o ControlMaster=auto -o ControlPersist=5s",
        "ansible_pipelining": True,
        "ansible_python_interpreter": "/usr/bin/python3",
    }
    server.terminate()
    server.wait()


def test_a_deployment_cloud_without_python_is_previewed_on_the_control_host(
    run: WholeRun, sshd: dict[str, Any], tmp_path: Path
) -> None:
    host = {**sshd, "tripleo_state_dir": str(tmp_path / "state")}
    inventory = run.inventory.with_name("remote.yml")
    inventory.write_text(yaml.safe_dump({"all": {"children": {"deployment_cloud": {"hosts": {"undercloud": host}}}}}))
    remote = ("-i", str(inventory), "-e", f"tripleo_state_dir={tmp_path}/state", "--limit", "undercloud")
    before = look(run)
    bare = run.must_play("site", "--check", "--diff", *remote)
    assert look(run) == before and not (tmp_path / "state").exists()
    for words in (
        "Python packages to install: diskimage-builder",
        "undercloud has no Python environment yet: what follows is previewed on the control host",
        f'apt_lines: ["{UNKNOWN}"]',
        '"serial": "RACK0001"',
        f"{STACK}-controller-0 (Controller.0.Server) -> node n1",
        f"+ {STACK}-compute-0: it is not booted yet",
        "+service glance (image)",
        f"+{tmp_path}/state/secrets/{STACK}/clouds.yaml",
    ):
        assert words in bare.output, words
    assert bare.changed == 12 and SECRET not in bare.output
    assert {server["node"] for server in kept(run)["plan"]["servers"].values()} == {"n1", "n2"}

    real = run.play("deploy", *remote)
    assert real.rc != 0 and "Run the playbook tripleo.cloud.prepare" in real.output
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "deployment.sqlite").touch()
    lost = run.play("deploy", "--check", *remote)
    assert lost.rc != 0 and "Run the playbook tripleo.cloud.prepare" in lost.output
