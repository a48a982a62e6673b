# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One apply of 100 templates with a 1 MB document, beside os-apply-config and os-refresh-config 14.1.0.

The programs take turns, so that what else the machine does hits all of them, and their files are compared after each
round. Ours lies there as it does on a node: unpacked and compiled. All run on the interpreter of the originals. Cold
means that the page cache holds none of the files of program, interpreter and inputs that nobody else has open.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from resource import RUSAGE_CHILDREN, getrusage
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parents[1]
ORIGINALS = ROOT / ".cache" / "oracle" / "venv" / "bin"
NAMES = ("os-apply-config", "os-refresh-config", "dib-run-parts")
GOAL = 5.0


class Cost(NamedTuple):
    """Milliseconds."""

    wall: float
    cpu: float


class Side:
    """A program's folders: what it reads is shared, what it writes is its own."""

    def __init__(self, name: str, folder: Path, programs: Path, shared: Path) -> None:
        self.name = name
        self.root = folder / "root"
        self.programs = programs
        self.shared = shared
        folder.mkdir()
        self.environment = {
            "PATH": f"{programs}:/usr/sbin:/usr/bin:/sbin:/bin",
            "HOME": str(folder),
            "LC_ALL": "C",
            "OS_CONFIG_FILES": f"{shared}/document.json",
            "OS_CONFIG_APPLIER_TEMPLATES": f"{shared}/templates",
            "OS_REFRESH_CONFIG_BASE_DIR": f"{shared}/phases",
            "NODE_AGENT_STATE": f"{folder}/state",
            "NODE_AGENT_APPLY_LOG": f"{folder}/log",
            "OUTPUT": str(self.root),
        }
        quiet = ["--lockfile", f"{folder}/lock", "--log-level", "ERROR"]
        self.commands = {
            "os-apply-config": [f"{programs}/os-apply-config", "-o", str(self.root)],
            "os-refresh-config": [f"{programs}/os-refresh-config", *quiet],
        }

    def run(self, program: str) -> Cost:
        before = getrusage(RUSAGE_CHILDREN)
        start = time.perf_counter()
        done = subprocess.run(self.commands[program], env=self.environment, capture_output=True, check=False, cwd="/")
        wall = time.perf_counter() - start
        after = getrusage(RUSAGE_CHILDREN)
        if done.returncode:
            sys.exit(f"{self.name}: {program} failed: {done.stderr.decode()}")
        cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        return Cost(1000 * wall, 1000 * cpu)

    def chill(self) -> None:
        """Drop what a run reads from the page cache."""
        os.sync()
        library = Path(sysconfig.get_path("stdlib"))
        for tree in (self.programs.parent, self.shared, self.root, self.root.parent / "state", library):
            for path in tree.rglob("*"):
                if path.is_file():
                    descriptor = os.open(path, os.O_RDONLY)
                    os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
                    os.close(descriptor)

    def files(self) -> dict[str, tuple[int, bytes]]:
        found = [path for path in self.root.rglob("*") if path.is_file()]
        return {str(path.relative_to(self.root)): (path.stat().st_mode, path.read_bytes()) for path in found}


class Inputs:
    """100 templates of 1.2 KB with 30 values each, and a document of 1 MB for 100 services."""

    def __init__(self, shared: Path) -> None:
        self.document = shared / "document.json"
        self.number = 0
        for number in range(100):
            service = f"service{number}"
            lines = [f"key{key} = {{{{{service}.key{key}}}}}\n" for key in range(1, 40, 2)]
            lines += [
                f"{{{{#{service}.key{key}}}}}\nhost={{{{host}}}} port={{{{port}}}}\n{{{{/{service}.key{key}}}}}\n"
                for key in range(0, 20, 2)
            ]
            template = shared / "templates" / "etc" / service / f"{service}.conf"
            template.parent.mkdir(parents=True)
            template.write_text("".join(lines))
        self.values: dict[str, Any] = {
            f"service{number}": {
                f"key{key}": "x" * 90 if key % 2 else {"host": f"10.0.{number}.{key}", "port": 5000 + key, "on": True}
                for key in range(140)
            }
            for number in range(100)
        }
        self.write()

    def write(self) -> None:
        self.document.write_text(json.dumps(self.values))

    def change_one(self) -> None:
        """Another value of one key in one template."""
        self.number += 1
        self.values["service7"]["key1"] = f"value {self.number}"
        self.write()

    def change_all(self) -> None:
        """Another value of one key in each template."""
        self.number += 1
        for service in self.values.values():
            service["key3"] = f"value {self.number}"
        self.write()

    def keep(self) -> None:
        """Change nothing."""


