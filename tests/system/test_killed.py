# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs that are killed at random moments: nothing is left, and the same command finishes and writes nothing twice.

KILL_SEED chooses the moments; it is printed.
"""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Iterator
from typing import Any

import pytest
from whole_run import Running, WholeRun
from witness import Witness, until

pytestmark = [pytest.mark.rack, pytest.mark.slow]
STACK = "pair"
NODES = ("n1", "n2")
MIB = 1024 * 1024
# Besides the image the ramdisk makes up to 64 MiB at the disk's end zero; a first boot grows the root file system.
OF_THE_RAMDISK = 100 * MIB
OF_THE_SYSTEM = 300 * MIB
BOOT_SECONDS = 240.0


@pytest.fixture
def witness(pair: WholeRun, monkeypatch: pytest.MonkeyPatch) -> Iterator[Witness]:
    witness = Witness(pair)
    monkeypatch.setenv("ANSIBLE_REMOTE_TMP", os.fspath(witness.remote))
    yield witness
    witness.seconds_until_nothing_is_left(5.0)


@pytest.fixture
def chance() -> random.Random:
    seed = os.environ.get("KILL_SEED") or str(int(time.time()))
    print(f"KILL_SEED={seed}")
    return random.Random(seed)


def kill(witness: Witness, running: Running, victim: str) -> None:
    """SIGKILL to what the victim's name says."""
    if victim == "ansible-playbook":
        running.process.kill()
    elif victim == "process group":
        os.killpg(running.process.pid, signal.SIGKILL)
    elif victim == "keeper":
        os.kill(int((witness.run.state / "keeper.pid").read_text()), signal.SIGKILL)
    else:
        found = witness.processes(victim)
        assert found, f"no {victim} runs"
        for pid in found:
            os.kill(pid, signal.SIGKILL)


def mid_write(witness: Witness, running: Running, low: float) -> dict[str, Any]:
    """Both servers' last events as soon as both have written so many percent."""

    def both() -> dict[str, Any]:
        assert running.process.poll() is None, running.output()[-4000:]
        return witness.writing(STACK, low)

    servers: dict[str, Any] = until("both write", both, BOOT_SECONDS)
    print("killed at", {name: f"{event['percent']:.0f} %" for name, event in servers.items()})
    return servers


def resume(witness: Witness, servers: dict[str, Any], before: dict[str, tuple[int, int]], pause: float = 0.0) -> None:
    """The same command after a pause finishes; the ramdisks write what is missing and restart into the systems."""
    with witness.written(NODES) as written:
        time.sleep(pause)
        began = time.monotonic()
        witness.run.must_play("deploy")
    print(f"finished {time.monotonic() - began:.0f} s after the same command was given")
    for event in servers.values():
        node, rest = event["node"], (1 - event["percent"] / 100) * witness.image_bytes()
        start, by_then = before[node]
        more = {number - start: total - (by_then if number == start else 0) for number, total in written[node].items()}
        print(f"{node}: killed at {event['percent']:.0f} % of {witness.image_bytes() // MIB} MiB; written after that:",
              ", ".join(f"{total // MIB} MiB by {'the ramdisk' if number == 0 else f'start {number} after it'}"
                        for number, total in sorted(more.items())))  # fmt: skip
        assert set(more) == {0, 1}, "a machine at work was started anew"
        assert more[0] <= rest + OF_THE_RAMDISK
        assert more[1] <= OF_THE_SYSTEM
    assert witness.run.must_play("deploy").changed == 0


def counters(witness: Witness) -> dict[str, tuple[int, int]]:
    return {node: witness.counters(node) for node in NODES}


