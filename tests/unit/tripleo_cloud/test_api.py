# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from ansible.parsing.vault import VaultLib, VaultSecret

from tripleo_cloud import Deployment, Kind


@pytest.fixture
def deployment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Deployment]:
    """A Deployment whose playbooks are those of a collection tripleo.cloud made of one play."""

    def make(tasks: list[dict[str, object]], **options: object) -> Deployment:
        collection = tmp_path / "collections" / "ansible_collections" / "tripleo" / "cloud"
        (collection / "playbooks").mkdir(parents=True)
        (collection / "galaxy.yml").write_text("namespace: tripleo\nname: cloud\nversion: 9.9.9\n")
        play = {"name": "A play", "hosts": "all", "gather_facts": False, "tasks": tasks}
        (collection / "playbooks" / "deploy.yml").write_text(json.dumps([play]))
        inventory = tmp_path / "hosts.json"
        host = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable}
        inventory.write_text(json.dumps({"all": {"hosts": {"localhost": host}}}))
        monkeypatch.setenv("ANSIBLE_COLLECTIONS_PATH", str(tmp_path / "collections"))
        monkeypatch.delenv("ANSIBLE_CONFIG", raising=False)
        monkeypatch.chdir(tmp_path)
        return Deployment(inventory, **options)  # type: ignore[arg-type]

    return make


def command(*argv: str) -> dict[str, object]:
    return {"name": "A command", "ansible.builtin.command": {"argv": list(argv)}}


def test_events_and_summary_of_a_good_run(deployment: Callable[..., Deployment]) -> None:
    run = deployment([command("true")], variables={"a": 1})
    kinds = [event.kind for event in run.deploy()]
    assert Kind.CHANGED in kinds
    assert kinds.index(Kind.TASK) < kinds.index(Kind.CHANGED)
    assert (run.summary.successful, run.summary.changed, run.summary.failures) == (True, 1, ())


def test_a_failure_has_its_message(deployment: Callable[..., Deployment]) -> None:
    run = deployment([{"name": "Refuse", "ansible.builtin.fail": {"msg": "n1: power on: no answer"}}])
    assert Kind.FAILED in [event.kind for event in run.deploy()]
    assert not run.summary.successful
    assert run.summary.failures == ("n1: power on: no answer",)


def test_options_reach_ansible(deployment: Callable[..., Deployment]) -> None:
    tasks = [
        {"name": "Told", "ansible.builtin.debug": {"msg": "{{ ansible_check_mode }} {{ tripleo_only | join(' ') }}"}}
    ]
    run = deployment(tasks, check=True, only=["a", "b"])
    assert any("True a b" in event.text for event in run.deploy())
    assert any("True c" in event.text for event in run.deploy(only=["c"]))


def test_passwords_answer_what_ansible_asks_and_are_forgotten(
    deployment: Callable[..., Deployment], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = tmp_path / "runs"
    runs.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(runs))
    vaulted = VaultLib([("default", VaultSecret(b"open-sesame"))]).encrypt("told: it is open\n")
    (tmp_path / "given.yml").write_bytes(vaulted)
    tasks = [{"name": "Told", "ansible.builtin.debug": {"msg": "{{ told }}"}}]
    run = deployment(
        tasks, arguments=["-e", f"@{tmp_path}/given.yml"], passwords={"vault": "open-sesame"}, variables={"a": "b"}
    )
    output = []
    for event in run.deploy():
        output.append(event.text)
        assert event.kind is not Kind.TASK or not list(runs.glob("tripleo-run-*/env/*"))
    assert list(runs.iterdir()) == [] and run.summary.successful
    assert "it is open" in "\n".join(output) and "open-sesame" not in "\n".join(output)


def test_cancel_leaves_no_worker(deployment: Callable[..., Deployment]) -> None:
    mark = f"97531{time.time_ns() % 10**6}"
    run = deployment([command("sleep", mark), command("true")])
    for event in run.deploy():
        if event.kind is Kind.TASK:
            run.cancel()
    assert run.summary.status == "canceled"
    assert subprocess.run(["pgrep", "-f", f"sleep {mark}"], check=False, stdout=subprocess.DEVNULL).returncode == 1


def test_a_killed_command_leaves_no_worker(deployment: Callable[..., Deployment], tmp_path: Path) -> None:
    mark = f"86420{time.time_ns() % 10**6}"
    run = deployment([command("sleep", mark)])
    argv = [sys.executable, "-m", "tripleo_cloud.cli", "deploy", "-i", str(run.inventory)]
    with open(tmp_path / "output", "w") as output:
        started = subprocess.Popen(argv, stdout=output, stderr=subprocess.STDOUT)
    while subprocess.run(["pgrep", "-f", f"sleep {mark}"], check=False, stdout=subprocess.DEVNULL).returncode:
        assert started.poll() is None, (tmp_path / "output").read_text()
        time.sleep(0.1)
    started.terminate()
    assert started.wait() == 130
    assert subprocess.run(["pgrep", "-f", f"sleep {mark}"], check=False, stdout=subprocess.DEVNULL).returncode == 1
    assert "deploy: the run was ended" in (tmp_path / "output").read_text()
