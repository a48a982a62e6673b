# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""os-collect-config beside ours: its sources, against real files and a real HTTP server."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest
from side_by_side import Machine, Pair, Result
from web import Web

pytestmark = pytest.mark.slow
DEPLOYMENTS: list[Any] = [
    [{"name": "one", "config": {"a": 1}}, {"name": "two", "config": {"b": 2}, "group": "os-apply-config"}],
    [{"name": "x", "config": {}, "group": "Heat::Ungrouped"}, {"name": "y", "config": {}, "group": "script"}],
    [{"config": {"no": "name"}}], [{"name": "same", "config": 1}, {"name": "same", "config": [2]}],
    [], {}, "text", None, 7,
    [{"name": 5, "config": "text"}], [{"name": "request", "config": {"over": 1}}], [{"name": "x", "config": None}],
]  # fmt: skip


@pytest.fixture
def web() -> Iterator[Web]:
    server = Web()
    yield server
    server.close()


def _collect(machine: Machine, *options: str, **environment: str) -> Result:
    return machine.run("os-collect-config", *options, "--print", env=environment)


def _stored(machine: Machine, *options: str, passes: int = 1) -> None:
    for _pass in range(passes):
        machine.run("os-collect-config", "--one-time", "-c", 'echo "$$OS_CONFIG_FILES"', *options)
    machine.snapshot("/var/lib/os-collect-config")
    machine.snapshot("/run/os-collect-config")


LOCAL: list[dict[str, tuple[str | bytes, int]]] = [
    {}, {"a": ('{"a": 1}', 0o644)}, {"b": ("1", 0o644), "a": ("2", 0o600), "B": ("3", 0o644), "ä": ("4", 0o644)},
    {"a.json": ("{}", 0o644)}, {".hidden": ("{", 0o644), "a": ("[]", 0o644)}, {"a": ("{}", 0o644), "bad": ("{", 0o644)},
    {"a": ("{}", 0o646)}, {"a": ("{}", 0o664)}, {"a": ("", 0o644)}, {"a": (b"\xff", 0o644)}, {"a": ("null", 0o644)},
    {"folder/x": ("{}", 0o644), "a": ("1", 0o644)}, {"a": ('{"a": NaN}', 0o644)}, {"a": ('{"x": 1, "x": 2}', 0o644)},
    {"a b": ("1", 0o644)}, {"1": ("1", 0o644), "10": ("2", 0o644), "9": ("3", 0o644)}, {"a": ('{"ü": "ü"}', 0o000)},
]  # fmt: skip


@pytest.mark.parametrize("number", range(len(LOCAL)))
def test_local(pair: Pair, number: int) -> None:
    def scenario(machine: Machine) -> None:
        machine.write("/var/lib/os-collect-config/local-data", kind="folder")
        for name, (text, mode) in LOCAL[number].items():
            machine.write(f"/var/lib/os-collect-config/local-data/{name}", text, mode)
        _collect(machine, "local")
        _stored(machine, "local")

    pair.same(scenario, "collections", "exact")


@pytest.mark.parametrize(("mode", "uid"), [(0o755, 0), (0o757, 0), (0o775, 0), (0o755, 1), (0o777, 1)])
def test_local_folders_of_others(pair: Pair, mode: int, uid: int) -> None:
    def scenario(machine: Machine) -> None:
        machine.document("/mnt/one/a", {"a": 1})
        machine.document("/mnt/two/b", {"b": 2})
        machine.document("/mnt/one/z", {"z": 2})
        machine.write("/mnt/two", kind="folder", mode=mode, owner=(uid, uid))
        for places in (
            ["/mnt/one", "/mnt/two"],
            ["/none", "/mnt/two", "/mnt/one"],
            ["/mnt/one", "/mnt/one"],
        ):
            _collect(machine, *[f"--local-path={place}" for place in places], "local")

    pair.same(scenario, "collections", "exact")


