# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Parts of a run: steps by their tags, single servers, an operator's own tasks, phases in the wrong order."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from desk import Desk
from whole_run import BIN, ROOT, files_of

from tripleo_cloud.api import STEPS

COMPUTE, CONTROLLER = "workload-cloud-compute-0", "workload-cloud-controller-0"


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    made = Desk(tmp_path_factory.mktemp("desk"), "127.79.8")
    made.begin()
    yield made
    made.end()


@pytest.fixture(scope="module")
def registered(desk: Desk) -> Desk:
    """The desk with its nodes registered."""
    desk.must_play("prepare", "--tags", "register")
    return desk


@pytest.mark.parametrize("playbook", [*STEPS, "site"])
def test_the_tags_of_a_playbook_are_its_steps(desk: Desk, playbook: str) -> None:
    steps = STEPS[playbook] if playbook in STEPS else [step for phase in STEPS.values() for step in phase]
    listed = desk.must_play(playbook, "--list-tags").output
    tags = {tag for line in re.findall(r"TASK TAGS: \[(.*)\]", listed) for tag in line.split(", ")}
    assert tags == {*steps, "always"}


@pytest.mark.parametrize("phase", STEPS)
def test_the_docs_describe_every_step(phase: str) -> None:
    page = (ROOT / "docs" / "docsite" / "rst" / "parts.rst").read_text()
    rows = re.findall(r"^ +\* - ``(\w+)``\n +- ``(\w+)``\n +- \S", page, re.MULTILINE)
    assert tuple(step for name, step in rows if name == phase) == STEPS[phase]


def test_preparation_by_steps(desk: Desk, tmp_path: Path) -> None:
    where = ["-e", f"tripleo_state_dir={tmp_path}"]
    desk.must_play("prepare", "--tags", "deployment_cloud", *where)
    assert (tmp_path / "etc" / "dnsmasq.conf").is_file() and not (tmp_path / "deployment.sqlite").exists()
    desk.must_play("prepare", "--tags", "register", *where)
    assert (tmp_path / "deployment.sqlite").exists() and not (tmp_path / "cache").exists()


def test_tasks_of_the_operator_come_before_and_after(registered: Desk, tmp_path: Path) -> None:
    desk, notes = registered, tmp_path / "notes"
    note = {"ansible.builtin.shell": {"cmd": f"echo '{{{{ note }}}}' >> {notes}"}, "check_mode": False}
    (desk.inventory.parent / "note.yml").write_text(json.dumps([{"name": "Note", **note}]))
    (desk.inventory.parent / "before.yml").write_text(
        json.dumps([{"name": "First", "ansible.builtin.include_tasks": "note.yml", "vars": {"note": "before"}}])
    )
    after = "after {{ provision_plan.plan.stack }} {{ ansible_check_mode }}"
    (desk.inventory.parent / "after.yml").write_text(
        json.dumps([{"name": "Last", **note, "vars": {"note": after}}, {"name": "Who", "ansible.builtin.debug": {}}])
    )
    own = ["-e", "tripleo_deploy_pre=before.yml", "-e", "tripleo_deploy_post=after.yml", "--tags", "plan"]
    desk.must_play("deploy", "--check", *own)
    desk.must_play("deploy", *own)
    assert notes.read_text().splitlines() == [
        "before", "after workload-cloud True", "before", "after workload-cloud False",
    ]  # fmt: skip


