# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The shipped template becomes a plan; the tables change what it meets."""

from __future__ import annotations

import copy
import json
import re
from base64 import b64encode
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import quote, quote_plus

import pytest
from ansible_collections.tripleo.cloud.plugins.module_utils._errors import TripleoError
from ansible_collections.tripleo.cloud.plugins.module_utils._plan import secrets
from ansible_collections.tripleo.cloud.plugins.module_utils._plan.flavors import parse_flavors
from ansible_collections.tripleo.cloud.plugins.module_utils._plan.networks import parse_networks
from ansible_collections.tripleo.cloud.plugins.module_utils._plan.plan import (
    Before,
    ImageRef,
    Planned,
    Wanted,
    make_plan,
    plan_hash,
)
from ansible_collections.tripleo.cloud.plugins.module_utils._plan.preview import preview

TEMPLATES = Path(__file__).resolve().parents[5] / "templates"
FILES = {str(path.relative_to(TEMPLATES)): path.read_text() for path in TEMPLATES.rglob("*.y*ml")}
CONTROLLER, COMPUTE = "Controller.0.Server", "Compute.0.Server"


def node(profile: str, number: int, **root_device: str) -> dict[str, Any]:
    return {
        "macs": [f"52:54:00:00:00:{number:02}"],
        "cpus": 2,
        "memory": 4096,
        "disk": 8,
        "arch": "amd64",
        "capabilities": {"profile": profile},
        "root_device": root_device,
    }


def wanted(**changes: Any) -> Wanted:
    flavor = {"vcpus": 1, "ram": 1024, "disk": 4}
    base = Wanted(
        stack="cloud",
        template="workload-heat-template.yml",
        files=FILES,
        environments=["workload-environment.yml"],
        parameters={},
        generate_hidden=True,
        flavors=parse_flavors(
            {name: {**flavor, "extra_specs": {"capabilities:profile": name}} for name in ("control", "compute")}
        ),
        networks=parse_networks(
            {"ctlplane": {"cidr": "192.0.2.0/24", "allocation_pools": [{"start": "192.0.2.10", "end": "192.0.2.19"}]}}
        ),
        hardware={"n1": node("control", 1, serial="R1"), "n2": node("compute", 2)},
        facts={},
        images={name: ImageRef(name, "a" * 64, "b" * 64, "c" * 32) for name in ("control-image", "compute-image")},
        key=b"k" * 32,
    )
    return replace(base, **changes)


def after(planned: Planned, booted: bool = True) -> Before:
    """The state once a plan was stored, and perhaps carried out."""
    servers = planned.plan["servers"]
    return Before(
        plan=json.loads(json.dumps(planned.plan)),
        booted=frozenset(server["name"] for server in servers.values()) if booted else frozenset(),
        held={path: server["node"] for path, server in servers.items()},
        addresses={(network, path): ip for network, ip, path in planned.addresses},
    )


def test_a_new_stack() -> None:
    planned = make_plan(wanted(), Before())
    plan = planned.plan
    assert plan["serial"] == 1 and plan["hash"] == plan_hash(plan)
    assert {path: server["node"] for path, server in plan["servers"].items()} == {CONTROLLER: "n1", COMPUTE: "n2"}
    assert plan["servers"][CONTROLLER]["disk"] == {"hints": {"serial": "R1"}, "holds": None}
    addresses = {
        plan["ports"]["ControlVip"]["address"],
        *(s["networks"]["ctlplane"][0] for s in plan["servers"].values()),
    }
    assert len(addresses) == 3
    assert plan["outputs"]["KeystoneURL"] == f"http://{plan['ports']['ControlVip']['address']}:5000/v3"
    assert planned.to_do == ("cloud-compute-0", "cloud-controller-0")
    base = planned.documents[plan["servers"][CONTROLLER]["metadata"]]
    assert base == {"mysql": {"root-password": "%{secret:MysqlRootPassword#1}"}}
    assert [title for title, _digest in plan["servers"][CONTROLLER]["documents"]] == ["all-nodes", "controller"]


def test_the_same_again_is_nothing_to_do_and_a_killed_run_is_carried_on() -> None:
    first = make_plan(wanted(), Before())
    again = make_plan(wanted(), after(first))
    assert (again.is_new, again.to_do, again.plan["hash"]) == (False, (), first.plan["hash"])
    assert "nothing to do" in preview(again)
    resumed = make_plan(wanted(), replace(after(first), booted=frozenset({"cloud-compute-0"})))
    assert (resumed.is_new, resumed.to_do) == (False, ("cloud-controller-0",))
    assert (resumed.plan["hash"], resumed.plan["serial"]) == (first.plan["hash"], 1)


def test_what_a_disk_holds_is_shown_and_is_not_part_of_the_hash() -> None:
    first = make_plan(wanted(), Before())
    facts = {"n1": {"disks": [{"serial": "R1", "holds": "gpt, 1: old"}, {"serial": "R2", "holds": "nothing"}]}}
    again = make_plan(wanted(facts=facts), after(first, booted=False))
    assert again.plan["hash"] == first.plan["hash"] == plan_hash(again.plan)
    assert "OVERWRITES the disk with serial R1, which holds gpt, 1: old" in preview(again)