HEAT_LOCAL: list[list[str]] = [
    [], ["{}"], ['{"a": 1}'], ['{"a": {"b": 1}, "c": 2}', '{"a": {"d": 2}}'], ["{", '{"a": 1}'], ['{"a": 1}', "{"],
    ["[1]"], ['"x"'],
    ["null", '{"a": 1}'], ["0"], [""], ['{"deployments": [{"name": "x", "config": {}}]}'], ['{"a": 1}', "{}"],
]  # fmt: skip


@pytest.mark.parametrize("number", range(len(HEAT_LOCAL)))
def test_heat_local(pair: Pair, number: int) -> None:
    def scenario(machine: Machine) -> None:
        paths = [f"/mnt/h{place}" for place in range(len(HEAT_LOCAL[number]))]
        for path, text in zip(paths, HEAT_LOCAL[number], strict=True):
            machine.write(path, text)
        _collect(machine, *[f"--heat_local-path={path}" for path in [*paths, "/none"]], "heat_local")
        machine.write("/var/lib/heat-cfntools/cfn-init-data", '{"default": 1}')
        _collect(machine, "heat_local")

    pair.same(scenario, "collections", "exact")


def _ec2(web: Web) -> None:
    web.text("/latest/meta-data/", "instance-id\nplacement/\npublic-keys/\nhostname")
    web.text("/latest/meta-data/instance-id", "i-1")
    web.text("/latest/meta-data/hostname", "hö.example".encode())
    web.text("/latest/meta-data/placement/", "availability-zone")
    web.text("/latest/meta-data/placement/availability-zone", "")
    web.text("/latest/meta-data/public-keys/", "0=default key\n1=other")
    for number in ("0", "1"):
        web.text(f"/latest/meta-data/public-keys/{number}/", "openssh-key")
        web.text(f"/latest/meta-data/public-keys/{number}/openssh-key", "ssh-rsa AAA\n", "text/plain; charset=utf-8")


EC2_CACHE = [None, "{}", '{"cached": 1}', "[1]", "", "{", "null"]


@pytest.mark.parametrize("cached", EC2_CACHE)
@pytest.mark.parametrize("fault", ["none", "leaf", "root"])
def test_ec2(pair: Pair, web: Web, cached: str | None, fault: str) -> None:
    _ec2(web)
    if fault == "leaf":
        del web.pages["/latest/meta-data/placement/availability-zone"]
    if fault == "root":
        web.pages["/latest/meta-data/"] = (500, {}, "broken")

    def scenario(machine: Machine) -> None:
        if cached is not None:
            machine.write("/var/lib/os-collect-config/ec2.json", cached)
        url = f"--ec2-metadata-url={web.url}/latest/meta-data"
        _collect(machine, url, "ec2")
        _stored(machine, url, "ec2", passes=2)

    # A cache that cannot be read is told in the words of its parser.
    pair.same(scenario, "collections", "exact")


def test_ec2_names_and_redirects(pair: Pair, web: Web) -> None:
    web.text("/m/", "a b\nc%20d\né\nmoved\nlatin\nplain\nwide")
    web.text("/m/a%20b", "1")
    web.text("/m/c%20d", "2")
    web.text("/m/%C3%A9", "3")
    web.text("/m/%C3%83%C2%A9", "4")
    web.pages["/m/moved"] = (301, {"Location": "/elsewhere"}, "")
    web.text("/elsewhere", "5")
    web.text("/m/latin", "ü".encode("latin-1"), "text/plain; charset=latin-1")
    web.text("/m/plain", "ü€".encode(), "application/json")
    web.text("/m/wide", "ü".encode("utf-16"), 'text/plain; charset="utf-16"')
    pair.same(lambda machine: _collect(machine, f"--ec2-metadata-url={web.url}/m", "ec2"), "collections", "exact")


BLKID = """DEVNAME=/dev/sda1
TYPE=ext4
LABEL=root

DEVNAME=/dev/fake1
UUID=1
LABEL=%s
TYPE=%s
"""


