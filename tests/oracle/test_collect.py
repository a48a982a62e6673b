# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""os-collect-config beside ours: the cache and when it is committed, options from every place, the endless loop."""

from __future__ import annotations

import random
import signal
import time
from functools import partial
from typing import Any

import pytest
from generate import document
from side_by_side import Machine, Pair, Result

pytestmark = pytest.mark.slow
FOLDER = "/var/lib/os-collect-config/local-data"
CACHE = "/var/lib/os-collect-config"


def _source(machine: Machine, name: str, value: Any) -> None:
    machine.document(f"{FOLDER}/{name}", value)


def _collect(machine: Machine, *options: str, command: str = "cat $$(echo $$OS_CONFIG_FILES | tr : ' ')") -> Result:
    result = machine.run("os-collect-config", "--one-time", "-c", command, *options, "local")
    for folder in (CACHE, "/run/os-collect-config"):
        machine.snapshot(folder)
    return result


Step = tuple[str, Any]
PROTOCOLS: dict[str, list[Step]] = {
    "unchanged": [("a", {"v": 1}), ("run", ""), ("run", "")],
    "changed": [("a", {"v": 1}), ("run", ""), ("a", {"v": 2}), ("run", ""), ("run", "")],
    "key order": [("a", {"v": 1, "w": 2}), ("run", ""), ("a", {"w": 2, "v": 1}), ("run", "")],
    "list order": [("a", [1, 2]), ("run", ""), ("a", [2, 1]), ("run", "")],
    "a failing command": [("a", {}), ("run", "exit 3"), ("run", "exit 4"), ("run", ""), ("run", "exit 5")],
    "a killed command": [("a", {}), ("run", "kill -9 $$$$"), ("run", "")],
    "a command that is not there": [("a", {}), ("run", "/no/such/command"), ("run", "")],
    "forced": [("a", {}), ("force", ""), ("force", ""), ("force", "exit 2"), ("run", "exit 2")],
    "forced without sources": [("force", "echo $$OS_CONFIG_FILES")],
    "nothing": [("run", "echo no")],
    "two": [("a", 1), ("b", 2), ("run", ""), ("b", 3), ("run", ""), ("c", 4), ("run", "exit 1"), ("run", "")],
    "back and forth": [("a", 1), ("run", ""), ("a", 2), ("run", "exit 1"), ("a", 1), ("run", "echo no")],
    "gone": [("a", 1), ("b", 2), ("run", ""), ("remove", "a"), ("run", "echo no"), ("b", 3), ("run", "")],
    "gone and back": [("a", 1), ("run", ""), ("remove", "a"), ("run", ""), ("a", 1), ("run", "echo no")],
    "the last is removed": [("a", 1), ("run", ""), ("lose", "a.json.last"), ("run", "")],
    "the first is removed": [("a", 1), ("run", ""), ("lose", "a.json.orig"), ("run", "")],
    "the cache is removed": [("a", 1), ("run", ""), ("lose", "a.json"), ("run", "echo no")],
    "the list is removed": [("a", 1), ("run", ""), ("lose", "os_config_files.json"), ("run", "echo no")],
    "output": [("a", 1), ("run", "echo out; echo err >&2; pwd; echo $$EXTRA")],
}


@pytest.mark.parametrize("name", PROTOCOLS)
def test_cache_and_commit(pair: Pair, name: str) -> None:
    def scenario(machine: Machine) -> None:
        machine.write(FOLDER, kind="folder")
        for what, value in PROTOCOLS[name]:
            if what in ("run", "force"):
                _collect(machine, *(["--force"] if what == "force" else []), command=value or "true")
            elif what == "remove":
                machine.remove(f"{FOLDER}/{value}")
            elif what == "lose":
                machine.remove(f"{CACHE}/{value}")
            else:
                _source(machine, what, value)

    pair.same(scenario, "passes of os-collect-config", "exact")


def _steps(machine: Machine, steps: list[tuple[str, Any, str]]) -> None:
    for name, value, command in steps:
        _source(machine, name, value)
        _collect(machine, command=f"cat $$(echo $$OS_CONFIG_FILES | tr : ' '); {command}")


def test_generated_passes(pair: Pair) -> None:
    source = random.Random(7)
    for _round in range(12):
        steps = [
            (source.choice("abc"), document(source), source.choice(["true", "true", "exit 3"])) for _step in range(6)
        ]
        pair.same(partial(_steps, steps=steps), "passes of os-collect-config", "exact")