def test_the_preview_says_what_happens_to_machines_and_only_to_those_that_are_due() -> None:
    first = make_plan(wanted(), Before())
    assert preview(first).count("POWER-CYCLES the machine if it is running") == 2
    resumed = preview(make_plan(wanted(), replace(after(first), booted=frozenset({"cloud-compute-0"}))))
    assert (resumed.count("POWER-CYCLES"), resumed.count("OVERWRITES"), resumed.count("not touched")) == (1, 1, 1)


@pytest.mark.parametrize(
    ("change", "booted", "kept"),
    [
        ({"parameters": {"Region": "Other"}}, True, ["n1", "n2"]),
        (
            {"images": {n: ImageRef(n, "d" * 64, "e" * 64, "f" * 32) for n in ("control-image", "compute-image")}},
            False,
            [],
        ),
    ],
)
def test_a_change_makes_a_new_plan_that_keeps_what_is_deployed(
    change: dict[str, Any], booted: bool, kept: list[str]
) -> None:
    first = make_plan(wanted(), Before())
    second = make_plan(wanted(**change), after(first, booted))
    assert second.is_new and second.plan["serial"] == 2 and second.plan["hash"] != first.plan["hash"]
    servers = second.plan["servers"].values()
    assert sorted(server["node"] for server in servers if server["action"] == "keep") == kept
    assert second.addresses == first.addresses


def test_a_new_build_of_an_image_does_not_touch_a_deployed_server() -> None:
    first = make_plan(wanted(), Before())
    images = {name: ImageRef(name, "d" * 64, "e" * 64, "f" * 32) for name in ("control-image", "compute-image")}
    again = make_plan(wanted(images=images), after(first))
    assert (again.is_new, again.to_do) == (False, ())


POOL = {"n1": node("control", 1, serial="R1"), "n2": node("compute", 2), "n3": node("compute", 3)}


@pytest.mark.parametrize(
    ("change", "booted", "is_new", "compute"),
    [
        # The same plan tries its own nodes again; a new one does not.
        ({}, False, False, "n2"),
        ({"images": {n: ImageRef(n, "d" * 64) for n in ("control-image", "compute-image")}}, False, True, "n3"),
        # What has booted stays where it is.
        ({}, True, False, "n2"),
        ({"parameters": {"ComputeCount": 2}}, True, True, "n2"),
    ],
)
def test_a_new_plan_does_not_choose_what_was_set_aside(
    change: dict[str, Any], booted: bool, is_new: bool, compute: str
) -> None:
    first = make_plan(wanted(hardware=POOL), Before())
    assert first.plan["servers"][COMPUTE]["node"] == "n2"
    before = replace(after(first, booted), aside={"n2": "was set aside (no disk)"})
    second = make_plan(wanted(hardware=POOL, **change), before)
    assert (second.is_new, second.plan["servers"][COMPUTE]["node"]) == (is_new, compute)
    text = "moves from node n2: switch that machine off"
    assert (text in preview(second, before.plan)) == (compute == "n3")


def test_a_server_moves_when_the_stack_no_longer_holds_its_node() -> None:
    first = make_plan(wanted(hardware=POOL), Before())
    before = replace(after(first, booted=False), aside={"n2": "is in maintenance"})
    held = {path: name for path, name in before.held.items() if name != "n2"}
    second = make_plan(wanted(hardware=POOL), replace(before, held=held))
    assert second.is_new and second.plan["servers"][COMPUTE]["node"] == "n3"
    with pytest.raises(TripleoError, match=r"n2 is in maintenance.* -e names=n2 -e maintenance=false"):
        make_plan(wanted(), replace(before, held=held))


def edited(file: str, **words: str) -> dict[str, str]:
    text = FILES[file]
    for old, new in words.items():
        text, count = re.subn(rf"(?<!::)\b{old}\b", new, text)
        assert count
    return {**FILES, file: text}


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"parameters": {"ComputeCount": 0}}, f"cloud-compute-0: .* has no server {COMPUTE}"),
        ({"files": edited("workload-heat-template.yml", controller="ctl")}, "asks for cloud-ctl-0 with image"),
        ({"files": edited("roles/controller.yaml", Server="Machine")}, f"has no server {CONTROLLER}"),
        ({"files": edited("roles/controller.yaml", control="compute")}, "compute-image on n"),
        ({"hardware": {**POOL, "n2": node("other", 2)}}, "compute-image on n3"),
    ],
)
def test_no_change_gives_up_or_rewrites_a_deployed_server(change: dict[str, Any], problem: str) -> None:
    change = {"hardware": POOL, **change}
    first = make_plan(wanted(hardware=POOL), Before())
    with pytest.raises(TripleoError, match=problem):
        make_plan(wanted(**change), after(first))
    # What has not booted has nothing to lose.
    assert make_plan(wanted(**change), after(first, booted=False)).is_new


def test_a_preview_before_prepare_has_no_hash() -> None:
    planned = make_plan(wanted(images=None), Before())
    assert planned.plan["hash"] == secrets.UNKNOWN
    assert "hash known after prepare" in preview(planned)