@pytest.mark.parametrize(
    "case", ["vfat", "iso9660", "ext4", "other label", "no file", "bad file", "no mount", "no blkid", "empty"]
)
def test_config_drive(pair: Pair, web: Web, case: str) -> None:
    """With a blkid, a mount and an umount of our own, which do as the real ones."""
    _ec2(web)

    def scenario(machine: Machine) -> None:
        label = "other" if case == "other label" else "config-2"
        machine.write("/mnt/blkid", BLKID % (label, case if case in ("iso9660", "ext4") else "vfat"))
        machine.script("/mnt/bin/blkid", "exit 2" if case == "no blkid" else "cat /mnt/blkid")
        mount = 'echo "$(basename "$0")" >>/mnt/calls; for folder in "$@"; do [ -d "$folder" ] && break; done'
        copy = 'mkdir -p "$folder/ec2/latest"; cp /mnt/meta-data.json "$folder/ec2/latest/" 2>/dev/null'
        machine.script("/mnt/bin/mount", f"{mount}; {'exit 32' if case == 'no mount' else copy}; exit 0")
        machine.script("/mnt/bin/umount", f'{mount}; rm -r "$folder/ec2"')
        if case != "no file":
            machine.write(
                "/mnt/meta-data.json", {"bad file": "{", "empty": "{}"}.get(case, '{"instance-id": "i-drive"}')
            )
        url = f"--ec2-metadata-url={web.url}/latest/meta-data"
        _collect(machine, url, "ec2", PATH=f"/mnt/bin:{machine.program}:/usr/bin:/bin")
        machine.snapshot("/tmp")

    errors = "none" if case in ("no mount", "no blkid", "no file", "bad file") else "exact"
    pair.same(scenario, "collections", errors)


REQUEST: list[tuple[str | bytes, str | None]] = [
    ('{"a": 1}', "application/json"), ('{"a": "ü"}', "application/json"), ('{"a": "ü"}', "text/plain"),
    ('{"a": "ü"}', None),
    ("{", "application/json"), ("", "application/json"), ("{}", "application/json"), ('{"a": NaN}', "application/json"),
    ('{"a": "\\u00fc"}', "text/html; charset=utf-8"), ('{"a": 1, "a": 2}', "application/json"),
    *[(json.dumps({"deployments": entry, "z": 1}), "application/json") for entry in DEPLOYMENTS],
    (json.dumps({"other": DEPLOYMENTS[0], "deployments": DEPLOYMENTS[1]}), "application/json"),
]  # fmt: skip


@pytest.mark.parametrize("number", range(len(REQUEST)))
def test_request(pair: Pair, web: Web, number: int) -> None:
    web.text("/r", *REQUEST[number])

    def scenario(machine: Machine) -> None:
        options = [f"--request-metadata-url={web.url}/r", "request"]
        _collect(machine, *options)
        _collect(machine, *options, "--deployment-key=other", "--deployment-key=deployments")
        _stored(machine, *options, passes=2)

    pair.same(scenario, "collections", "exact")


def test_request_faults(pair: Pair, web: Web) -> None:
    web.pages["/missing"] = (404, {}, "{}")
    web.pages["/broken"] = (503, {}, "{}")
    web.pages["/moved"] = (302, {"Location": "/r"}, "")
    web.pages["/nowhere"] = (302, {"Location": "/nowhere"}, "")
    web.json("/r", {"a": 1}, headers={"Last-Modified": "Wed, 25 Nov 2026 09:00:00 GMT"})
    web.text("/head", '{"a": 1}')
    for path in ("/missing", "/broken", "/moved", "/r", "/head"):
        pair.same(partial(_request, url=f"{web.url}{path}"), "collections", "exact")
    for url in (f"{web.url}/nowhere", "http://127.0.0.1:9/", "http://no.such.host.invalid/", "ftp://127.0.0.1/x"):
        pair.same(partial(_request, url=url), "collections", "none")