def _chain(machine: Machine) -> None:
    """The three programs together, as on a node."""
    _source(machine, "doc", {"a": {"b": "value"}, "on": True})
    machine.write("/usr/libexec/os-apply-config/templates/mnt/out/f", "{{a.b}}\n")
    machine.write("/usr/libexec/os-apply-config/templates/mnt/out/f.oac", "mode: 0600")
    base = "/usr/libexec/os-refresh-config"
    machine.script(f"{base}/configure.d/20-os-apply-config", "os-apply-config")
    machine.script(f"{base}/post-configure.d/50-x", "cat /mnt/out/f; os-apply-config --key a.b --type raw")
    machine.script(f"{base}/migration.d/50-x", "os-apply-config --boolean-key on; echo $?; exit ${FAIL:-0}")
    machine.run("os-collect-config", "--one-time", "--command", "os-refresh-config", "local", env={"FAIL": "3"})
    machine.run("os-collect-config", "--one-time", "--command", "os-refresh-config", "local")
    machine.run("os-collect-config", "--one-time", "--command", "os-refresh-config", "local")
    machine.run("os-apply-config", "--key", "a.b")
    machine.snapshot("/mnt")
    machine.snapshot(CACHE)


def test_the_three_programs_together(pair: Pair) -> None:
    found = pair.same(_chain, "passes of os-collect-config", "none")
    assert [entry.status for entry in found if isinstance(entry, Result)] == [1, 0, 0, 0]


CONFIG = "[DEFAULT]\ncachedir = /mnt/cache\nbackup_cachedir = /mnt/backup\ncollectors = local\n[local]\npath = /mnt/l\n"
FILES: dict[str, str] = {
    "plain": CONFIG,
    "two collectors": CONFIG.replace("local\n[", "heat_local\ncollectors = local\n["),
    "colons": CONFIG.replace(" = ", ": "),
    "no blanks": CONFIG.replace(" = ", "="),
    "quotes": CONFIG.replace("/mnt/cache", '"/mnt/cache"').replace("/mnt/l", "'/mnt/l'"),
    "comments": "# c\n; d\n\n" + CONFIG + "\n  \n# end",
    "dashes are no keys": CONFIG.replace("backup_cachedir", "backup-cachedir"),
    "sections in capitals": CONFIG.replace("[local]", "[LOCAL]"),
    "default in small letters": CONFIG.replace("[DEFAULT]", "[default]"),
    "unknown keys": CONFIG + "nothing = 1\n[other]\nx = 2\n",
    "a line that goes on": "[DEFAULT]\ncommand = echo one\n  echo two\none_time = true\n" + CONFIG,
    "twice": CONFIG + "[DEFAULT]\ncachedir = /mnt/second\n",
    "no section": "cachedir = /mnt/cache\n",
    "bad section": "[DEFAULT\n",
    "empty section": "[]\n",
    "no value": "[DEFAULT]\ncachedir\n",
    "no key": "[DEFAULT]\n= 1\n",
    "empty value": CONFIG.replace("/mnt/cache", ""),
    "continues nothing": "[DEFAULT]\n  x = 1\n",
    "bad number": CONFIG + "[ec2]\ntimeout = soon\n",
    "bad boolean": "[DEFAULT]\nforce = maybe\n" + CONFIG,
    "booleans": "[DEFAULT]\nforce = On\nprint_only = yes\none_time = 1\n" + CONFIG,
    "bad URL": CONFIG + "[request]\nmetadata_url = not a url\n",
    "reference": "[DEFAULT]\ncommand = echo $$HOME $cachedir ${local.path} \\$HOME $1 $\none_time = true\n" + CONFIG,
    "unknown reference": "[DEFAULT]\ncommand = echo $OS_CONFIG_FILES\n" + CONFIG,
    "CRLF": CONFIG.replace("\n", "\r\n"),
    "not UTF-8": CONFIG + "# \xff",
    "empty": "",
    "a bad collector": CONFIG.replace("= local", "= nothing"),
}
LINES: list[list[str]] = [
    ["--print-cachedir"], ["--print"], ["--one-time", "-c", "echo $$OS_CONFIG_FILES"],
    ["--print", "--cachedir", "/mnt/cli"],
]  # fmt: skip


