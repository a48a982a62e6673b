# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Several people at once: one stack has one run at a time, two stacks share a keeper, prepare breaks no deployment."""

from __future__ import annotations

import contextlib
import json
import re
from typing import Any

import pytest
from whole_run import WholeRun
from witness import Witness, until

pytestmark = [pytest.mark.rack, pytest.mark.slow]
NODES = ("n1", "n2")
HELD = re.compile(
    r"\S+@\S+ \(process [0-9]+\) \(run [0-9a-f]{32}\) holds the stack pair since [0-9-]{10} [0-9:]{8} UTC"
)


def one_server(stack: str) -> list[str]:
    """Arguments that make a stack of this name with one server."""
    values = {"tripleo_stack": stack, "tripleo_parameters": {"Prefix": stack, "Count": 1}}
    return ["-e", json.dumps(values)]


def plans(run: WholeRun) -> dict[str, str]:
    return {path.name: path.read_text() for path in (run.state / "plans").iterdir()}


def power_commands(run: WholeRun, node: str) -> list[str]:
    """Power changes in the event log of a node's BMC; a machine that restarts by itself makes none."""
    lines = run.ipmitool(next(entry for entry in run.nodes() if entry["name"] == node), "sel", "elist").splitlines()
    return [line for line in lines if "Power Unit" in line]


def test_two_runs_of_one_stack_and_a_preparation(pair: WholeRun) -> None:
    witness = Witness(pair)
    first = pair.start("deploy")
    second = pair.start("deploy")
    done = {"first": first, "second": second}
    refused = until(
        "one is refused", lambda: [n for n, one in done.items() if one.process.poll() not in (None, 0)], 120
    )
    assert len(refused) == 1
    loser, winner = done.pop(refused[0]), done.popitem()[1]
    words = " ".join(loser.output().split())
    assert HELD.search(words) or "was changed by another run while this one planned" in words, words[-3000:]
    until("they write", lambda: witness.writing("pair", 5, 90), 240)

    # Four more people at once: another plan, the same plan, a preparation, and one that would change the services.
    before, commands = plans(pair), {node: power_commands(pair, node) for node in NODES}
    others = [pair.start("deploy", "-e", json.dumps({"tripleo_parameters": {"Prefix": "other"}})), pair.start("deploy")]
    prepare, moved = pair.start("prepare"), pair.start("prepare", "-e", "tripleo_http_port=8099")
    for one in [running.done() for running in others]:
        held = HELD.search(" ".join(one.output.split()))
        assert one.rc != 0 and held, one.output[-3000:]
        print(held.group())
    refused_port, prepared = moved.done(), prepare.done()
    assert refused_port.rc != 0 and "Machines boot now" in refused_port.output, refused_port.output[-3000:]
    assert (prepared.rc, prepared.changed) == (0, 0), prepared.output[-3000:]
    assert (plans(pair), {node: power_commands(pair, node) for node in NODES}) == (before, commands)

    finished = winner.done()
    assert finished.rc == 0, finished.output[-6000:]
    assert pair.must_play("deploy").changed == 0
    witness.seconds_until_nothing_is_left(5.0)


def test_two_stacks_share_a_keeper(pair: WholeRun) -> None:
    witness = Witness(pair)
    running = {stack: pair.start("deploy", *one_server(stack)) for stack in ("east", "west")}
    # The file of a keeper that ended long ago stays.
    pid_file, keepers = pair.state / "keeper.pid", set[str]()
    before = pid_file.read_text() if pid_file.exists() else ""

    def watch() -> bool:
        with contextlib.suppress(FileNotFoundError):
            keepers.add(pid_file.read_text())
        return all(one.process.poll() is not None for one in running.values())

    until("both are finished", watch, 500)
    for stack, one in running.items():
        assert one.process.poll() == 0, f"{stack}: {one.output()[-6000:]}"
    events: list[dict[str, Any]] = [json.loads(line) for line in (pair.state / "events.jsonl").read_text().splitlines()]
    used = {stack: {event["node"] for event in events if event["stack"] == stack} for stack in running}
    assert sorted(map(len, used.values())) == [1, 1] and len(set.union(*used.values())) == 2
    both = [event["time"] for event in events if event["stage"] == "writing"]
    spans = {stack: [event["time"] for event in events if event["stack"] == stack] for stack in running}
    print(
        f"keepers: {len(keepers - {before})}; events of both from {max(map(min, spans.values())) - min(both):.0f} s on"
    )
    assert len(keepers - {before}) == 1
    for stack in running:
        assert pair.must_play("deploy", *one_server(stack)).changed == 0
    witness.seconds_until_nothing_is_left(5.0)
