# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every entry of differences.yml: a scenario in which the original does as it says, and ours as ours says."""

from __future__ import annotations

import json
import re
import signal
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest
from side_by_side import DIFFERENCES, HERE, Machine, Pair, Result
from web import Web

PAGE = HERE.parents[1] / "docs" / "docsite" / "rst" / "apply_config.rst"
Scenario = Callable[[Machine, Web], Any]
SCENARIOS: dict[str, list[Scenario]] = {}
CACHE = "/var/lib/os-collect-config"
ONE = {"name": "one", "config": {}}


def scenario(difference: str) -> Callable[[Scenario], Scenario]:
    def register(function: Scenario) -> Scenario:
        SCENARIOS.setdefault(difference, []).append(function)
        return function

    return register


def ours_alone(machine: Machine) -> bool:
    return machine.side == "ours"


def apply(machine: Machine, *options: str, **more: Any) -> Result:
    return machine.run("os-apply-config", "-t", "/mnt/t", "-o", "/mnt/o", "-m", "/mnt/m", *options, **more)


def prepare(machine: Machine, template: str = "{{a}}", value: Any = "x") -> None:
    machine.document("/mnt/m", {"a": value})
    machine.write("/mnt/t/f", template)


def collect(machine: Machine, *options: str, command: str = "true", **more: Any) -> Result:
    return machine.run("os-collect-config", "--one-time", "-c", command, *options, **more)


@scenario("apply-empty-key")
def _empty_key(machine: Machine, web: Web) -> None:
    for option in ("--key", "--boolean-key"):
        prepare(machine)
        result = apply(machine, option, "")
        machine.snapshot("/mnt/o")
        assert result.status == (2 if ours_alone(machine) else 0)
        assert (machine.read("/mnt/o/f") is None) == ours_alone(machine)


@scenario("apply-repeated-metadata")
def _repeated(machine: Machine, web: Web) -> None:
    machine.document("/mnt/m", {"a": 1, "b": 1})
    machine.document("/mnt/n", {"b": 2})
    result = machine.run("os-apply-config", "-m", "/mnt/m", "-m", "/mnt/n", "--key", "a", "--key-default", "gone")
    assert result.output == (b"1\n" if ours_alone(machine) else b"gone\n")


@scenario("apply-unchanged-files")
def _unchanged(machine: Machine, web: Web) -> None:
    prepare(machine)
    apply(machine)
    before = machine.inode("/mnt/o/f")
    result = apply(machine)
    assert (machine.inode("/mnt/o/f") == before) == ours_alone(machine)
    assert ("writing" not in result.errors) == ours_alone(machine)


@scenario("apply-nothing-half-written")
def _folder_in_the_way(machine: Machine, web: Web) -> None:
    prepare(machine)
    machine.write("/mnt/t/e", "{{a}}")
    machine.write("/mnt/o/f", kind="folder")
    assert apply(machine).status == 1
    names = sorted(machine.snapshot("/mnt/o"))
    assert (names == ["/mnt/o/f"]) == ours_alone(machine)


@scenario("apply-nothing-half-written")
def _no_unicode(machine: Machine, web: Web) -> None:
    prepare(machine)
    machine.write("/mnt/m", '{"a": "\\ud800"}')
    assert apply(machine).status == 1
    assert (not machine.snapshot("/mnt/o")) == ours_alone(machine)


@scenario("apply-control-keys")
def _control_keys(machine: Machine, web: Web) -> None:
    for control in ("_mode: 448", "set: 1", "DEFAULTS: {}", "_body: 1"):
        prepare(machine)
        machine.write("/mnt/t/f.oac", control)
        status = apply(machine).status
        assert status == 1 or not ours_alone(machine)
        assert status == 0 or ours_alone(machine) or control == "_body: 1"


@scenario("apply-partials")
def _partials(machine: Machine, web: Web) -> None:
    prepare(machine, "<{{>p}}>")
    machine.write("/mnt/home/p.mustache", "partial")
    apply(machine)
    machine.snapshot("/mnt/o")
    assert machine.read("/mnt/o/f") == (b"<>" if ours_alone(machine) else b"<partial>")