@pytest.mark.parametrize("name", FILES)
def test_configuration_files(pair: Pair, name: str) -> None:
    def scenario(machine: Machine) -> None:
        text: str | bytes = FILES[name]
        machine.write("/mnt/c.conf", text.encode("latin-1") if name == "not UTF-8" else text)
        machine.document("/mnt/l/x", {"a": 1})
        for line in LINES:
            machine.run("os-collect-config", "--config-file", "/mnt/c.conf", *line)
            machine.snapshot("/mnt")

    pair.same(scenario, "options", "none")


COMMANDS: list[tuple[list[str], dict[str, str]]] = [
    ([], {}), (["--print-cachedir"], {}), (["--print-cachedir", "--cachedir=/x"], {}),
    (["--print-cachedir"], {"OS_DEFAULT__CACHEDIR": "/e"}),
    (["--print-cachedir", "--cachedir", "/x"], {"OS_DEFAULT__CACHEDIR": "/e"}),
    (["--print-cachedir", "--config-file", "/mnt/c.conf"], {"OS_DEFAULT__CACHEDIR": "/e"}),
    (["--print-cachedir", "--config-file", "/mnt/c.conf", "--cachedir", "/x"], {"OS_DEFAULT__CACHEDIR": "/e"}),
    (["--print-cachedir", "--cachedir", "/x", "--config-file", "/mnt/c.conf"], {}),
    (["--print-cachedir", "--config-file", "/mnt/c.conf", "--config-file", "/mnt/d.conf"], {}),
    (["--print-cachedir", "--config-file=/mnt/d.conf", "--config-file=/mnt/c.conf"], {}),
    (["--print-cachedir", "--config-dir", "/mnt/dir"], {}),
    (["--print-cachedir", "--config-dir", "/none"], {}), (["--print-cachedir", "--config-file", "/none"], {}),
    (["--version"], {}),
    (["--print", "--config-file", "/mnt/c.conf"], {}),
    (["--print", "--config-file", "/mnt/c.conf", "--config-file", "/mnt/d.conf"], {}),
    (["--print", "--config-file", "/mnt/c.conf", "heat_local"], {}),

    (["--print", "--config-file", "/mnt/c.conf", "--local-path", "/mnt/m"], {}), (["--print", "nothing", "local"], {}),
    (["--print", "local", "local"], {}),
    (["--print", "--print-cachedir", "--noprint-cachedir", "local"], {}), (["--print", "--noprint", "local"], {}),
    (["-d", "--print", "local"], {}),
    (["--polling-interval", "x", "--print", "local"], {}), (["-i", "5", "--print", "local"], {}),
    (["--no-such-option"], {}), (["-c"], {}),
    (["--heat-user-id", "x", "--print", "heat"], {}),
    (["--local-path", "/mnt/l", "--local-path", "/mnt/m", "--print", "local"], {}),
    (["--one-time", "-c", "env | grep ^OS_CONFIG", "--local-path=/mnt/l", "local"], {"OS_CONFIG_FILES": "/before"}),
    (["--print", "-c", "echo never", "--local-path=/mnt/l", "local"], {}),
    (["--print", "--force", "-c", "echo never", "local"], {}),
    (["--cachedir", "/mnt/a/b/c", "--one-time", "-c", "true", "--local-path=/mnt/l", "local"], {}),
    (["--cachedir", "/mnt/file", "--one-time", "-c", "true", "--local-path=/mnt/l", "local"], {}),
    (["--backup-cachedir", "/mnt/a/b/c", "--one-time", "-c", "true", "--local-path=/mnt/l", "local"], {}),

    (["--print", "--splay", "0", "--use-syslog", "--nouse-syslog", "local"], {}),
    (["--print", "zaqar", "local"], {}), (["--print", "cfn", "heat", "zaqar", "request"], {}),
    (["--print-cache"], {}), (["--one-time", "local"], {}),
]  # fmt: skip


