# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A real ansible-playbook in mid-work is killed: all of ours ends, and the same command goes on at once."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
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
VICTIMS = pytest.mark.parametrize(
    "victim",
    [
        pytest.param("playbook", marks=pytest.mark.slow),
        "process group",
        pytest.param("worker", marks=pytest.mark.slow),
        "module",
    ],
)


def until(condition: Callable[[], Any], seconds: float = 60.0) -> Any:
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < deadline, "it did not come true"
        time.sleep(0.05)
    return value


class Control:
    """A control host with one play, whose work waits for the file ``go``. marks: what command lines of ours hold."""

    def __init__(self, folder: Path, play: dict[str, Any], *marks: str) -> None:
        self.folder, self.go = folder, folder / "go"
        self.remote, self.log = folder / "remote", folder / "log"
        self._marks = [os.fspath(folder / "play.yml"), os.fspath(self.remote), *marks]
        connection = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable}
        play = {"hosts": "localhost", "gather_facts": False, **play, "vars": {**connection, **play.get("vars", {})}}
        (folder / "play.yml").write_text(json.dumps([play]))

    def start(self) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [BIN / "ansible-playbook", "-i", "localhost,", self.folder / "play.yml"],
            cwd=TARGETS.parents[2],
            env={**os.environ, "ANSIBLE_REMOTE_TMP": os.fspath(self.remote)},
            stdout=self.log.open("wb"),
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    def processes(self) -> dict[int, str]:
        """What runs on the control host and on the Deployment cloud."""
        found = {}
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            with contextlib.suppress(OSError):
                words = path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
                if any(mark in words for mark in self._marks):
                    found[int(path.parent.name)] = words
        return found

    def mounts(self) -> list[str]:
        """Mounts below the folder, in any namespace."""
        found = []
        for path in Path("/proc").glob("[0-9]*/mountinfo"):
            with contextlib.suppress(OSError):
                found += [line for line in path.read_text().splitlines() if os.fspath(self.folder) in line]
        return found

    def kill(self, playbook: subprocess.Popen[bytes], victim: str) -> None:
        """Kill the victim and wait until nothing of ours is left."""
        killed = time.monotonic()
        if victim == "playbook":
            playbook.kill()
        elif victim == "process group":
            os.killpg(playbook.pid, signal.SIGKILL)
        else:
            mark = {"worker": "play.yml", "module": "AnsiballZ_"}[victim]
            found = {pid: words for pid, words in self.processes().items() if mark in words and pid != playbook.pid}
            for pid in found:
                os.kill(pid, signal.SIGKILL)
            assert found
        if victim == "worker":
            # ansible-core 2.19 waits forever for a worker that was killed; that is for its operator to end.
            until(lambda: not any("AnsiballZ" in words for words in self.processes().values()), SECONDS)
            os.killpg(playbook.pid, signal.SIGKILL)
        playbook.wait(SECONDS)
        until(lambda: not self.processes() and not self.mounts(), SECONDS)
        print(f"nothing was left {time.monotonic() - killed:.1f} s after the {victim} was killed")
        assert not list(self.remote.rglob("private.json"))

    def again(self) -> None:
        """The same command, and nothing to wait for; it must finish."""
        self.go.touch()
        assert self.start().wait(120) == 0, self.log.read_text()[-6000:]
        assert not self.processes()


@pytest.fixture
def setup(tmp_path: Path) -> Iterator[Control]:
    """The role node_setup on two servers."""
    script = TARGETS / "metadata_push" / "files" / "prepare.py"
    (tmp_path / "cloud").mkdir()
    # Its sshd keeps the output open.
    with (tmp_path / "made.json").open("w") as made:
        subprocess.run([sys.executable, script, tmp_path / "cloud"], stdout=made, check=True)
    cloud: dict[str, Any] = json.loads((tmp_path / "made.json").read_text())
    variables = {f"node_setup_{name}": cloud[name] for name in ("state_dir", "stack", "port", "agent")}
    control = Control(tmp_path, {"vars": variables, "roles": ["tripleo.cloud.node_setup"]}, cloud["state_dir"])
    for node in (tmp_path / "cloud" / "nodes").iterdir():
        phase = node / "phases" / "post-configure.d" / "50-app"
        phase.write_text(f"#!/bin/sh\ntouch $NODE_AGENT_STATE/begun\nwhile [ ! -e {control.go} ]; do sleep 0.1; done\n")
    yield control
    control.go.touch()
    os.kill(cloud["pid"], signal.SIGTERM)


@VICTIMS
def test_a_push_that_is_killed(setup: Control, victim: str) -> None:
    nodes = setup.folder / "cloud" / "nodes"
    playbook = setup.start()
    until(lambda: len(list(nodes.glob("*/state/begun"))) == 2)
    assert any(" ssh " in f" {words}" for words in setup.processes().values())
    setup.kill(playbook, victim)
    setup.again()
    assert len(list(nodes.glob("*/root/etc/app.conf"))) == 2


def test_batches_that_are_killed_go_on_with_what_is_not_healthy(setup: Control) -> None:
    path = setup.folder / "play.yml"
    (play,) = json.loads(path.read_text())
    play["vars"].update(node_setup_canary=["server-0"], node_setup_serial=["1"])
    path.write_text(json.dumps([play]))
    nodes = setup.folder / "cloud" / "nodes"
    done, waiting = (nodes / f"127.0.1.{number}" for number in (1, 2))
    (done / "phases/post-configure.d/50-app").write_text("#!/bin/sh\necho run >> $NODE_AGENT_STATE/runs\n")
    playbook = setup.start()
    until((waiting / "state" / "begun").exists)
    setup.kill(playbook, "process group")
    setup.again()
    assert (done / "state" / "runs").read_text() == "run\n"
    assert (waiting / "root/etc/app.conf").exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can build images")
@VICTIMS
def test_a_build_that_is_killed(tmp_path: Path, victim: str) -> None:
    elements = tmp_path / "elements"
    shutil.copytree(TARGETS / "image_build" / "files" / "elements", elements)
    script = elements / "tiny-os" / "root.d" / "90-wait"
    script.write_text(
        '#!/bin/bash -eu\nmkdir -p "$TARGET_ROOT/mnt"\nmount -t tmpfs tmpfs "$TARGET_ROOT/mnt"\n'
        f'touch {tmp_path}/begun\nwhile [ ! -e {tmp_path}/go ]; do sleep 0.1; done\numount "$TARGET_ROOT/mnt"\n'
    )
    script.chmod(0o755)
    state = tmp_path / "state"
    build = {
        "state_dir": os.fspath(state),
        "elements_path": [os.fspath(elements)],
        "apt_lines": ["deb http://mirror.example/debian bookworm main"],
        "images": [{"name": "tiny-image", "elements": ["tiny-os"], "environment": {"TINY_VERSION": "1.0"}}],
    }
    tasks = [{"name": "Build", "tripleo.cloud.image_build": build}]
    control = Control(tmp_path, {"tasks": tasks}, os.fspath(state))
    playbook = control.start()
    until((tmp_path / "begun").exists)
    assert control.mounts()
    control.kill(playbook, victim)
    assert not (state / "images" / "tiny-image").exists()
    control.again()
    assert (state / "images" / "tiny-image" / "current" / "manifest.json").exists()
    assert not list((state / "build").iterdir()) and not list((state / "images").glob(".adding-*"))