def test_without_a_key_nothing_tells_a_given_secret_and_what_names_it_is_not_known() -> None:
    given = {"MysqlRootPassword": "Heifs23jk3"}
    with_key, without = (make_plan(wanted(parameters=given, key=key), Before()) for key in (b"k" * 32, None))
    stand_in = f"%{{given:MysqlRootPassword#{secrets.UNKNOWN}}}"
    assert without.given == {stand_in: "Heifs23jk3"}
    differs = {
        path: [key for key, value in server.items() if value != with_key.plan["servers"][path][key]]
        for path, server in without.plan["servers"].items()
    }
    assert differs == {CONTROLLER: ["metadata"], COMPUTE: []}
    name = without.plan["servers"][CONTROLLER]["metadata"]
    assert name.startswith(secrets.UNKNOWN) and stand_in in json.dumps(without.documents[name])
    assert without.plan["hash"] == secrets.UNKNOWN != with_key.plan["hash"]


def test_a_document_that_looks_like_a_preview_is_stored_under_its_digest() -> None:
    region = f"%{{given:Other#{secrets.UNKNOWN}}}"
    planned = make_plan(wanted(parameters={"Region": region}), Before())
    assert all(name.startswith("sha256:") for name in planned.documents)
    assert len(planned.plan["hash"]) == 64


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"parameters": {"ComputeCount": 2}}, "Compute wants 2 with flavor compute (profile=compute); 1 fit"),
        ({"parameters": {"Computes": 2}}, "parameter Computes is given but not declared"),
        ({"parameters": {"ComputeCount": -1}}, "is not between 0 and 10000"),
        ({"images": {}}, "there is no image 'control-image' in the image store; there is none"),
        ({"flavors": {}}, "there is no flavor 'control'"),
        ({"generate_hidden": False}, "parameters.MysqlRootPassword: is hidden and has no value"),
        ({"template": "gone.yml"}, "there is no template gone.yml"),
        ({"environments": []}, "type Workload::Controller is not supported"),
        ({"hardware": {}}, "Controller wants 1 with flavor control"),
    ],
)
def test_what_cannot_be_planned_is_an_error(change: dict[str, Any], problem: str) -> None:
    with pytest.raises(TripleoError) as raised:
        make_plan(wanted(**change), Before())
    assert problem in str(raised.value)


def test_pools_that_are_used_up_are_an_error() -> None:
    foreign = frozenset(("ctlplane", f"192.0.2.{n}") for n in range(10, 18))
    with pytest.raises(TripleoError, match="network ctlplane has no free address left"):
        make_plan(wanted(), Before(foreign_addresses=foreign))


def test_a_given_secret_is_in_no_plan_and_another_value_is_another_plan() -> None:
    first = make_plan(wanted(parameters={"MysqlRootPassword": "Heifs23jk3"}), Before())
    second = make_plan(wanted(parameters={"MysqlRootPassword": "Heifs23jk4"}), after(first))
    for planned in (first, second):
        assert "Heifs23jk" not in json.dumps([planned.plan, planned.documents]) + preview(planned)
    assert second.is_new and second.to_do == ()
    assert list(second.given.values()) == ["Heifs23jk4"]


def test_stand_ins_are_filled_and_redacted() -> None:
    values = {"%{secret:A#1}": "first-value", "%{given:B#00ff}": "second"}
    document = {"a": ["x %{secret:A#1} y", {"b": "%{given:B#00ff}"}], "n": 1}
    assert secrets.fill(document, values) == {"a": ["x first-value y", {"b": "second"}], "n": 1}
    assert secrets.redact("dsn://first-value@h", values) == "dsn://%{secret:A#1}@h"
    with pytest.raises(TripleoError, match=r"no value for %\{secret:C#1\}"):
        secrets.fill("%{secret:C#1}", values)


def test_a_value_is_redacted_however_a_message_writes_it() -> None:
    value = "pa$$ \"w0rd'%/+&"
    texts = [
        value,
        json.dumps(value),
        repr([value]),
        quote(value, safe=""),
        quote_plus(value),
        b64encode(value.encode()),
    ]
    for text in texts:
        shown = secrets.redact(str(text), {"%{given:B#00ff}": value})
        assert "%{given:B#00ff}" in shown and "w0rd" not in shown, shown


def test_two_stacks_share_no_node_and_no_address() -> None:
    first = make_plan(wanted(), Before())
    taken = frozenset((network, ip) for network, ip, _path in first.addresses)
    pool = {**wanted().hardware, "n3": node("control", 3), "n4": node("compute", 4)}
    before = Before(foreign_addresses=taken, unavailable={"n1": "is reserved", "n2": "is reserved"})
    second = make_plan(wanted(stack="other", hardware=pool), before)
    assert {server["node"] for server in second.plan["servers"].values()} == {"n3", "n4"}
    assert not taken & {(network, ip) for network, ip, _path in second.addresses}
    assert copy.deepcopy(second.plan)["servers"][CONTROLLER]["name"] == "other-controller-0"