@pytest.mark.parametrize("home", [False, True])
def test_command_lines(pair: Pair, home: bool) -> None:
    def scenario(machine: Machine, options: list[str], environment: dict[str, str]) -> None:
        machine.write("/mnt/c.conf", CONFIG)
        machine.write("/mnt/d.conf", CONFIG.replace("/mnt/cache", "/mnt/d-cache").replace("/mnt/l", "/mnt/m"))
        machine.write("/mnt/dir/b.conf", "[DEFAULT]\ncachedir = /mnt/b\n")
        machine.write("/mnt/dir/a.conf", "[DEFAULT]\ncachedir = /mnt/a\n")
        machine.write("/mnt/dir/c.txt", "nothing")
        machine.write("/mnt/file", "")
        machine.document("/mnt/l/x", {"a": 1})
        machine.document("/mnt/m/y", {"b": 1})
        if home:
            machine.write("/mnt/home/os-collect-config.conf", "[DEFAULT]\ncachedir = /mnt/of-home\n")
            machine.write("/mnt/home/os-collect-config.conf.d/x.conf", "[local]\npath = /mnt/l\n")
        machine.run("os-collect-config", *options, env=environment)
        machine.snapshot("/mnt")
        machine.snapshot("/var/lib")

    for options, environment in COMMANDS:
        if options or not home:
            given = options or ["--print", "heat_local", "local"]
            pair.same(partial(scenario, options=given, environment=environment), "options", "none")


def _until(machine: Machine, path: str, text: bytes, seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while text not in (machine.read(path) or b""):
        assert time.monotonic() < deadline, f"{machine.side}: {path} is {machine.read(path)!r}"
        time.sleep(0.02)


def test_the_loop_follows_changes(pair: Pair) -> None:
    def scenario(machine: Machine) -> None:
        _source(machine, "a", {"v": 1})
        command = "cat /var/lib/os-collect-config/a.json >>/mnt/seen"
        options = ["--min-polling-interval", "0.1", "--polling-interval", "0.2", "-c", command, "local"]
        running = machine.start("os-collect-config", *options)
        for value in (1, 2, 3):
            _source(machine, "a", {"v": value})
            _until(machine, "/mnt/seen", b'"v": %d' % value)
            _until(machine, f"{CACHE}/a.json.last", b'"v": %d' % value)
        time.sleep(0.5)
        machine.ask("signal", pid=running, number=signal.SIGTERM)
        assert machine.wait(running).status == -signal.SIGTERM
        machine.snapshot("/mnt")
        machine.snapshot(CACHE)

    pair.same(scenario, "passes of os-collect-config", "exact")


LOOP = "[DEFAULT]\nmin_polling_interval = 0.1\npolling_interval = 0.2\ncollectors = local\n"


def test_the_loop_starts_anew_with_another_configuration(pair: Pair) -> None:
    def scenario(machine: Machine) -> None:
        _source(machine, "a", {"v": 1})
        machine.write("/mnt/second", LOOP + "command = echo second >>/mnt/seen\n")
        machine.write("/mnt/c.conf", LOOP + "command = echo first >>/mnt/seen; cp /mnt/second /mnt/c.conf\n")
        running = machine.start("os-collect-config", "--config-file", "/mnt/c.conf")
        _until(machine, "/mnt/seen", b"first")
        time.sleep(0.5)
        _source(machine, "a", {"v": 2})
        _until(machine, "/mnt/seen", b"second")
        machine.ask("signal", pid=running, number=signal.SIGTERM)
        machine.wait(running)
        machine.snapshot("/mnt")

    pair.same(scenario, "passes of os-collect-config", "none")


def test_the_loop_starts_anew_when_it_is_hung_up(pair: Pair) -> None:
    def scenario(machine: Machine) -> None:
        _source(machine, "a", {"v": 1})
        machine.write("/mnt/c.conf", LOOP + "command = echo first >>/mnt/seen\n")
        running = machine.start("os-collect-config", "--config-file", "/mnt/c.conf")
        _until(machine, f"{CACHE}/a.json.last", b'"v": 1')
        time.sleep(0.5)
        machine.write("/mnt/c.conf", LOOP + "command = echo second >>/mnt/seen\n")
        machine.ask("signal", pid=running, number=signal.SIGHUP)
        time.sleep(1)
        _source(machine, "a", {"v": 2})
        _until(machine, "/mnt/seen", b"first\nfirst" if machine.side == "original" else b"second")
        machine.ask("signal", pid=running, number=signal.SIGTERM)
        machine.wait(running)
        machine.snapshot("/mnt")

    pair.differ("collect-hang-up", scenario)