def _request(machine: Machine, url: str) -> Result:
    return _collect(machine, f"--request-metadata-url={url}", "request")


CFN = ["--cfn-access-key-id=key", "--cfn-secret-access-key=s3cret+/=", "--cfn-stack-name=a stack/1"]
CFN_PATHS = [
    ["res.Metadata"], ["res.Metadata.sub"], ["res.Metadata.sub.deeper"], ["res.Metadata.none"], ["res"],
    ["res.Bad"],
    ["res.Metadata", "res.Other"], ["res.Other", "res.Metadata"], [], ["res.Empty.x"], ["res.Dep"],
]  # fmt: skip


@pytest.mark.parametrize("number", range(len(CFN_PATHS)))
def test_cfn(pair: Pair, web: Web, number: int) -> None:
    fields = {
        "Metadata": '{"a": 1, "sub": {"b": 2, "deeper": {"c": "&lt;ü&gt;"}}}',
        "Other": '{"a": 3, "other": true}',
        "Bad": "{",
        "Empty": '{"x": {}}',
        "Dep": json.dumps({"deployments": DEPLOYMENTS[0]}),
    }
    web.cfn("/v1/", fields)
    asked = []

    def scenario(machine: Machine) -> None:
        options = [*CFN, f"--cfn-metadata-url={web.url}/v1/", *[f"--cfn-path={path}" for path in CFN_PATHS[number]]]
        web.requests.clear()
        _collect(machine, *options, "cfn")
        asked.append(list(web.requests))
        _stored(machine, *options, "cfn")
        _collect(machine, *options, "--cfn-deployment-key=none", "cfn")

    pair.same(scenario, "collections", "exact")
    # The second request is signed as the first would be: the original's signer goes on where it stopped.
    assert asked[0][:1] == asked[1][:1] and len(asked[0]) == len(asked[1])


def test_cfn_is_not_configured(pair: Pair, web: Web) -> None:
    web.cfn("/v1/", {"Metadata": '{"a": 1}'})
    web.pages["/none/v1/"] = (403, {}, "")
    web.text("/words/v1/", "<a")

    def scenario(machine: Machine) -> None:
        full = [*CFN, f"--cfn-metadata-url={web.url}/v1/", "--cfn-path=res.Metadata"]
        for left_out in full:
            _collect(machine, *[option for option in full if option != left_out], "cfn")
        machine.write("/var/lib/heat-cfntools/cfn-metadata-server", f"{web.url}\n")
        _collect(machine, *CFN, "--cfn-path=res.Metadata", "cfn")
        machine.write("/mnt/hint", f"{web.url}/none\n")
        _collect(machine, *CFN, "--cfn-path=res.Metadata", "--cfn-heat-metadata-hint=/mnt/hint", "cfn")

    pair.same(scenario, "collections", "exact")


HEAT = [
    "--heat-user-id=user", "--heat-password=password", "--heat-project-id=project", "--heat-stack-id=name/id",
    "--heat-resource-name=res",
]  # fmt: skip


@pytest.mark.parametrize("content", [{"a": 1}, {}, *[{"deployments": entry} for entry in DEPLOYMENTS]])
def test_heat(pair: Pair, web: Web, content: Any) -> None:
    web.heat({"metadata": content})

    def scenario(machine: Machine) -> None:
        _collect(machine, *HEAT, f"--heat-auth-url={web.url}/keystone", "heat")
        _stored(machine, *HEAT, f"--heat-auth-url={web.url}/keystone", "heat", passes=2)

    found = pair.same(scenario, "collections", "none")
    assert json.loads(found[0].output)["heat"] == content