@scenario("apply-special-templates")
def _special(machine: Machine, web: Web) -> None:
    prepare(machine)
    machine.write("/mnt/t/p", kind="fifo")
    process = machine.start("os-apply-config", "-t", "/mnt/t", "-o", "/mnt/o", "-m", "/mnt/m")
    result = machine.wait(process, 3)
    assert result.status == (1 if ours_alone(machine) else -1)


@scenario("apply-checks")
def _checks(machine: Machine, web: Web) -> None:
    prepare(machine)
    machine.write("/mnt/t/f.check", '#!/bin/sh\n[ -z "$1" ] && echo none\n', 0o755)
    assert apply(machine).status == (1 if ours_alone(machine) else 0)
    names = sorted(machine.snapshot("/mnt/o"))
    assert names == ([] if ours_alone(machine) else ["/mnt/o/f", "/mnt/o/f.check"])


@scenario("apply-error-texts")
def _error_texts(machine: Machine, web: Web) -> None:
    executables = (("x", "#!/no/such\n", 0o755), ("y", "#!/bin/sh\nprintf '\\377'\n", 0o755))
    for name, text, mode in (*executables, ("f.oac", "{", 0o644)):
        prepare(machine)
        machine.write(f"/mnt/t/{name}", text, mode)
        result = apply(machine)
        machine.remove(f"/mnt/t/{name}")
        assert result.status == 1 and ("Traceback" not in result.errors) == ours_alone(machine)
        assert not ours_alone(machine) or (f"/mnt/t/{name}" in result.errors and result.errors.count("\n") == 1)


@scenario("apply-limits")
def _limits(machine: Machine, web: Web) -> None:
    prepare(machine)
    machine.write("/mnt/m", '{"a": ' + "[" * 150 + "]" * 150 + "}")
    assert apply(machine).status == int(ours_alone(machine))


@scenario("apply-template-limits")
def _template_limits(machine: Machine, web: Web) -> None:
    prepare(machine)
    machine.script("/mnt/t/slow", "sleep 2; echo x")
    found = apply(machine, env={"NODE_AGENT_TEMPLATE_SECONDS": "1"})
    assert found.status == int(ours_alone(machine))


@scenario("apply-log-mode")
def _log_mode(machine: Machine, web: Web) -> None:
    prepare(machine)
    apply(machine)
    found = {path: entry[0] for path, entry in machine.snapshot("/var/log", counts=False).items()}
    machine.record.append(found)
    assert found == {"/var/log/os-apply-config.log": "0o100600" if ours_alone(machine) else "0o100644"}


@scenario("usage-texts")
def _usage(machine: Machine, web: Web) -> None:
    for program in ("os-apply-config", "os-refresh-config", "os-collect-config"):
        assert machine.run(program, "--help").status == 0


@scenario("parts-linked-folder")
def _linked(machine: Machine, web: Web) -> None:
    machine.script("/mnt/real/10-x", "echo ran")
    machine.write("/mnt/link", "real", kind="link")
    result = machine.run("dib-run-parts", "/mnt/link")
    assert result.status == 0 and (result.output == b"ran\n") == ours_alone(machine)
    assert ("symbolic link" in result.errors) == ours_alone(machine)


@scenario("parts-empty-environment")
def _empty_environment(machine: Machine, web: Web) -> None:
    machine.script("/mnt/p/x.d/10-x", "echo ran")
    machine.write("/mnt/p/environment.d", kind="folder")
    assert machine.run("dib-run-parts", "/mnt/p/x.d").status == int(not ours_alone(machine))


@scenario("parts-blanks")
def _blanks(machine: Machine, web: Web) -> None:
    machine.script("/mnt/a b/x.d/10-x", "echo ran $A")
    machine.write("/mnt/a b/environment.d/10-x", "export A=1\n")
    assert (machine.run("dib-run-parts", "/mnt/a b/x.d").output == b"ran 1\n") == ours_alone(machine)


