# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A real ansible-playbook in the middle of a push is killed: all of ours ends, and the same command goes on at once."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

TARGETS = Path(__file__).parent / "targets"
BIN = Path(sys.executable).parent
# Nothing of ours may be left after 75 seconds. Here no boot work is going on, and nothing has to be waited for.
SECONDS = 15.0


def until(condition: Callable[[], Any], seconds: float = 60.0) -> Any:
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < deadline, "it did not come true"
        time.sleep(0.05)
    return value


class Control:
    """Plays the role node_setup on two servers whose agents wait until they are let go."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "cloud").mkdir()
        script = TARGETS / "metadata_push" / "files" / "prepare.py"
        # Its sshd keeps the output open.
        with (folder / "made.json").open("w") as made:
            subprocess.run([sys.executable, script, folder / "cloud"], stdout=made, check=True)
        self.cloud: dict[str, Any] = json.loads((folder / "made.json").read_text())
        self.go = folder / "go"
        for node in (folder / "cloud" / "nodes").iterdir():
            phase = node / "phases" / "post-configure.d" / "50-app"
            phase.write_text(
                f"#!/bin/sh\ntouch $NODE_AGENT_STATE/begun\nwhile [ ! -e {self.go} ]; do sleep 0.1; done\n"
            )
        names = {"node_setup_state_dir": "state_dir", "node_setup_stack": "stack", "node_setup_port": "port",
                 "node_setup_agent": "agent"}  # fmt: skip
        play = {
            "hosts": "localhost",
            "gather_facts": False,
            "vars": {
                "ansible_connection": "local",
                "ansible_python_interpreter": sys.executable,
                **{name: self.cloud[key] for name, key in names.items()},
            },
            "roles": ["tripleo.cloud.node_setup"],
        }
        (folder / "play.yml").write_text(json.dumps([play]))

    def start(self) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [BIN / "ansible-playbook", "-i", "localhost,", self.folder / "play.yml"],
            cwd=TARGETS.parents[2],
            env={**os.environ, "ANSIBLE_REMOTE_TMP": os.fspath(self.folder / "remote")},
            stdout=(self.folder / "log").open("wb"),
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    def at_work(self) -> bool:
        return len(list((self.folder / "cloud" / "nodes").glob("*/state/begun"))) == 2

    def processes(self) -> dict[int, str]:
        """What runs on the control host and on the Deployment cloud: not the servers."""
        found = {}
        places = [os.fspath(self.folder / name) for name in ("play.yml", "remote", "cloud/state")]
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                words = path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
            except OSError:
                continue
            if any(place in words for place in places):
                found[int(path.parent.name)] = words
        return found


@pytest.fixture
def control(tmp_path: Path) -> Iterator[Control]:
    control = Control(tmp_path)
    yield control
    control.go.touch()
    os.kill(control.cloud["pid"], signal.SIGTERM)


def kill(control: Control, playbook: subprocess.Popen[bytes], victim: str) -> None:
    if victim == "playbook":
        playbook.kill()
    elif victim == "process group":
        os.killpg(playbook.pid, signal.SIGKILL)
    else:
        mark = {"worker": "play.yml", "module": "AnsiballZ_metadata_push.py"}[victim]
        found = {pid: words for pid, words in control.processes().items() if mark in words and pid != playbook.pid}
        for pid in found:
            os.kill(pid, signal.SIGKILL)
        assert found


@pytest.mark.parametrize(
    "victim",
    [
        pytest.param("playbook", marks=pytest.mark.slow),
        "process group",
        pytest.param("worker", marks=pytest.mark.slow),
        "module",
    ],
)
def test_what_is_killed_in_mid_push_leaves_nothing_and_is_resumed(control: Control, victim: str) -> None:
    playbook = control.start()
    until(control.at_work)
    assert any(" ssh " in f" {words}" for words in control.processes().values())
    kill(control, playbook, victim)
    killed = time.monotonic()
    # ansible-core 2.19 waits forever for a worker that was killed; that is for its operator to end.
    if victim == "worker":
        until(lambda: not any("AnsiballZ" in words for words in control.processes().values()), SECONDS)
        os.killpg(playbook.pid, signal.SIGKILL)
    playbook.wait(SECONDS)
    until(lambda: not control.processes(), SECONDS)
    print(f"nothing was left {time.monotonic() - killed:.1f} s after the {victim} was killed")
    assert not list(control.folder.glob("remote/**/private.json"))

    control.go.touch()
    again = control.start()
    assert again.wait(120) == 0, (control.folder / "log").read_text()[-6000:]
    assert not control.processes()
    runs = list((control.folder / "cloud" / "nodes").glob("*/root/etc/app.conf"))
    assert len(runs) == 2
