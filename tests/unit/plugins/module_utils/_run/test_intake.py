# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.tripleo.cloud.plugins.module_utils._errors import TripleoError
from ansible_collections.tripleo.cloud.plugins.module_utils._run import events, lease, serve
from ansible_collections.tripleo.cloud.plugins.module_utils._run.evidence import evidence
from ansible_collections.tripleo.cloud.plugins.module_utils._run.failed import record_failures, record_overdue
from ansible_collections.tripleo.cloud.plugins.module_utils._run.intake import AccessLog, Intake, read_boot
from ansible_collections.tripleo.cloud.plugins.module_utils._run.table import (
    bmcs_of,
    evidence_of,
    limits_of,
    servers_of,
)
from ansible_collections.tripleo.cloud.plugins.module_utils._state.store import State

PLAN, BUILD, KEY = "a" * 64, "d" * 32, "ssh-ed25519 " + "A" * 68
PATHS = {"s0": "0" * 64, "s1": "1" * 64}
PLACES = {"s0": f"10.0.0.10/{PATHS['s0']}", "s1": f"10.0.0.11/{PATHS['s1']}"}
TOKENS = {"s0": "e" * 64, "s1": "f" * 64}


class Site:
    """A state directory with a stored plan of two servers, laid out for boot."""

    def __init__(self, state: Path) -> None:
        self.path, self.log, self.number = state, list[str](), 0
        self.dir = os.fspath(state)
        servers = {
            f"Group.{name}": {
                "name": name,
                "node": f"n{name[1]}",
                "action": "create",
                "networks": {"ctlplane": [address]},
            }
            for name, address in (("s0", "10.0.0.10"), ("s1", "10.0.0.11"))
        }
        servers["Group.s0"]["networks"]["storage"] = ["172.16.0.10"]  # type: ignore[index]
        with State.open(self.dir) as store:
            store.register({"n0": {"bmc": {"address": "10.9.9.9", "port": 623}}, "n1": {}})
            store.store_plan({"stack": "cloud", "serial": 1, "hash": PLAN, "servers": servers}, 0, [])
        self.lease = lease.acquire(self.dir, "cloud", PLAN, "someone", "r1", True)
        entries = {
            name: {
                "node": f"n{name[1]}",
                "mac": f"52:54:00:00:00:0{name[1]}",
                "address": f"10.0.0.1{name[1]}",
                "path": PATHS[name],
                "token_sha256": hashlib.sha256(TOKENS[name].encode()).hexdigest(),
                "build_id": BUILD,
                "switched": False,
            }
            for name in PATHS
        }
        (state / "run" / "cloud.boot.json").write_text(json.dumps({"plan": PLAN, "servers": entries}))
        for name in PLACES.values():
            (state / "reports" / name).mkdir(parents=True)
            (state / "serve" / name).mkdir(parents=True)
            (state / "serve" / name / "deploy.json").touch()
        self.intake = Intake(self.dir, self.log.append, self.log.append)

    def report(self, server: str, stage: str, boot: str = "ramdisk", **fields: Any) -> None:
        self.number += 1
        common = {"token": TOKENS[server], "plan": PLAN, "server": server, "boot_id": boot, "number": self.number}
        file = self.path / "reports" / PLACES[server] / f"{boot}-{self.number}.json"
        file.write_text(json.dumps({**common, "stage": stage, **fields}))

    def scan(self, *asked: str) -> dict[str, str]:
        boot = read_boot(self.dir, self.lease)
        self.intake.scan([boot], [(PATHS[name], "boot.ipxe") for name in asked])
        return {name: fields["stage"] for name, fields in servers_of(self.dir, "cloud", PLAN, []).items()}

    def events(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in events.read(self.dir, 0)[0].splitlines()]

    def waiting(self) -> list[Path]:
        return list((self.path / "reports").glob("*/*/*"))


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


def test_the_way_of_a_server(site: Site) -> None:
    assert site.scan("s0") == {"s0": "pxe", "s1": "reserved"}
    site.report("s0", "ramdisk", disks=[{"name": "vda", "serial": "S", "size": 9, "holds": "ext4"}])
    assert site.scan()["s0"] == "ramdisk"
    with State.open(site.dir) as store:
        assert store.nodes()["n0"].facts["disks"][0]["holds"] == "ext4"
    for percent in (10, 20):
        site.report("s0", "writing", percent=percent)
    assert site.scan()["s0"] == "writing"
    site.report("s0", "written", ssh_host_key=KEY)
    assert site.scan("s0")["s0"] == "written", "the boot of the disk goes through boot.ipxe as well"
    assert sorted(os.listdir(site.path / "serve" / PLACES["s0"])) == ["boot.ipxe", "go"]
    assert (site.path / "secrets/cloud/known_hosts").read_text() == f"10.0.0.10 {KEY}\n172.16.0.10 {KEY}\n"
    site.report("s0", "booted", boot="disk", build_id=BUILD)
    assert site.scan()["s0"] == "booted"
    assert site.waiting() == []
    assert [event.get("percent", event["stage"]) for event in site.events()] == [
        "pxe", "ramdisk", 10.0, 20.0, "written", "booted"
    ]  # fmt: skip
    assert {(event["run"], event["plan"], event["node"]) for event in site.events()} == {("r1", PLAN, "n0")}


