# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The originals and ours side by side: a scenario runs on a machine of each, and what they did is compared."""

from __future__ import annotations

import base64
import json
import re
import subprocess
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

HERE = Path(__file__).resolve().parent
CACHE = HERE.parents[1] / ".cache" / "oracle"
ORIGINALS = CACHE / "venv" / "bin"
DIFFERENCES: dict[str, dict[str, str]] = yaml.safe_load((HERE / "differences.yml").read_text())

# Everything that the programs write by default lies in memory that only one machine sees.
MOUNTS = "/mnt /var/lib /var/log /var/cache /run /opt /usr/libexec /tmp"
NAMESPACE = f"""for folder in {MOUNTS}; do mount -t tmpfs -o mode=0755 tmpfs "$folder" || exit 99; done; exec "$@" """
TIME = re.compile(
    r"\[\d{4}/\d\d/\d\d [\d:]+ [AP]M\]|\[\d{4}-\d\d-\d\d [\d:,]+\]"
    r"|(?<=dib-run-parts )\w{3} \w{3} [ \d]\d [\d:]+ \w+ \d+"
    r"|(?<= )\d+\.\d{3}$|^\d{4}-\d\d-\d\d [\d:.]+ \d+(?= )",
    re.MULTILINE,
)


@dataclass(frozen=True)
class Result:
    """What a program left: exit status, standard output, standard error without its times."""

    status: int
    output: bytes
    errors: str


class Machine:
    """One side, with empty folders of its own."""

    def __init__(self, side: str, python: Path, program: Path) -> None:
        self.side = side
        self.program = program
        command = ["unshare", "--mount", "--propagation", "private", "--", "/bin/sh", "-c", NAMESPACE, "sh"]
        command += [str(python), *(["-S"] if side == "ours" else []), str(HERE / "server.py"), side, str(program)]
        environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C", "HOME": "/root"}
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
        )
        self.record: list[Any] = []

    def ask(self, do: str, **request: Any) -> Any:
        assert self.process.stdin and self.process.stdout
        self.process.stdin.write(json.dumps({"do": do, **request}) + "\n")
        self.process.stdin.flush()
        answer = json.loads(self.process.stdout.readline() or '{"error": "the server has ended"}')
        if "error" in answer:
            raise RuntimeError(answer["error"])
        return answer["value"]

    def close(self) -> None:
        assert self.process.stdin
        self.process.stdin.close()
        self.process.wait()

    def write(
        self,
        path: str,
        text: str | bytes = "",
        mode: int | None = None,
        kind: str = "file",
        owner: tuple[int, int] | None = None,
    ) -> None:
        content = (
            text if kind == "link" else base64.b64encode(text.encode() if isinstance(text, str) else text).decode()
        )
        self.ask("write", path=path, text=content, mode=mode, kind=kind, owner=owner)

    def document(self, path: str, value: Any) -> None:
        self.write(path, json.dumps(value))

    def script(self, path: str, text: str, mode: int = 0o755) -> None:
        self.write(path, f"#!/bin/bash\n{text}\n", mode)

    def remove(self, path: str) -> None:
        self.ask("remove", path=path)

    def start(
        self, *argv: str, env: Mapping[str, str] | None = None, stdin: bytes = b"", cwd: str = "/mnt/home"
    ) -> int:
        """Start a program; its process."""
        environment = {
            "PATH": f"{self.program}:/usr/sbin:/usr/bin:/sbin:/bin",
            "HOME": "/mnt/home",
            "LC_ALL": "C",
            **(env or {}),
        }
        given = base64.b64encode(stdin).decode()
        started: int = self.ask("start", argv=argv, env=environment, cwd=cwd, stdin=given)
        return started

    def wait(self, process: int, seconds: float = 60) -> Result:
        """The end of a process, which counts in the comparison."""
        status, output, errors = self.ask("wait", pid=process, seconds=seconds)
        text = base64.b64decode(errors).decode(errors="replace")
        result = Result(status, base64.b64decode(output), TIME.sub("TIME", text))
        self.record.append(result)
        return result

    def run(self, *argv: str, **options: Any) -> Result:
        return self.wait(self.start(*argv, **options))

    def snapshot(self, root: str, counts: bool = True) -> dict[str, Any]:
        """Each entry below root: kind and mode, owner, content."""
        found: dict[str, Any] = self.ask("snapshot", root=root)
        for entry in found.values():
            if entry[0].startswith("0o10"):
                entry[3] = base64.b64decode(entry[3])
        if counts:
            self.record.append(found)
        return found

    def read(self, path: str) -> bytes | None:
        """The content of a file; None when there is none."""
        found = self.ask("read", path=path)
        return None if found is None else base64.b64decode(found)

    def inode(self, path: str) -> int:
        found: int = self.ask("inode", path=path)
        return found


Scenario = Callable[[Machine], Any]


class Pair:
    """Both machines, and how much was compared on them."""

    def __init__(self, original: Machine, ours: Machine, counts: Counter[str]) -> None:
        self.original = original
        self.ours = ours
        self.counts = counts

    def _both(self, scenario: Scenario) -> tuple[list[Any], list[Any]]:
        for machine in (self.original, self.ours):
            machine.ask("reset")
            machine.record = []
            scenario(machine)
        return self.original.record, self.ours.record

    def same(self, scenario: Scenario, what: str, errors: str = "lines") -> list[Any]:
        """Run the scenario on both; all that it recorded is equal. What ours did.

        errors: ``exact`` compares standard error as it is, ``lines`` in any order and not after a failure, where
        the texts are our own, and ``none`` not at all.
        """
        original, ours = self._both(scenario)
        self.counts[what] += sum(isinstance(entry, Result) for entry in ours)
        for mine, theirs in zip(ours, original, strict=True):
            equal = _comparable(mine, errors) == _comparable(theirs, errors)
            assert equal, f"the original: {theirs}\nours: {mine}"
        return ours

    def differ(self, difference: str, scenario: Scenario) -> tuple[list[Any], list[Any]]:
        """Run the scenario of an entry of the table on both; they do differ. What the original and ours did."""
        assert difference in DIFFERENCES, f"differences.yml has no entry {difference}"
        original, ours = self._both(scenario)
        self.counts["intended differences"] += 1
        assert original != ours, f"{difference} is no difference (any more)"
        return original, ours


def _comparable(entry: Any, errors: str) -> Any:
    if not isinstance(entry, Result):
        return entry
    if errors == "exact":
        return entry
    if errors == "none":
        return Result(entry.status, entry.output, "")
    # Tracebacks and the texts of failures are not compared, that there is a text is.
    text = "\n".join(sorted(entry.errors.splitlines())) if entry.status == 0 else str(bool(entry.errors))
    return Result(entry.status, entry.output, text)