@scenario("parts-temporary-folder")
def _temporary(machine: Machine, web: Web) -> None:
    machine.script("/mnt/p/x.d/10-x", "exit 3")
    assert machine.run("dib-run-parts", "/mnt/p/x.d").status == 3
    assert (machine.snapshot("/tmp") == {}) == ours_alone(machine)


@scenario("refresh-error-environment")
def _error_environment(machine: Machine, web: Web) -> None:
    machine.script("/mnt/p/configure.d/10-x", "exit 42")
    machine.script("/mnt/p/error.d/10-x", 'env | grep ^OS_REFRESH_CONFIG_FAILED | sort | tr "\\n" " "')
    result = machine.run("os-refresh-config", env={"OS_REFRESH_CONFIG_BASE_DIR": "/mnt/p"})
    names = {"PHASE": "configure", "SCRIPT": "10-x", "STATUS": "42"}
    told = "".join(f"OS_REFRESH_CONFIG_FAILED_{name}={value} " for name, value in names.items())
    assert result.status == 1 and result.output.decode() == (told if ours_alone(machine) else "")


@scenario("refresh-path")
def _path(machine: Machine, web: Web) -> None:
    machine.script("/mnt/p/configure.d/10-x", "echo ran")
    environment = {"OS_REFRESH_CONFIG_BASE_DIR": "/mnt/p", "PATH": "/usr/bin:/bin"}
    assert machine.run("os-refresh-config", env=environment).status == int(not ours_alone(machine))


@scenario("collect-types")
def _types(machine: Machine, web: Web) -> None:
    for value, always in ((1, True), (True, False), (1.0, False)):
        machine.document(f"{CACHE}/local-data/a", {"v": value})
        result = collect(machine, "local", command="echo ran")
        assert (result.output == b"ran\n") == (ours_alone(machine) or always)


@scenario("collect-locale")
def _locale(machine: Machine, web: Web) -> None:
    machine.document(f"{CACHE}/local-data/a", {})
    unset = ("-u", "LC_ALL", "-u", "LANG", "LC_CTYPE=C.UTF-8")
    result = machine.run("/usr/bin/env", *unset, "os-collect-config", "--print", "local")
    assert result.status == int(not ours_alone(machine))


def _request(machine: Machine, web: Web, value: Any) -> None:
    web.json("/r", value)
    machine.document(f"{CACHE}/local-data/a", {})
    result = machine.run("os-collect-config", "--print", f"--request-metadata-url={web.url}/r", "request", "local")
    assert result.status == int(not ours_alone(machine))
    assert not ours_alone(machine) or (
        json.loads(result.output) == {"a": {}} and "[request] Unavailable" in result.errors
    )


for _value in ([1], 7, None, "text", {"deployments": [{"name": "no config"}]}):
    scenario("collect-source-faults")(lambda machine, web, value=_value: _request(machine, web, value))


@scenario("collect-source-faults")
def _no_deployment(machine: Machine, web: Web) -> None:
    web.json("/r", {"deployments": [7]})
    result = machine.run("os-collect-config", "--print", f"--request-metadata-url={web.url}/r", "request")
    assert result.status == int(not ours_alone(machine))
    assert not ours_alone(machine) or json.loads(result.output) == {"request": {"deployments": [7]}}


@scenario("collect-source-faults")
def _cfn(machine: Machine, web: Web) -> None:
    for path in ("res.Missing", "res.Null", "res.List"):
        web.cfn("/v1/", {"Null": "null", "List": "[1]"})
        result = machine.run(
            "os-collect-config", "--print", f"--cfn-metadata-url={web.url}/v1/", "--cfn-access-key-id=a",
            "--cfn-secret-access-key=b", f"--cfn-path={path}", "cfn",
        )  # fmt: skip
        assert result.status == int(not ours_alone(machine))


@scenario("collect-source-faults")
def _ec2(machine: Machine, web: Web) -> None:
    web.text("/m/", "name\n")
    web.text("/m/name", "x")
    result = machine.run("os-collect-config", "--print", f"--ec2-metadata-url={web.url}/m", "ec2")
    assert result.status == int(not ours_alone(machine))


