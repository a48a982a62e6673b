# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""os-refresh-config and dib-run-parts beside ours: names, order, environment, failures, lock, time limit, options."""

from __future__ import annotations

import random
from functools import partial
from typing import Any

import pytest
from side_by_side import Machine, Pair, Result

pytestmark = pytest.mark.slow
NAMES = [
    "10-a", "9-b", "010-z", "10-B", "abc", "1", "1_2", "-5x", "ABC", "_x", "2-", "foo.sh", "5.sh", "x~", ".dot", "a,b",
    "99", "0", "00", "20-os-apply-config", "20261125093700-x", "1-1", "1-0", "-", "--", "-0", "z", "Z", "07-x",
    "7-x", "ü",
]  # fmt: skip
LETTERS = "0123456789-_abAB.~"


def _names(machine: Machine, names: list[str], environment: dict[str, str]) -> None:
    for name in names:
        machine.script(f"/mnt/p/x.d/{name}", 'echo "$(basename "$0")"')
    machine.run("dib-run-parts", "--list", "/mnt/p/x.d", env=environment)
    machine.run("dib-run-parts", "/mnt/p/x.d", env=environment)


def test_names_and_order(pair: Pair) -> None:
    source = random.Random(6)
    cases: list[tuple[list[str], dict[str, str]]] = [(NAMES, {}), ([], {})]
    for _case in range(40):
        cases.append((["".join(source.choices(LETTERS, k=source.randrange(1, 6))) for _name in range(12)], {}))
    for pattern in ("", "^[0-9]", "[[:alpha:]]", "\\.sh$", "^(a|b)", "a{2}|x", "nothing matches"):
        cases.append((NAMES, {"RUN_PARTS_REGEX": pattern}))
    for names, environment in cases:
        usable = sorted({name for name in names if name.strip(".")})
        pair.same(partial(_names, names=usable, environment=environment), "runs of dib-run-parts", "exact")


def _kinds(machine: Machine) -> None:
    machine.script("/mnt/other/target", "echo linked")
    machine.script("/mnt/p/x.d/10-runs", "echo runs")
    machine.script("/mnt/p/x.d/20-not-executable", "echo no", 0o644)
    machine.script("/mnt/p/x.d/30-by-its-group", "echo group", 0o610)
    machine.write("/mnt/p/x.d/40-link", "/mnt/other/target", kind="link")
    machine.write("/mnt/p/x.d/50-dangling", "/mnt/none", kind="link")
    machine.write("/mnt/p/x.d/60-folder-link", "/mnt/other", kind="link")
    machine.script("/mnt/p/x.d/70-folder/10-x", "echo no")
    machine.write("/mnt/p/x.d/80-fifo", kind="fifo", mode=0o755)
    machine.write("/mnt/p/x.d/90-no-interpreter", "echo as the shell does", 0o755)
    machine.write("/mnt/p/x.d/95-empty", "", 0o755)
    machine.run("dib-run-parts", "/mnt/p/x.d")
    machine.run("dib-run-parts", "/mnt/p/x.d/")
    machine.run("dib-run-parts", "p/x.d", cwd="/mnt")
    machine.run("dib-run-parts", ".", cwd="/mnt/p/x.d")


def test_kinds_of_entries(pair: Pair) -> None:
    pair.same(_kinds, "runs of dib-run-parts", "exact")


ARGUMENTS = [
    [], [""], ["--list"], ["--list", ""], ["/none"], ["--help"], ["/mnt/file"], ["/mnt/p/x.d", "more"],
    ["--list", "/none"],
    ["/mnt/p/x.d", "--list"], ["--", "/mnt/p/x.d"],
]  # fmt: skip


def test_arguments(pair: Pair) -> None:
    def scenario(machine: Machine, arguments: list[str]) -> None:
        machine.write("/mnt/file", "")
        machine.script("/mnt/p/x.d/10-a", "echo a")
        machine.run("dib-run-parts", *arguments)

    for arguments in ARGUMENTS:
        pair.same(partial(scenario, arguments=arguments), "runs of dib-run-parts", "exact")


ENVIRONMENTS = [
    {"10-a": "export A=1", "20-b": "export B=$A-2"}, {"b": "export A=b", "a": "export A=a"},
    {"9-x": "A=9", "10-x": "A=10"},
    {"x.sh": "export A=1"}, {"bad name": "export A=1", "ok": ":"}, {"x~": "export A=1", "ok": ":"},
    {"a": "A=not-exported"},
    {"a": "false"}, {"a": "exit 3"}, {"a": "echo $UNSET_VARIABLE"}, {"a": "umask 077"}, {"a": "cd /mnt"},
    {"a": "echo out"},
    {"a": "set +e; false; export A=1"}, {"a": "export A='two words'"}, {"a": "export A=$'two\\nlines'"},
    {"a": "ulimit -n 123"},
    {"a": "unset HOME"}, {"a": "source /none"}, {"a": "f() { echo f; }; export -f f"}, {"a": "exec 2>/dev/null"},
]  # fmt: skip


def test_environment(pair: Pair) -> None:
    def scenario(machine: Machine, files: dict[str, str]) -> None:
        for name, text in files.items():
            machine.write(f"/mnt/p/environment.d/{name}", text + "\n")
        machine.script("/mnt/p/x.d/10-show", 'echo "${A-} ${B-} ${HOME-}"; umask; pwd; ulimit -n; export A=changed')
        machine.script(
            "/mnt/p/x.d/20-show", 'echo "${A-}"; type f 2>/dev/null; tr "\\0" "\\n" </proc/self/environ | sort'
        )
        machine.run("dib-run-parts", "/mnt/p/x.d", env={"OS_CONFIG_FILES": "/a:/b", "EMPTY": ""})

    for files in ENVIRONMENTS:
        pair.same(partial(scenario, files=files), "runs of dib-run-parts", "exact")