@pytest.mark.parametrize(
    ("victim", "pause"), [("ansible-playbook", 10.0), ("process group", 120.0)], ids=["after 10 s", "after 120 s"]
)
def test_machines_that_write_are_adopted(witness: Witness, chance: random.Random, victim: str, pause: float) -> None:
    if victim == "ansible-playbook":
        # First a module in mid-work, before any machine writes: that run says so and ends.
        running = witness.run.start("deploy")
        module = chance.choice(["AnsiballZ_pxe_boot.py", "AnsiballZ_ipmi_power.py"])
        until(module, lambda: witness.processes(module), 120)
        kill(witness, running, module)
        assert running.done().rc != 0
        print(f"nothing was left {witness.seconds_until_nothing_is_left():.1f} s after {module} was killed")
    running = witness.run.start("deploy")
    servers = mid_write(witness, running, chance.uniform(20, 50))
    kill(witness, running, victim)
    before = counters(witness)
    if pause > 75:
        # Else the machines would be done by then: they are served until the lease has ended.
        kill(witness, running, "keeper")
        assert witness.writing(STACK, 20, 99)
    resume(witness, servers, before, pause)

    running = witness.run.start("setup")
    until("a push", lambda: any(event.get("step") for event in witness.servers(STACK).values()), 120)
    time.sleep(chance.uniform(0, 3))
    kill(witness, running, victim)
    print(f"setup: nothing was left after {witness.seconds_until_nothing_is_left():.1f} s")
    witness.run.must_play("setup")
    assert witness.run.must_play("setup").changed == 0


def test_a_killed_service_comes_back_and_a_killed_keeper_ends_the_run(witness: Witness, chance: random.Random) -> None:
    running = witness.run.start("deploy")
    until("both begin", lambda: len(witness.servers(STACK)) == 2, BOOT_SECONDS)
    time.sleep(chance.uniform(0, 5))
    kill(witness, running, "nginx: master")
    kill(witness, running, "dnsmasq")
    servers = mid_write(witness, running, chance.uniform(20, 50))
    before = counters(witness)
    kill(witness, running, "keeper")
    done = running.done()
    assert done.rc != 0 and "the keeper has ended" in done.output, done.output[-4000:]
    print(f"nothing was left after {witness.seconds_until_nothing_is_left():.1f} s")
    resume(witness, servers, before)


def test_a_machine_without_power_is_finished_alone(witness: Witness, chance: random.Random) -> None:
    running = witness.run.start("deploy", "-e", "provision_stage_timeout=90")
    servers = mid_write(witness, running, chance.uniform(20, 60))
    dark = chance.choice(NODES)
    (other,) = set(NODES) - {dark}
    witness.run.rack.power(dark, "off")
    done = running.done()
    assert done.rc != 0 and f"({dark})" in done.output, done.output[-4000:]
    assert {name: event["stage"] for name, event in witness.servers(STACK).items() if event["node"] == other} == {
        name: "booted" for name, event in servers.items() if event["node"] == other
    }
    starts, written = witness.counters(other)
    witness.run.must_play("deploy")
    assert {event["stage"] for event in witness.servers(STACK).values()} == {"booted"}
    again, more = witness.counters(other)
    print(f"{other}, which had booted: {(more - written) // MIB} MiB written while {dark} was finished")
    assert (again, more - written < OF_THE_SYSTEM) == (starts, True)
    assert witness.run.must_play("deploy").changed == 0


def test_a_written_image_is_not_written_again_when_all_died(witness: Witness, chance: random.Random) -> None:
    running = witness.run.start("deploy")

    def written() -> bool:
        stages = [event["stage"] for event in witness.servers(STACK).values()]
        return len(stages) == 2 and set(stages) <= {"written", "booted"}

    until("both are written", written, BOOT_SECONDS)
    before = counters(witness)
    kill(witness, running, "process group")
    with witness.written(NODES) as totals:
        if chance.random() < 0.5:
            kill(witness, running, "keeper")
            time.sleep(chance.uniform(10, 40))
        print(f"nothing was left {witness.seconds_until_nothing_is_left():.1f} s later")
        witness.run.must_play("deploy")
    for node in NODES:
        start, by_then = before[node]
        more = {number - start: total - (by_then if number == start else 0) for number, total in totals[node].items()}
        print(f"{node}: after its image was proven, by start:", {k: f"{v // MIB} MiB" for k, v in more.items()})
        assert all(total < OF_THE_SYSTEM for total in more.values())
    assert witness.run.must_play("deploy").changed == 0
