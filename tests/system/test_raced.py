# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Several people at once: one stack has one run at a time, two stacks share a keeper, prepare breaks no deployment."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

import pytest
from whole_run import WholeRun
from witness import Witness, until

pytestmark = [pytest.mark.rack, pytest.mark.slow]
HELD = re.compile(
    r"\S+@\S+ \(process [0-9]+\) \(run [0-9a-f]{32}\) holds the stack pair since [0-9-]{10} [0-9:]{8} UTC"
)


def one_server(stack: str) -> list[str]:
    """Arguments that make a stack of this name with one server."""
    values = {"tripleo_stack": stack, "tripleo_parameters": {"Prefix": stack, "Count": 1}}
    return ["-e", json.dumps(values)]


def plans(run: WholeRun) -> dict[str, str]:
    return {path.name: path.read_text() for path in (run.state / "plans").iterdir()}


def log_of(run: WholeRun, node: str) -> str:
    """The event log of a node's BMC: each power command is in it."""
    return run.ipmitool(next(entry for entry in run.nodes() if entry["name"] == node), "sel", "elist")


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

    # With another plan, with the same one, and one step ahead of all of it: nothing changes.
    before, events = plans(pair), {node: log_of(pair, node) for node in ("n1", "n2")}
    other = pair.play("deploy", "-e", json.dumps({"tripleo_parameters": {"Prefix": "other"}}))
    same = pair.play("deploy")
    prepare = pair.must_play("prepare")
    assert winner.process.poll() is None
    for one in (other, same):
        assert one.rc != 0 and HELD.search(" ".join(one.output.split())), one.output[-3000:]
        print(HELD.search(" ".join(one.output.split())))
    assert (plans(pair), {node: log_of(pair, node) for node in events}) == (before, events)
    assert prepare.changed == 0
    refused_port = pair.play("prepare", "-e", "tripleo_http_port=8099")
    assert refused_port.rc != 0 and "Machines boot now" in refused_port.output, refused_port.output[-3000:]

    finished = winner.done()
    assert finished.rc == 0, finished.output[-6000:]
    assert pair.must_play("deploy").changed == 0
    witness.seconds_until_nothing_is_left(5.0)


def test_two_stacks_share_a_keeper(pair: WholeRun) -> None:
    witness = Witness(pair)
    running = {stack: pair.start("deploy", *one_server(stack)) for stack in ("east", "west")}
    keepers: set[str] = set()

    def watch() -> bool:
        for path in witness.processes("_run", "unshare"):
            keepers.add(_beginning(path))
        return all(one.process.poll() is not None for one in running.values())

    until("both are finished", watch, 500)
    for stack, one in running.items():
        assert one.process.poll() == 0, f"{stack}: {one.output()[-6000:]}"
    events: list[dict[str, Any]] = [json.loads(line) for line in (pair.state / "events.jsonl").read_text().splitlines()]
    used = {stack: {event["node"] for event in events if event["stack"] == stack} for stack in running}
    assert sorted(map(len, used.values())) == [1, 1] and len(set.union(*used.values())) == 2
    both = [event["time"] for event in events if event["stage"] == "writing"]
    spans = {stack: [event["time"] for event in events if event["stack"] == stack] for stack in running}
    print(f"keepers: {len(keepers)}; events of both from {max(map(min, spans.values())) - min(both):.0f} s on")
    assert len(keepers) == 1
    for stack in running:
        assert pair.must_play("deploy", *one_server(stack)).changed == 0
    witness.seconds_until_nothing_is_left(5.0)


def _beginning(pid: int) -> str:
    """What tells one process from another that has its number later."""
    try:
        return f"{pid} {Path(f'/proc/{pid}/stat').read_text().rpartition(')')[2].split()[19]}"
    except OSError:
        return os.fspath(pid) if isinstance(pid, Path) else str(pid)