@scenario("collect-source-faults")
def _dangling(machine: Machine, web: Web) -> None:
    machine.write(f"{CACHE}/local-data/a", "/none", kind="link")
    assert machine.run("os-collect-config", "--print", "local").status == int(not ours_alone(machine))


@scenario("collect-broken-cache")
def _broken_cache(machine: Machine, web: Web) -> None:
    machine.document(f"{CACHE}/local-data/a", {})
    collect(machine, "local")
    machine.write(f"{CACHE}/a.json.last", "{")
    result = collect(machine, "local", command="echo ran")
    assert (result.status, result.output) == ((0, b"ran\n") if ours_alone(machine) else (1, b""))


@scenario("collect-names")
def _names(machine: Machine, web: Web) -> None:
    for name in ("../escaped", "os_config_files"):
        web.json("/r", {"deployments": [{"name": name, "config": {}}]})
        collect(machine, f"--request-metadata-url={web.url}/r", "request")
        machine.snapshot("/var/lib")
    assert (machine.read("/var/lib/escaped.json") is None) == ours_alone(machine)


@scenario("collect-cfn-signature")
def _signature(machine: Machine, web: Web) -> None:
    web.cfn("/v1/", {"Metadata": "{}"})
    web.requests.clear()
    machine.run(
        "os-collect-config", "--print", f"--cfn-metadata-url={web.url}/v1/", "--cfn-access-key-id=a",
        "--cfn-secret-access-key=b", "--cfn-path=x.Metadata", "--cfn-path=x.Metadata", "cfn",
    )  # fmt: skip
    machine.record.append(list(web.requests))
    first, second = web.requests
    assert (first == second) == ours_alone(machine)


@scenario("collect-request-modified")
def _modified(machine: Machine, web: Web) -> None:
    web.json("/r", {"a": 1}, headers={"Last-Modified": "Wed, 25 Nov 2026 09:00:00 GMT"})
    web.requests.clear()
    running = machine.start(
        "os-collect-config", "--min-polling-interval=0.1", "--polling-interval=0.1", "-c", "true",
        f"--request-metadata-url={web.url}/r", "request",
    )  # fmt: skip
    deadline = time.monotonic() + 20
    while web.requests.count("HEAD /r") < 4 and time.monotonic() < deadline:
        time.sleep(0.05)
    machine.ask("signal", pid=running, number=signal.SIGTERM)
    machine.wait(running)
    assert web.requests.count("HEAD /r") >= 4
    assert (web.requests.count("GET /r") == 1) == ours_alone(machine)
    machine.record.append(web.requests.count("GET /r") > 1)


@scenario("collect-request-modified")
def _tagged(machine: Machine, web: Web) -> None:
    def page(handler: BaseHTTPRequestHandler) -> tuple[int, dict[str, str], str]:
        known = handler.headers["If-None-Match"] == '"one"'
        return (304, {"ETag": '"one"'}, "") if known else (200, {"ETag": '"one"'}, '{"a": 1}')

    web.pages["/r"] = page
    web.requests.clear()
    running = machine.start(
        "os-collect-config", "--min-polling-interval=0.1", "--polling-interval=0.1", "-c", "true",
        f"--request-metadata-url={web.url}/r", "request",
    )  # fmt: skip
    deadline = time.monotonic() + 20
    while web.requests.count("GET /r") < 4 and time.monotonic() < deadline:
        time.sleep(0.05)
    machine.ask("signal", pid=running, number=signal.SIGTERM)
    machine.wait(running)
    assert web.requests.count("GET /r") >= 4
    assert (web.requests.count("HEAD /r") == 1) == ours_alone(machine)
    machine.record.append(web.requests.count("HEAD /r") > 1)