def _phases(machine: Machine, scripts: dict[str, str], *options: str, environment: dict[str, str] | None = None) -> Any:
    for path, text in scripts.items():
        machine.script(f"/mnt/p/{path}", text)
    given = {"OS_REFRESH_CONFIG_BASE_DIR": "/mnt/p", **(environment or {})}
    machine.run("os-refresh-config", *options, env=given)
    machine.snapshot("/mnt")
    machine.snapshot("/run")


ALL = {f"{phase}.d/10-x": f"echo {phase}" for phase in ("migration", "post-configure", "configure", "pre-configure")}
RUNS: list[tuple[dict[str, str], list[str]]] = [
    ({}, []), (ALL, []), (ALL, ["--lockfile", "/mnt/lock"]), (ALL, ["--timeout", "30"]), (ALL, ["--timeout", "0"]),
    ({**ALL, "configure.d/20-x": "exit 99", "error.d/10-x": "echo error"}, []),
    ({**ALL, "configure.d/20-x": "exit 99"}, []),
    ({**ALL, "pre-configure.d/20-x": "kill -9 $$", "error.d/10-x": "exit 7"}, []), ({"error.d/10-x": "echo no"}, []),
    ({**ALL, "environment.d/x": "export A=1", "configure.d/20-x": "echo $A $OS_CONFIG_FILES"}, []),
    ({**ALL, "migration.d/20-x": "exit 1", "error.d/10-x": "echo 1", "error.d/20-x": "echo 2"}, []),
    ({"other.d/10-x": "echo"}, []),
    ({**ALL, "environment.d/x": "exit 5", "error.d/10-x": "echo error"}, []), (ALL, ["--lockfile", "/none/lock"]),
    *[(ALL, ["--log-level", level]) for level in ("ERROR", "WARN", "CRITICAL", "INFO", "DEBUG")],
    (ALL, ["--log-level", "debug"]),
    (ALL, ["--print-base"]), (ALL, ["--print-phases"]), (ALL, ["--print-base", "--print-phases"]),
    (ALL, ["--nope"]), (ALL, ["x"]),
    (ALL, ["--timeout", "x"]), (ALL, ["--print-b"]), ({**ALL, "configure.d/20-x": "exit 11"}, ["--log-level", "DEBUG"]),
]  # fmt: skip


@pytest.mark.parametrize("number", range(len(RUNS)))
def test_runs_of_all_phases(pair: Pair, number: int) -> None:
    scripts, options = RUNS[number]
    # The shell's word on a killed script names the line of its own program; argparse's usage is ours.
    own = scripts.get("pre-configure.d/20-x") or {"/none/lock", "--nope", "x"} & set(options)
    errors = "lines" if own else "exact"
    pair.same(lambda machine: _phases(machine, scripts, *options), "runs of all phases", errors)


def test_folders_of_the_phases(pair: Pair) -> None:
    new, old = "/usr/libexec/os-refresh-config", "/opt/stack/os-config-refresh"

    def scenario(machine: Machine, folders: list[str]) -> None:
        for folder in folders:
            machine.script(f"{folder}/configure.d/10-x", f"echo {folder}")
        machine.run("os-refresh-config", "--print-base")
        machine.run("os-refresh-config")

    for folders in ([], [new], [old], [new, old]):
        pair.same(partial(scenario, folders=folders), "runs of all phases", "exact")

    def here(machine: Machine) -> None:
        machine.script("/mnt/p/configure.d/10-x", "pwd")
        machine.run("os-refresh-config", env={"OS_REFRESH_CONFIG_BASE_DIR": ""}, cwd="/mnt/p")
        machine.run("os-refresh-config", env={"OS_REFRESH_CONFIG_BASE_DIR": "p"}, cwd="/mnt")
        machine.write("/mnt/q/configure.d", "a file")
        machine.run("os-refresh-config", env={"OS_REFRESH_CONFIG_BASE_DIR": "/mnt/q"})

    pair.same(here, "runs of all phases", "exact")


def test_one_at_a_time(pair: Pair) -> None:
    def scenario(machine: Machine) -> None:
        machine.script("/mnt/p/configure.d/10-x", "touch /mnt/started; until [ -e /mnt/go ]; do sleep 0.02; done")
        environment = {"OS_REFRESH_CONFIG_BASE_DIR": "/mnt/p"}
        first = machine.start("os-refresh-config", env=environment)
        while machine.read("/mnt/started") is None:
            pass
        machine.run("os-refresh-config", env=environment)
        machine.write("/mnt/go")
        machine.wait(first)
        machine.snapshot("/run")
        machine.run("os-refresh-config", env=environment)

    busy, *_others = pair.same(scenario, "runs of all phases", "exact")
    assert isinstance(busy, Result) and busy.status == 11


TIMED = {
    "a script": {"configure.d/10-x": "echo one; sleep 60; echo two"},
    "its children": {"configure.d/10-x": "(sleep 60; touch /mnt/late) & sleep 61 | cat"},
    "another phase": {"pre-configure.d/10-x": "sleep 0.7", "configure.d/10-x": "sleep 60", "migration.d/1": "echo no"},
    "errors": {"configure.d/10-x": "sleep 60", "error.d/10-x": "sleep 1.5; echo error"},
    "a snippet": {"environment.d/x": "sleep 60", "configure.d/10-x": "echo no"},
}


@pytest.mark.parametrize("what", TIMED)
def test_time_limit(pair: Pair, what: str) -> None:
    found = pair.same(lambda machine: _phases(machine, TIMED[what], "--timeout", "1"), "runs of all phases", "exact")
    assert found[0].status == 1 and "Timeout reached: 1s" in found[0].errors
