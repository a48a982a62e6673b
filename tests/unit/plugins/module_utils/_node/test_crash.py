# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The agent is killed, or the power goes: every file is wholly old or wholly new, and the next run finishes."""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
from agent_node import SYSTEM_PYTHON, Node
from recorded_disk import Recording, Tree, read_tree, write_tree

TEMPLATES = {
    "etc/app.conf": "password = {{password}}\n",
    "etc/large": "{{#lines}}{{.}} {{password}}\n{{/lines}}",
    "etc/new/below/made.conf": "{{#more}}{{password}}{{/more}}",
    "etc/new/below/made.conf.oac": "allow_empty: false",
    "etc/private": "{{password}}",
    "etc/private.oac": "{mode: 0600, owner: 1, group: 2}",
    "etc/gone": "{{^more}}{{password}}{{/more}}",
    "etc/gone.oac": "allow_empty: false",
    "etc/same": "same\n",
}
DOCUMENTS: dict[str, Any] = {
    "old": {"password": "old-password", "lines": ["a" * 90] * 40},
    "new": {"password": "new-password", "lines": ["b" * 90] * 60, "more": True},
}
SEED = int(os.environ.get("CRASH_SEED") or time.time())
KILLS = int(os.environ.get("CRASH_KILLS") or 60)
# The record of what a service was told lies on the disk before the phases go on.
TELL = '#!/bin/bash -eu\ncat "$NODE_AGENT_CHANGED" >>"{told}"\necho end >>"{told}"\nsync "{told}"\n'
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        os.geteuid() != 0 or not shutil.which("strace"), reason="owners need root, and the record strace"
    ),
]