HEAT_CASES: dict[str, tuple[list[str], dict[str, Any]]] = {
    "a region": (["--heat-region-name=two"], {}),
    "another region": (["--heat-region-name=three"], {}),
    "a wrong password": (["--heat-password=wrong"], {}),
    "a stack by its identifier": (["--heat-stack-id=id"], {}),
    "an unknown stack": (["--heat-stack-id=name/other"], {}),
    "no endpoint": ([], {"endpoints": []}),
    "no catalog": ([], {"catalog": []}),
    "an old URL": (["--heat-auth-url={url}/keystone/v2.0"], {}),
    "a URL with its version": (["--heat-auth-url={url}/keystone/v3"], {}),
    "nothing there": (["--heat-auth-url=http://127.0.0.1:9/"], {}),
    **{f"no {option[2:].split('=', maxsplit=1)[0]}": ([f"-{option.split('=', maxsplit=1)[0]}"], {}) for option in HEAT},
}


@pytest.mark.parametrize("case", HEAT_CASES)
def test_heat_cases(pair: Pair, web: Web, case: str) -> None:
    options, changes = HEAT_CASES[case]
    web.heat({"metadata": {"a": 1}}, **changes)

    def scenario(machine: Machine) -> None:
        given = [f"--heat-auth-url={web.url}/keystone", *HEAT]
        if case.startswith("no heat"):
            given = [option for option in given if not option.startswith(options[0][1:])]
        else:
            given += [option.format(url=web.url) for option in options]
        _collect(machine, *given, "heat")

    [found] = pair.same(scenario, "collections", "none")
    good = ("a region", "a stack by its identifier", "an old URL", "a URL with its version")
    assert (json.loads(found.output) == {"heat": {"a": 1}}) == (case in good)


ZAQAR = ["--zaqar-user-id=user", "--zaqar-password=password", "--zaqar-project-id=project", "--zaqar-queue-id=queue"]


@pytest.mark.parametrize("content", [{"a": 1}, {"ü": None}, *[{"deployments": entry} for entry in DEPLOYMENTS[:3]]])
def test_zaqar(pair: Pair, web: Web, content: Any) -> None:
    def scenario(machine: Machine) -> None:
        web.zaqar([content, {"second": True}, content, {"fourth": True}])
        options = [*ZAQAR, f"--zaqar-auth-url={web.url}/keystone", "zaqar"]
        web.requests.clear()
        _collect(machine, *options)
        machine.record.append([asked for asked in web.requests if "/zaqar/" in asked])
        _collect(machine, *options)
        _stored(machine, *options, passes=2)
        for _time in range(2):
            _collect(machine, *options)

    found = pair.same(scenario, "collections", "none")
    outputs = [json.loads(it.output).get("zaqar") for it in found if isinstance(it, Result) and it.output[:1] == b"{"]
    assert outputs == [content, {"second": True}, None, None], "the queue is empty at last"


ZAQAR_CASES: dict[str, list[str]] = {
    "a region": ["--zaqar-region-name=one"],
    "another region": ["--zaqar-region-name=three"],
    "a wrong password": ["--zaqar-password=wrong"],
    "another queue": ["--zaqar-queue-id=other"],
    "an old URL": ["--zaqar-auth-url={url}/keystone/v2.0"],
    "nothing there": ["--zaqar-auth-url=http://127.0.0.1:9/"],
    "no CA file": ["--zaqar-ssl-certificate-validation"],
    **{f"no {option.split('=', maxsplit=1)[0]}": [option.split("=", maxsplit=1)[0]] for option in ZAQAR},
}


@pytest.mark.parametrize("case", ZAQAR_CASES)
def test_zaqar_cases(pair: Pair, web: Web, case: str) -> None:
    def scenario(machine: Machine) -> None:
        web.zaqar([{"a": 1}])
        given = [f"--zaqar-auth-url={web.url}/keystone", *ZAQAR]
        if case.startswith("no --"):
            given = [option for option in given if not option.startswith(ZAQAR_CASES[case][0])]
        else:
            given += [option.format(url=web.url) for option in ZAQAR_CASES[case]]
        _collect(machine, *given, "zaqar")

    [found] = pair.same(scenario, "collections", "none")
    assert (json.loads(found.output) == {"zaqar": {"a": 1}}) == (case in ("a region", "an old URL"))