@scenario("collect-back-off")
def _back_off(machine: Machine, web: Web) -> None:
    def seen(value: int, seconds: float) -> bool:
        machine.document(f"{CACHE}/local-data/a", value)
        deadline = time.monotonic() + seconds
        while machine.read(f"{CACHE}/a.json.last") != b"%d" % value:
            if time.monotonic() > deadline:
                return False
            time.sleep(0.02)
        return True

    machine.document(f"{CACHE}/local-data/a", 0)
    running = machine.start("os-collect-config", "--min-polling-interval=0.2", "-c", "true", "local")
    assert seen(1, 20)
    time.sleep(3)
    assert seen(2, 20)
    machine.record.append(seen(3, 2))
    assert machine.record[-1] == ours_alone(machine)
    machine.ask("signal", pid=running, number=signal.SIGKILL)
    machine.wait(running)


@scenario("collect-mount-options")
def _mount(machine: Machine, web: Web) -> None:
    machine.script("/mnt/bin/blkid", 'printf "DEVNAME=/dev/fake\\nTYPE=vfat\\nLABEL=config-2\\n"')
    machine.script("/mnt/bin/mount", 'printf "%s\\n" "$@" >>/mnt/options; exit 1')
    machine.run(
        "os-collect-config", "--print", "ec2", f"--ec2-metadata-url={web.url}/m", env={"PATH": "/mnt/bin:/usr/bin:/bin"}
    )
    options = (machine.read("/mnt/options") or b"").decode().splitlines()
    assert ("ro,nosuid,nodev,noexec" in options) == ours_alone(machine)


@scenario("collect-environment-lists")
def _lists(machine: Machine, web: Web) -> None:
    machine.document("/mnt/l/a", {})
    result = machine.run("os-collect-config", "--print", "local", env={"OS_LOCAL__PATH": "/mnt/l"}, cwd="/mnt/l")
    assert (result.output == b'{\n "a": {}\n}\n') == ours_alone(machine)


@scenario("collect-zaqar")
def _zaqar(machine: Machine, web: Web) -> None:
    options = [f"--zaqar-{name}=x" for name in ("user-id", "password", "project-id", "queue-id")]
    result = machine.run(
        "os-collect-config",
        "--print",
        *options,
        f"--zaqar-auth-url={web.url}/keystone",
        "--zaqar-use-websockets",
        "zaqar",
    )
    assert result.status == 0 and ("does not read" in result.errors) == ours_alone(machine)


@scenario("collect-keystone-cache")
def _keystone_cache(machine: Machine, web: Web) -> None:
    web.heat({"metadata": {}})
    options = [f"--heat-{name}={name.split('-', maxsplit=1)[0]}" for name in ("user-id", "password", "project-id")]
    options += ["--heat-stack-id=name/id", "--heat-resource-name=res", f"--heat-auth-url={web.url}/keystone"]
    machine.run("os-collect-config", "--print", *options, "--keystone-cache_dir=/mnt/tokens", "heat")
    assert (not machine.snapshot("/mnt/tokens")) == ours_alone(machine)


@scenario("collect-logging")
def _logging(machine: Machine, web: Web) -> None:
    options = ["--log-file=/mnt/log", "--debug", "--log-config-append=/none", "--use-syslog"]
    assert machine.run("os-collect-config", "--print", *options, "heat_local").status == 0
    log = machine.read("/mnt/log")
    machine.record.append(log)
    assert (log is not None and b"WARNING os-collect-config [-] Source [heat_local] Unavailable." in log) == ours_alone(
        machine
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("difference", "number"), [(name, number) for name, found in SCENARIOS.items() for number in range(len(found))]
)
def test_difference(pair: Pair, difference: str, number: int) -> None:
    web = Web()
    try:
        pair.differ(difference, lambda machine: SCENARIOS[difference][number](machine, web))
    finally:
        web.close()


def test_every_entry_has_a_scenario() -> None:
    elsewhere = {
        found
        for path in HERE.glob("test_*.py")
        if path != Path(__file__)
        for found in re.findall(r"\.differ\(\s*\"([\w-]+)\"", path.read_text())
    }
    assert set(SCENARIOS) | elsewhere == set(DIFFERENCES)


def test_every_entry_is_documented() -> None:
    page = " ".join(PAGE.read_text().split())
    assert [name for name, entry in DIFFERENCES.items() if entry["ours"].rstrip(".") not in page] == []