class Crash:
    """A node that has OLD and is on its way to NEW, by ``push`` or by ``os-apply-config``."""

    def __init__(self, folder: Path, zipapp: Path, way: str, templates: dict[str, str]) -> None:
        folder.mkdir()
        self.way = way
        self.node = Node(folder, zipapp)
        self.node.environment.update(dict.fromkeys(("NODE_AGENT_LOG", "NODE_AGENT_APPLY_LOG"), f"{folder}.log"))
        for path, text in templates.items():
            self.node.write(f"templates/{path}", text)
        for name, document in DOCUMENTS.items():
            self.node.write(f"{name}.json", json.dumps(document))
        self.told = self.node.write("told", "")
        self.node.write("phases/post-configure.d/50-tell", TELL.format(told=self.told), 0o755)
        self.node.write("phases/health.d/app", "#!/bin/sh\n", 0o755)
        self.old = self.finish("old")
        self.told.write_text("")
        self.start = read_tree(str(folder))
        self.new = self.finish("new")
        self.back()
        differ = [path for path in {*self.old, *self.new} if self.old.get(path) != self.new.get(path)]
        self.changed = {f"{folder}{path}" for path in differ}

    def command(self, name: str) -> tuple[list[str], str]:
        """The agent's command line and standard input that bring a document."""
        agent = [SYSTEM_PYTHON, "-IS", str(self.node.zipapp)]
        if self.way == "push":
            documents = [["metadata", {"a": "b"}], ["all", DOCUMENTS[name]]]
            return [*agent, "push"], json.dumps({"documents": documents, "digest": name})
        return [*agent, "os-apply-config", "-m", str(self.node.folder / f"{name}.json")], ""

    def finish(self, name: str) -> Tree:
        """An undisturbed run; the files after it."""
        words, given = self.command(name)
        done = subprocess.run(
            words, env=self.node.environment, input=given, capture_output=True, text=True, check=False, cwd="/"
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return self.files(read_tree(str(self.node.folder)))

    def files(self, tree: Tree) -> Tree:
        """What lies below the root, without folders."""
        return {path: entry for path, entry in tree.items() if path.startswith("/root/") and entry[0] != "folder"}

    def back(self) -> None:
        write_tree(self.start, str(self.node.folder))

    def mixed(self, tree: Tree) -> list[str]:
        """Files that are neither as they were nor as they shall be."""
        now = self.files(tree)
        names = {*self.old, *self.new}
        return [path for path in sorted(names) if now.get(path) not in (self.old.get(path), self.new.get(path))]

    def recover(self) -> None:
        """The next run ends as an undisturbed one, and tells the services all that this change changed."""
        folder = self.node.folder
        was_told = "end" in self.told.read_text().splitlines()
        if self.way == "push":
            status = self.node.status()
            if status["healthy"]:
                files = self.files(read_tree(str(folder)))
                assert files == {"new": self.new, "old": self.old}[status["digest"]]
        self.told.write_text("")
        assert self.finish("new") == self.new
        if self.way == "push":
            missing = self.changed - set(self.told.read_text().splitlines())
            assert was_told or not missing, f"services were not told of {missing}"
            status = self.node.status()
            assert (status["digest"], status["healthy"], status["drift"]) == ("new", True, [])
            assert (folder / "state/changed").read_text() == ""


@pytest.fixture(params=["push", "os-apply-config"])
def crash(request: pytest.FixtureRequest, tmp_path: Path, zipapp: Path) -> Crash:
    return Crash(tmp_path / "node", zipapp, request.param, TEMPLATES)


def cut_power(crash: Crash, recoveries: int) -> None:
    """Look at every state that a power cut may leave at every step; recover from so many of them."""
    dice = random.Random(SEED)
    recording = Recording(crash.node.folder)
    words, given = crash.command("new")
    done = recording.run(words, crash.node.environment, given)
    assert done.returncode == 0, done.stdout + done.stderr
    states: dict[int, tuple[str, Tree]] = {}
    for step in range(len(recording.steps) + 1):
        for case, tree in recording.states(step, dice):
            after = recording.steps[step - 1] if step else "the start"
            where = f"step {step} ({after}), {case}"
            assert not crash.mixed(tree), f"{where}: neither old nor new: {crash.mixed(tree)}"
            if step == len(recording.steps):
                assert crash.files(tree) == crash.new, f"{where}: the run has ended and its files are not on the disk"
            states.setdefault(hash(tuple(tree.items())), (where, tree))
    print(f"seed {SEED}: {len(recording.steps)} steps, {len(states)} states")
    chosen = list(states.values())
    for where, tree in dice.sample(chosen, min(recoveries, len(chosen))):
        write_tree(tree, str(crash.node.folder))
        try:
            crash.recover()
        except AssertionError as error:
            raise AssertionError(f"seed {SEED}, {where}: {error}") from error


def test_a_power_cut(crash: Crash) -> None:
    cut_power(crash, 3)


def test_a_power_cut_at_every_step(crash: Crash) -> None:
    cut_power(crash, 400)


def kill_at_calls(crash: Crash, every: int) -> None:
    """Kill the agent as it enters each of its calls that change the disk, or every so manieth."""
    words, given = crash.command("new")
    calls = "write,fchmod,fchown,rename,unlink,mkdir,fsync,ftruncate"
    number, begun = 1, 0
    while True:
        crash.back()
        traced = ["strace", "-q", "-e", f"trace={calls}", "-e", f"inject={calls}:signal=KILL:when={number}"]
        done = subprocess.run(
            [*traced, "-o", "/dev/null", *words],
            env=crash.node.environment, input=given, capture_output=True, text=True, check=False, cwd="/",
        )  # fmt: skip
        if done.returncode == 0:
            break
        begun += 1
        mixed = crash.mixed(read_tree(str(crash.node.folder)))
        assert not mixed, f"killed at call {number}: neither old nor new: {mixed}"
        try:
            crash.recover()
        except AssertionError as error:
            raise AssertionError(f"killed at call {number}: {error}") from error
        number += every
    assert begun > 1


def test_a_kill(crash: Crash) -> None:
    kill_at_calls(crash, 13)


def test_a_kill_at_every_call(crash: Crash) -> None:
    kill_at_calls(crash, 1)


def test_kills_at_random_instants_of_an_apply_of_200_files(tmp_path: Path, zipapp: Path) -> None:
    templates = {
        f"etc/service{number % 20}/{number}.conf": f"# {number}\n{TEMPLATES['etc/large']}" for number in range(200)
    }
    crash = Crash(tmp_path / "node", zipapp, "push", templates)
    dice = random.Random(SEED)
    words, given = crash.command("new")
    whole = max(timed(crash) for _run in range(3))
    first = min(crash.changed)
    killed, counts = 0, []
    for attempt in range(KILLS):
        crash.back()
        agent = subprocess.Popen(
            words, env=crash.node.environment, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True, cwd="/"
        )
        assert agent.stdin
        agent.stdin.write(given)
        agent.stdin.close()
        if attempt % 2:
            # The renames take a few milliseconds of the whole: every other kill falls among them.
            while agent.poll() is None and not changed(crash, first):
                pass
            time.sleep(dice.random() * 0.002)
        else:
            time.sleep(dice.random() * whole)
        agent.kill()
        killed += agent.wait() == -9
        mixed = crash.mixed(read_tree(str(crash.node.folder)))
        assert not mixed, f"seed {SEED}, kill {attempt}: neither old nor new: {mixed}"
        counts.append(sum(changed(crash, path) for path in crash.changed))
        crash.recover()
    amid = sorted(count for count in counts if 0 < count < 200)
    ends = f"{counts.count(0)} with all old, {counts.count(200)} with all new"
    print(f"seed {SEED}: {killed} of {KILLS} killed within {whole:.2f} s, {ends}; new amid the swap: {amid}")
    # How many fall amid the renames is chance; every step of these is cut off one by one above.
    assert killed


def timed(crash: Crash) -> float:
    """Seconds of an undisturbed run from the old files to the new ones."""
    crash.back()
    begin = time.monotonic()
    crash.finish("new")
    return time.monotonic() - begin


def changed(crash: Crash, path: str) -> bool:
    """Whether a file has its new content already."""
    try:
        return Path(path).read_bytes() == crash.new[path.removeprefix(str(crash.node.folder))][4]
    except FileNotFoundError:
        return False