def scripts(shared: Path) -> None:
    """Phases as a small element has them; the files are applied by the program that stands first in PATH."""
    texts = {
        "pre-configure.d/10-nothing": "true",
        "configure.d/20-os-apply-config": 'os-apply-config -o "$OUTPUT" >/dev/null 2>&1',
        "post-configure.d/50-service": "true",
        "migration.d/50-migrate": "true",
    }
    for path, text in texts.items():
        file = shared / "phases" / path
        file.parent.mkdir(parents=True)
        file.write_text(f"#!/bin/sh\n{text}\n")
        file.chmod(0o755)
    environment = shared / "phases" / "environment.d" / "10-nothing"
    environment.parent.mkdir()
    environment.write_text("export BENCHMARK=1\n")


def ours(folder: Path) -> Path:
    """The agent as on a node; the folder of its programs."""
    archive, unpacked, programs = folder / "node-agent.pyz", folder / "agent", folder / "bin"
    subprocess.run([ROOT / ".venv" / "bin" / "python", ROOT / "agent" / "build.py", archive], check=True)
    python = os.path.realpath(ORIGINALS / "python3")
    subprocess.run([python, "-m", "zipfile", "-e", archive, unpacked], check=True)
    subprocess.run([python, "-m", "compileall", "-q", "--invalidation-mode", "unchecked-hash", unpacked], check=True)
    programs.mkdir()
    program = programs / "node-agent"
    program.write_text(
        f"#!{python} -IS\nimport sys\n\nsys.path.insert(0, {str(unpacked)!r})\n"
        "from node_agent import main\n\nsys.exit(main(sys.argv))\n"
    )
    program.chmod(0o755)
    for name in NAMES:
        (programs / name).symlink_to("node-agent")
    return programs


def originals(folder: Path) -> Path:
    programs = folder / "bin"
    programs.mkdir()
    for name in NAMES:
        (programs / name).symlink_to(ORIGINALS / name)
    return programs


def measure(sides: list[Side], inputs: Inputs, rounds: int) -> Iterator[tuple[str, str, list[Cost]]]:
    """Program, case and the median cost of each side."""
    cases = [
        ("nothing changed, warm", inputs.keep, False),
        ("nothing changed, cold", inputs.keep, True),
        ("one key changed, warm", inputs.change_one, False),
        ("one key changed, cold", inputs.change_one, True),
        ("a key of each template changed, warm", inputs.change_all, False),
    ]
    for program in ("os-apply-config", "os-refresh-config"):
        for case, change, cold in cases:
            for side in sides:
                side.run(program)
            costs: list[list[Cost]] = [[] for _side in sides]
            for _round in range(rounds):
                change()
                for side, found in zip(sides, costs, strict=True):
                    if cold:
                        side.chill()
                    found.append(side.run(program))
                if sides[0].files() != sides[1].files():
                    sys.exit(f"{program}, {case}: the files differ")
            yield program, case, [Cost(*map(statistics.median, zip(*found, strict=True))) for found in costs]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15, help="of which the median is shown (default: %(default)s)")
    options = parser.parse_args()
    if not ORIGINALS.exists():
        sys.exit("the originals are not installed: make oracle")
    if os.geteuid() == 0:
        # As root the original writes to a log, and both read cfn's documents: not those of this host.
        if not os.environ.get("BENCHMARK_APART"):
            os.environ["BENCHMARK_APART"] = "1"
            os.execvp("unshare", ["unshare", "--mount", "--propagation", "private", sys.executable, *sys.argv])
        for place in ("/var/log", "/var/cache"):
            subprocess.run(["mount", "-t", "tmpfs", "none", place], check=True)
    with tempfile.TemporaryDirectory() as name:
        shared, mine, theirs = (Path(name) / part for part in ("shared", "mine", "theirs"))
        for folder in (shared, mine, theirs):
            folder.mkdir()
        inputs = Inputs(shared)
        scripts(shared)
        sides = [
            Side("original", theirs / "node", originals(theirs), shared),
            Side("ours", mine / "node", ours(mine), shared),
        ]
        size, load = inputs.document.stat().st_size / 1e6, os.getloadavg()[0]
        print(f"100 templates, {size:.2f} MB of metadata, medians of {options.rounds}, load {load:.1f}")
        heads = f"{'original: wall':>16} {'CPU':>8} {'ours: wall':>14} {'CPU':>8} {'faster: wall':>14} {'CPU':>8}"
        print(f"{'':56} {heads}")
        for program, case, (theirs_cost, mine_cost) in measure(sides, inputs, options.rounds):
            print(
                f"{program + ', ' + case:56} {theirs_cost.wall:13.0f} ms {theirs_cost.cpu:5.0f} ms "
                f"{mine_cost.wall:11.0f} ms {mine_cost.cpu:5.0f} ms "
                f"{theirs_cost.wall / mine_cost.wall:12.1f} x {theirs_cost.cpu / mine_cost.cpu:6.1f} x",
                flush=True,
            )
        print(f"goal: os-apply-config with nothing changed {GOAL:.0f} x")


if __name__ == "__main__":
    main()
