# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A machine that does not come ends in time with its cause, holds no other one up, and comes once it is mended."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.tripleo.cloud.plugins.module_utils._state.records import ServerRecord
from ansible_collections.tripleo.cloud.plugins.module_utils._state.store import State
from faults import bad_sectors, silent_bmc, unplugged, wait
from whole_run import Done, Running, WholeRun

pytestmark = [pytest.mark.slow, pytest.mark.rack]

AGAIN = "then run: ansible-playbook tripleo.cloud.deploy"
# The ramdisk of a first run on a machine may take that long here; the limit of later ones is learned.
NEVER_SEEN = ["-e", "provision_stage_timeout=240"]


@pytest.fixture
def twins(pair: WholeRun) -> WholeRun:
    """The pair with nodes that are described alike, so that each one's times say something about the other's."""
    pair.override(tripleo_nodes_file=str(pair.folder / "twins.yaml"))
    write_nodes(pair, twin_nodes(pair))
    pair.must_play("prepare", "--tags", "register")
    return pair


def twin_nodes(run: WholeRun) -> list[dict[str, Any]]:
    return [{**node, "cpus": 1, "memory": 1024, "disk": 6} for node in run.nodes()]


def write_nodes(run: WholeRun, nodes: list[dict[str, Any]]) -> None:
    (run.folder / "twins.yaml").write_text(yaml.safe_dump({"nodes": nodes}))


def servers(run: WholeRun) -> dict[str, ServerRecord]:
    with State.open(str(run.state), read_only=True) as state:
        return state.servers("pair")


def aside(run: WholeRun) -> dict[str, list[str]]:
    with State.open(str(run.state), read_only=True) as state:
        return {name: [mark.cause for mark in marks] for name, marks in state.aside().items()}


def events(run: WholeRun, server: str) -> list[str]:
    """Stages of a server in all runs, oldest first, each once in a row."""
    stages: list[str] = []
    for line in (run.state / "events.jsonl").read_text().splitlines():
        event = json.loads(line)
        if event["server"] == server and stages[-1:] != [event["stage"]]:
            stages.append(event["stage"])
    return stages


def failed_alone(run: WholeRun, done: Done, cause: str) -> None:
    """The run failed with pair-1, its cause and the next command; pair-0 is booted, and only n2 is set aside."""
    text = " ".join(done.output.split())
    assert done.rc != 0
    assert re.search(rf"pair-1 \(n2\): stage \w+: {cause}", text), done.output[-6000:]
    assert AGAIN in text
    assert servers(run)["pair-0"].stage == "booted", done.output[-6000:]
    assert list(aside(run)) == ["n2"]


def stage_of(running: Running, run: WholeRun, server: str, stage: str) -> None:
    """Wait until a server is at a stage while a run goes on."""
    before = len(events(run, server)) if (run.state / "events.jsonl").exists() else 0
    wait(lambda: stage in events(run, server)[before:] or running.process.poll() is not None, 300)
    assert running.process.poll() is None, running.output()[-6000:]


def boot_script(run: WholeRun, server: str) -> Path:
    """What a server's machine boots from, as it is served."""
    address = next(it["networks"]["ctlplane"][0] for it in plan(run)["servers"].values() if it["name"] == server)
    (script,) = (run.state / "serve" / address).glob("*/boot.ipxe")
    return script


def plan(run: WholeRun) -> dict[str, Any]:
    with State.open(str(run.state), read_only=True) as state:
        return state.plan("pair")


def test_bmc_cable_and_system_are_silent(twins: WholeRun) -> None:
    with silent_bmc(twins, "n2"):
        failed_alone(twins, twins.play("deploy", *NEVER_SEEN), "boot device network: the BMC at .* does not answer")
        registered = twins.must_play("prepare", "--tags", "register")
        assert "n2: check the BMC" in registered.output
        assert len(aside(twins)["n2"]) == 2
    twins.must_play("prepare", "--tags", "register")
    assert len(aside(twins)["n2"]) == 1, "what the registration saw is over, what the deployment saw is not"
    first = plan(twins)["hash"]

    with unplugged(twins, 1) as unplug:
        unplug()
        done = twins.play("deploy")
        learned = r"it has not asked for its boot script for \d+ s; machines like it took \d+ s before"
        failed_alone(twins, done, learned + ".*no DHCP request of it was seen")

    with unplugged(twins, 1) as unplug:
        running = twins.start("deploy", *NEVER_SEEN)
        stage_of(running, twins, "pair-1", "written")
        unplug()
        failed_alone(twins, running.done(), r"its operating system has not reported for \d+ s; machines like it took")
    assert servers(twins)["pair-1"].stage == "written"

    writes = events(twins, "pair-1").count("writing")
    twins.must_play("deploy")
    assert plan(twins)["hash"] == first
    assert servers(twins)["pair-1"].stage == "booted" and aside(twins) == {}
    assert events(twins, "pair-1").count("writing") == writes, "what is proven is not written again"
    assert events(twins, "pair-0").count("writing") == 1


def test_disk_and_ramdisk_fail(twins: WholeRun) -> None:
    good = twin_nodes(twins)
    write_nodes(twins, [good[0], {**good[1], "root_device": {"serial": "NOTHERE"}}])
    twins.must_play("prepare", "--tags", "register")
    failed_alone(twins, twins.play("deploy", *NEVER_SEEN), ".*NOTHERE")
    assert twins.play("deploy").rc != 0, "the same plan tries it again"

    # Another disk is another plan, which does not choose the node until it is given free.
    write_nodes(twins, good)
    twins.must_play("prepare", "--tags", "register")
    command = "ansible-playbook tripleo.cloud.maintenance -e names=n2 -e maintenance=false"
    refused = twins.play("deploy", "--check")
    assert refused.rc != 0 and command in " ".join(refused.output.split()), refused.output[-4000:]
    twins.must_play(*command.split()[1].rsplit(".", 1)[1:], *command.split()[2:])
    assert aside(twins) == {}

    with bad_sectors(twins, "n2", good[1]["root_device"]["serial"], 400_000):
        failed_alone(twins, twins.play("deploy", *NEVER_SEEN), ".*Input/output error")
        twins.rack.power("n2", "off")

    running = twins.start("deploy")
    # Its firmware takes a few seconds from there to the script.
    stage_of(running, twins, "pair-1", "powered")
    script = boot_script(twins, "pair-1")
    script.write_text(script.read_text().replace("initrd=ramdisk", "initrd=ramdisk rdinit=/nothing"))
    failed_alone(twins, running.done(), r"its deploy ramdisk has not reported for \d+ s; it took")

    twins.must_play("deploy")
    assert servers(twins)["pair-1"].stage == "booted" and aside(twins) == {}