def test_tasks_in_the_current_folder_of_an_operators_own_playbook(registered: Desk, tmp_path: Path) -> None:
    (tmp_path / "mine.yml").write_text(
        json.dumps([{"name": "Mine", "ansible.builtin.debug": {"msg": "mine, {{ provision_plan.plan.serial }}"}}])
    )
    playbook = tmp_path / "own.yml"
    playbook.write_text(json.dumps([{"name": "Deploy", "ansible.builtin.import_playbook": "tripleo.cloud.deploy"}]))
    words = ["-i", registered.inventory, playbook, "--tags", "plan", "-e", "tripleo_deploy_post=mine.yml"]
    environment = {**os.environ, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg")}
    done = subprocess.run(
        [BIN / "ansible-playbook", *words], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0 and "mine, 1" in done.stdout, done.stdout + done.stderr


def test_a_failure_before_ends_the_phase(registered: Desk, tmp_path: Path) -> None:
    fail = [{"name": "Refuse", "ansible.builtin.fail": {"msg": "the change is not approved"}}]
    (tmp_path / "fail.yml").write_text(json.dumps(fail))
    (tmp_path / "after.yml").write_text(json.dumps([{"name": "Celebrate", "ansible.builtin.debug": {}}]))
    before = files_of(registered.state)
    own = {"tripleo_deploy_pre": f"{tmp_path}/fail.yml", "tripleo_deploy_post": f"{tmp_path}/after.yml"}
    done = registered.play("deploy", "--tags", "plan", "-e", json.dumps(own))
    assert done.rc != 0 and "the change is not approved" in done.output and "Celebrate" not in done.output
    assert files_of(registered.state) == before
    swapped = {"tripleo_deploy_post": f"{tmp_path}/fail.yml"}
    assert registered.play("deploy", "--tags", "plan", "-e", json.dumps(swapped)).rc != 0


@pytest.mark.parametrize(("name", "more"), [("tripleo_deploy_post", []), ("tripleo_initialize_pre", ["--check"])])
def test_a_missing_task_file_is_told_before_anything_is_touched(registered: Desk, name: str, more: list[str]) -> None:
    before = files_of(registered.state)
    done = registered.play("deploy", "-e", f"{name}=nowhere.yml", *more)
    assert done.rc != 0 and f"{name} names nowhere.yml" in done.output
    assert str(registered.inventory.parent) in done.output
    assert files_of(registered.state) == before


@pytest.mark.parametrize(
    ("phase", "first"), [("deploy", "tripleo.cloud.prepare"), ("setup", "tripleo.cloud.deploy"),
                         ("initialize", "tripleo.cloud.deploy")],
)  # fmt: skip
def test_a_phase_names_the_one_to_run_before_it(desk: Desk, tmp_path: Path, phase: str, first: str) -> None:
    done = desk.play(phase, "-e", f"tripleo_state_dir={tmp_path / 'state'}")
    assert done.rc != 0 and re.search(rf"Next: [Rr]un the playbook {first}", done.output), done.output
    assert not (tmp_path / "state").exists()


def test_a_planned_stack_is_deployed_and_set_up_first(registered: Desk) -> None:
    registered.must_play("deploy", "--tags", "plan")
    before = files_of(registered.state)
    setup, initialize = registered.play("setup"), registered.play("initialize")
    assert setup.rc != 0 and "Next: run the playbook tripleo.cloud.deploy" in setup.output
    assert initialize.rc != 0 and "Next: Run the playbook tripleo.cloud.setup" in initialize.output
    assert {name for name in {**before, **files_of(registered.state)} if "sqlite" not in name} == {
        name for name in before if "sqlite" not in name
    }


@pytest.mark.parametrize(
    "words",
    [
        ["deploy", "-e", f"only={COMPUTE},nobody"],
        ["deploy", "--check", "-e", '{"tripleo_only": ["nobody"]}'],
        ["setup", "-e", "only=nobody"],
        ["setup", "--check", "-e", "only=nobody"],
    ],
)
def test_an_unknown_server_is_refused_with_those_that_are_there(registered: Desk, words: list[str]) -> None:
    registered.must_play("deploy", "--tags", "plan")
    before = files_of(registered.state)
    done = registered.play(*words)
    assert done.rc != 0 and re.search(rf"has no server nobody\. .*{COMPUTE}, {CONTROLLER}", done.output)
    assert files_of(registered.state) == before


@pytest.mark.parametrize("given", ["only=", "tripleo_only=a, ,b"])
def test_a_blank_name_does_not_mean_all(registered: Desk, given: str) -> None:
    done = registered.play("deploy", "-e", given)
    assert done.rc != 0 and "one of them is blank" in done.output


@pytest.mark.parametrize("given", [f"only={COMPUTE}", json.dumps({"only": [COMPUTE]})])
def test_the_preview_shows_what_is_asked_for(registered: Desk, given: str) -> None:
    shown = registered.must_play("deploy", "--check", "--diff", "-e", given)
    assert re.search(rf"\+ {COMPUTE} .*\n(.*\n){{2}} +OVERWRITES", shown.output)
    assert re.search(rf"  {CONTROLLER} .*\n.*\n +not deployed yet, and not asked for", shown.output)