def test_a_node_s_place_is_shown_and_moves_no_stage(site: Site) -> None:
    place = {"boot": "disk", "step": "services", "detail": "post-configure.d/50-a", "failed": True}
    site.report("s0", "booted", **place)
    site.report("s0", "healthy", **{**place, "step": ""})
    assert (site.scan()["s0"], site.events()) == ("reserved", [])
    site.report("s0", "booted", boot="disk", build_id=BUILD)
    site.report("s0", "configured", **place)
    assert (site.scan()["s0"], site.waiting()) == ("booted", [])
    shown = [(event["stage"], event.get("step")) for event in site.events()]
    assert shown == [("booted", None), ("booted", "services: post-configure.d/50-a failed")]


def test_silences_of_stages_that_ended_well_are_learned(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [site.lease.since + 1]
    monkeypatch.setattr("time.time", lambda: clock[0])
    with State.open(site.dir) as store:
        for server in ("s0", "s1"):
            store.set_stage("cloud", server, "powered", plan=PLAN)

    def news(after: float, stage: str = "", **fields: Any) -> None:
        clock[0] += after
        if stage:
            site.report("s0", stage, "disk" if stage == "booted" else "ramdisk", **fields)
        site.scan(*([] if stage else ["s0"]))

    news(28)
    news(9, "ramdisk", disks=[])
    news(2, "writing", percent=0)
    for pause in (1, 7, 1):
        news(pause, "writing", percent=50)
    news(4, "written", ssh_host_key=KEY)
    news(31, "booted", build_id=BUILD)
    # What fails has taught nothing.
    site.report("s1", "failed", cause="no disk")
    news(500)
    with State.open(site.dir, read_only=True) as store:
        assert store.silences() == {
            "n0": {"powered": 28.0, "pxe": 9.0, "ramdisk": 2.0, "writing": 7.0, "written": 31.0}
        }
    assert limits_of(site.dir, {"s1": {"node": "n1", "stage": "failed"}}, 900)["s1"]["written"].seconds == 93
    assert limits_of(site.dir, {"s0": {"node": "n0", "stage": "booted"}}, 900) == {}


@pytest.mark.parametrize("since", [0, 20])
def test_a_stage_that_an_earlier_run_began_teaches_nothing(site: Site, since: float) -> None:
    with State.open(site.dir) as store:
        store.set_stage("cloud", "s0", "powered", plan=PLAN)
    site.lease = site.lease._replace(since=site.lease.since + since)
    site.scan("s0")
    with State.open(site.dir, read_only=True) as store:
        assert bool(store.silences()) == (since == 0)


def test_failures_that_nodes_do_not_report_themselves(site: Site) -> None:
    with State.open(site.dir) as store:
        store.set_stage("cloud", "s1", "written", plan=PLAN)
        assert record_failures(store, "cloud", PLAN, "r1", {"s0": "no answer", "s1": "silent", "s9": "x"}) == [
            "s0",
            "s1",
        ]
        assert {name: it.stage for name, it in store.servers("cloud").items()} == {"s0": "failed", "s1": "written"}
        assert set(store.aside()) == {"n0", "n1"}
        assert record_failures(store, "cloud", "b" * 64, "r1", {"s0": "late"}) == []
    assert servers_of(site.dir, "cloud", PLAN, [])["s1"] == {"node": "n1", "stage": "failed", "cause": "silent"}
    assert [(event["server"], event["stage"], event["cause"]) for event in site.events()] == [
        ("s0", "failed", "no answer"),
        ("s1", "failed", "silent"),
    ]
    site.report("s1", "booted", boot="disk", build_id=BUILD)
    assert site.scan()["s1"] == "booted"
    with State.open(site.dir) as store:
        record_overdue(store, "cloud", PLAN, "r1", {"s0": ("a", "powered", 60.0), "s1": ("too late", "written", 90.0)})
        record_overdue(store, "cloud", PLAN, "r1", {"s0": ("the run's time is over", "pxe", 0.0)})
        assert store.silences(failed=True) == {"n0": {"powered": 60}}
        assert store.servers("cloud")["s0"].cause == "the run's time is over"
        assert set(store.aside()) == {"n0"}


def test_a_complete_plan_is_no_longer_served(site: Site) -> None:
    for server in PATHS:
        assert (site.path / "serve" / PLACES[server]).exists()
        site.report(server, "booted", boot="disk", build_id=BUILD)
        site.scan()
    assert list((site.path / "serve").iterdir()) == []
    assert list((site.path / "reports").iterdir()) == []
    assert read_boot(site.dir, site.lease).entries == ()


def test_paths_of_an_earlier_run_go_with_the_last_server(site: Site) -> None:
    site.report("s0", "ramdisk", disks=[])
    site.report("s0", "booted", boot="disk", build_id=BUILD)
    site.scan()
    run_file = site.path / "run" / "cloud.boot.json"
    document = json.loads(run_file.read_text())
    del document["servers"]["s0"]
    run_file.write_text(json.dumps(document))
    site.intake = Intake(site.dir, site.log.append, site.log.append)
    site.report("s1", "booted", boot="disk", build_id=BUILD)
    site.scan()
    assert list((site.path / "serve").iterdir()) == []


def test_booted_is_believed_only_from_the_plan_s_image(site: Site) -> None:
    site.report("s0", "ramdisk", disks=[])
    site.report("s0", "booted", build_id=BUILD)
    assert site.scan()["s0"] == "ramdisk"
    assert "not believed" in site.log[-1]
    site.intake = Intake(site.dir, site.log.append, site.log.append)
    site.report("s0", "booted", build_id=BUILD)
    assert site.scan()["s0"] == "ramdisk", "a new keeper knows the ramdisk's boot id as well"
    site.report("s0", "booted", boot="disk", build_id="9" * 32)
    assert site.scan()["s0"] == "failed"
    assert f"the plan's image has {BUILD}" in site.events()[-1]["cause"]


def test_nothing_takes_a_booted_server_back(site: Site) -> None:
    site.report("s0", "booted", boot="disk", build_id=BUILD)
    site.scan()
    site.report("s0", "failed", cause="late")
    site.report("s0", "written", ssh_host_key=KEY)
    assert site.scan("s0")["s0"] == "booted"
    assert not (site.path / "secrets").exists()


def test_a_failure_has_its_cause(site: Site) -> None:
    site.report("s1", "failed", cause="two disks match")
    assert site.scan() == {"s0": "reserved", "s1": "failed"}
    assert servers_of(site.dir, "cloud", PLAN, ["s1"])["s1"]["cause"] == "two disks match"
    assert site.scan("s1")["s1"] == "failed", "a firmware that goes round is no news"
    with State.open(site.dir) as store:
        store.set_stage("cloud", "s1", "powered", plan=PLAN)
    assert site.scan("s1")["s1"] == "pxe"


@pytest.mark.parametrize("content", ["", "[]", json.dumps({"token": "guess", "stage": "booted"})])
def test_what_cannot_be_used_is_said_once_and_removed(site: Site, content: str) -> None:
    (site.path / "reports" / PLACES["s0"] / "boot-1.json").write_text(content)
    site.report("s1", "ramdisk", disks=[])
    assert site.scan() == {"s0": "reserved", "s1": "ramdisk"}
    assert site.waiting() == []
    assert site.log[0].startswith("n0: the report boot-1.json is not used: it")


def test_what_finds_no_room_is_taken_in_later(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_room(*_words: Any, **_details: Any) -> None:
        raise OSError("no room")

    for server in PATHS:
        site.report(server, "booted", boot="disk", build_id=BUILD)
    with monkeypatch.context() as full:
        full.setattr(events, "append", no_room)
        site.scan()
    assert (len(site.waiting()), site.events()) == (2, [])
    site.scan()
    assert [(event["server"], event["stage"]) for event in site.events()] == [("s0", "booted"), ("s1", "booted")]
    assert site.waiting() == []


def test_one_node_s_trouble_is_not_another_s(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_state: str, place: str, switch: Any = serve.switch) -> None:
        if place == PLACES["s0"]:
            raise OSError("broken")
        switch(_state, place)

    for server in PATHS:
        site.report(server, "written", ssh_host_key=KEY)
    site.report("s0", "booted", boot="disk", build_id=BUILD)
    with monkeypatch.context() as patched:
        patched.setattr(serve, "switch", full)
        assert site.scan() == {"s0": "written", "s1": "written"}
    assert "n0: broken" in site.log
    assert len(site.waiting()) == 2, "in their order: what is not done holds up what came after it"
    assert site.scan()["s0"] == "booted"
    assert (site.path / "serve" / PLACES["s0"] / "go").exists()


@pytest.mark.parametrize("damage", ["[]", "null", '{"a": 1}', "{", "[" * 100000])
def test_a_damaged_memory_of_ramdisks_is_forgotten(site: Site, damage: str) -> None:
    (site.path / "run" / "ramdisks.json").write_text(damage)
    site.intake = Intake(site.dir, site.log.append, site.log.append)
    site.report("s0", "ramdisk", disks=[])
    assert site.scan()["s0"] == "ramdisk"


def test_a_token_of_another_node_proves_nothing(site: Site) -> None:
    site.report("s0", "booted", boot="disk", build_id=BUILD)
    (file,) = site.waiting()
    file.rename(site.path / "reports" / PLACES["s1"] / file.name)
    assert site.scan() == {"s0": "reserved", "s1": "reserved"}


def test_another_plan_takes_the_old_paths_away(site: Site) -> None:
    other = site.lease._replace(plan="c" * 64)
    assert read_boot(site.dir, other).entries == ()
    assert list((site.path / "serve").iterdir()) == []
    assert not (site.path / "run" / "cloud.boot.json").exists()


def test_a_damaged_run_file_is_named(site: Site) -> None:
    (site.path / "run" / "cloud.boot.json").write_text("{")
    with pytest.raises(TripleoError, match=r"cloud\.boot\.json is damaged"):
        read_boot(site.dir, site.lease)


def test_servers_of(site: Site) -> None:
    with pytest.raises(TripleoError, match="the plan has no server s9; it has s0, s1"):
        servers_of(site.dir, "cloud", PLAN, ["s9"])
    with pytest.raises(TripleoError, match=r"is aaaaaaaaaaaa, not bbbbbbbbbbbb.*tripleo\.cloud\.deploy"):
        servers_of(site.dir, "cloud", "b" * 64, [])
    with pytest.raises(TripleoError, match="stack other has no stored plan"):
        servers_of(site.dir, "other", PLAN, [])
    assert bmcs_of(site.dir, {"s0": {"node": "n0"}}) == {"n0": {"address": "10.9.9.9", "port": 623}}


def test_access_log(tmp_path: Path) -> None:
    file = tmp_path / "access.log"
    log = AccessLog(os.fspath(file))
    assert log.requests() == []
    lines = [
        f"10.0.0.10 GET /{PATHS['s0']}/boot.ipxe 200",
        f"10.0.0.10 GET /{PATHS['s0']}/disk.zst 206",
        f"10.0.0.10 GET /{PATHS['s1']}/boot.ipxe 404",
        f"10.0.0.10 PUT /{PATHS['s0']}/boot.ipxe 403",
        "10.0.0.10 GET /robots.txt 200",
        f"10.0.0.11 GET /{PATHS['s1']}/boot.ipxe 20",
    ]
    file.write_text("\n".join(lines))
    assert log.requests() == [(PATHS["s0"], "boot.ipxe"), (PATHS["s0"], "disk.zst")]
    with file.open("a") as stream:
        stream.write("0\n")
    assert log.requests() == [(PATHS["s1"], "boot.ipxe")]


def test_evidence(site: Site) -> None:
    run = site.path / "run"
    assert evidence(site.dir, "52:54:00:00:00:00", "10.0.0.10", "n0") == ["no DHCP request of it was seen"]
    dhcp = "dnsmasq-dhcp[5]: 1 {}(br0) 10.0.0.10 52:54:00:00:00:00 "
    noise = [
        "dnsmasq-dhcp[5]: 1 requested options: 52:54:00:00:00:00",
        dhcp.format("X").replace(":00:00:00", ":ff:00:00"),
    ]
    run.joinpath("dnsmasq.log").write_text("\n".join([dhcp.format("DHCPDISCOVER"), *noise, dhcp.format("DHCPACK")]))
    run.joinpath("nginx-access.log").write_text(
        f"10.0.0.10 GET /{PATHS['s0']}/boot.ipxe 200\n10.0.0.11 GET /{PATHS['s1']}/kernel 200\n"
    )
    assert evidence(site.dir, "52:54:00:00:00:00", "10.0.0.10", "n0") == [
        "1 DHCPDISCOVER(br0) 10.0.0.10 52:54:00:00:00:00",
        "1 DHCPACK(br0) 10.0.0.10 52:54:00:00:00:00",
        "GET boot.ipxe 200",
    ]
    assert list(evidence_of(site.dir, "cloud", ["s1"])) == ["s1"]
