# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
from typing import Any

import pytest
from ansible_collections.tripleo.cloud.plugins.module_utils._run.follow import Follower, failure
from ansible_collections.tripleo.cloud.plugins.module_utils._run.limits import Limit

PLAN = "a" * 64


def follower(count: int = 2, stage: str = "reserved", target: str = "booted") -> Follower:
    servers = {f"s{number}": {"node": f"n{number}", "stage": stage, "cause": ""} for number in range(count)}
    return Follower("cloud", PLAN, target, servers, 0.0)


def event(server: str, stage: str, time: float = 1000.0, **fields: Any) -> str:
    return json.dumps({"stack": "cloud", "plan": PLAN, "server": server, "stage": stage, "time": time, **fields}) + "\n"


def test_from_reserved_to_booted() -> None:
    following = follower()
    assert following.lines([]) == ["s0  n0       reserved", "s1  n1       reserved"]
    changed = following.feed(
        event("s0", "pxe") + event("s0", "writing", 1004.0, percent=42.4, rate=12.5 * 1024**2), 1.0
    )
    assert [follow.server for follow in changed] == ["s0"]
    assert following.lines(changed) == ["s0  n0       writing 42 % 12.5 MiB/s"]
    assert following.lines([]) == []
    assert following.feed(event("s0", "writing", percent=43.0), 2.0) == []
    assert following.lines([]) == ["s0  n0       writing 43 %"]
    following.feed(event("s0", "written", 1014.5) + event("s0", "booted", 1040.0), 3.0)
    assert following.servers["s0"].seconds() == {"pxe": 4.0, "writing": 10.5, "written": 25.5}
    assert [follow.server for follow in following.pending()] == ["s1"]
    following.feed(event("s1", "failed", cause="no disk"), 4.0)
    assert (following.pending(), [follow.cause for follow in following.failed()]) == ([], ["no disk"])


def test_what_is_past_counts_for_the_durations() -> None:
    servers = {"s0": {"node": "n0", "stage": "writing", "cause": ""}}
    following = Follower(
        "cloud", PLAN, "booted", servers, 0.0, {"s0": {"powered": 990.0, "pxe": 995.0, "writing": 999.0}}
    )
    following.feed(event("s0", "writing", 1005.0) + event("s0", "written", 1010.0), 1.0)
    assert following.servers["s0"].seconds() == {"powered": 5.0, "pxe": 4.0, "writing": 11.0}


@pytest.mark.parametrize(
    "line",
    [
        "not json\n",
        "[]\n",
        "{}\n",
        '"x"\n',
        event("unknown", "booted"),
        event("s0", "booted").replace(PLAN, "b" * 64),
        event("s0", "booted").replace('"cloud"', '"other"'),
        event("s0", "booted").replace("1000.0", '"soon"'),
    ],
)
def test_what_is_not_ours_is_passed_over(line: str) -> None:
    following = follower()
    assert following.feed(line + event("s1", "pxe"), 1.0) == [following.servers["s1"]]
    assert following.servers["s0"].stage == "reserved"


def test_silent_and_overdue() -> None:
    following = follower(4)
    following.feed(event("s0", "writing") + event("s1", "failed") + event("s2", "booted"), 5.0)
    assert following.silent() == ["s1", "s3"]
    assert list(following.overdue(11.0, 10.0)) == ["s3"]
    assert list(following.overdue(16.0, 10.0)) == ["s0", "s3"]


def test_each_stage_of_each_server_has_its_limit() -> None:
    servers = {name: {"node": f"n{name}", "stage": "powered"} for name in "abc"}
    limits = {"a": {"powered": Limit(84, "it took 28 s before"), "pxe": Limit(60, "it took 9 s before")}}
    following = Follower("cloud", PLAN, "booted", servers, 0.0, limits=limits)
    assert following.overdue(84.0, 900) == {}
    cause = "it has not asked for its boot script for 84 s; it took 28 s before"
    assert following.overdue(85.0, 900) == {"a": (cause, "powered", 84)}
    following.feed(event("a", "pxe"), 90.0)
    assert following.overdue(150.0, 900) == {}, "who speaks again is no longer overdue"
    assert {name: it.cause for name, it in following.overdue(151.0, 100).items()} == {
        "a": "its deploy ramdisk has not reported for 60 s; it took 9 s before",
        "b": "it has not asked for its boot script for 100 s; how long machines like it need is not known yet",
        "c": "it has not asked for its boot script for 100 s; how long machines like it need is not known yet",
    }


def test_who_falls_silent_on_the_way_to_healthy_is_told_with_its_step() -> None:
    following = follower(1, "booted", "healthy")
    following.feed(event("s0", "booted", step="services: post-configure.d/50-a"), 0.0)
    cause = "nothing was heard of it (its last step: services: post-configure.d/50-a)"
    assert following.overdue(11.0, 10.0)["s0"].cause.startswith(f"{cause} for 10 s")
    assert following.late(20)["s0"].cause == f"{cause}: it is not healthy after 20 s"
    following.feed(event("s0", "booted"), 0.0)
    assert following.late(20)["s0"].cause == "nothing was heard of it: it is not healthy after 20 s"


def test_all_that_is_pending_is_late_when_the_run_s_time_is_over() -> None:
    following = follower(3, "pxe")
    following.feed(event("s0", "failed", cause="no disk") + event("s1", "booted"), 5.0)
    cause = "its deploy ramdisk has not reported: it is not booted after 7200 s"
    assert following.late(7200) == {"s2": (cause, "pxe", 0)}


@pytest.mark.parametrize("stage", ["booted", "configured", "healthy"])
def test_further_than_the_target_is_done(stage: str) -> None:
    assert follower(stage=stage).pending() == []


def test_many_servers_show_changes_and_one_summary() -> None:
    following = follower(17, "writing")
    changed = following.feed(event("s3", "failed", cause="no disk") + event("s4", "writing", percent=50), 1.0)
    assert following.lines(changed) == [
        "s3   n3       failed - no disk",
        "17 servers: 16 writing, 1 failed, 50 % of what is being written",
    ]
    assert following.lines([]) == []


@pytest.mark.parametrize(
    ("stage", "cause", "told", "step"),
    [
        ("powered", "silent for 9 s", "silent for 9 s", "check its boot order and its provisioning network (ipmitool"),
        ("failed", "", "two disks match", "look at its messages on its console (ipmitool"),
        ("failed", "power on: no answer. Next: Check bmc.address.", "power on: no answer", "Check bmc.address, then"),
    ],
)
def test_a_failure_says_what_to_do(stage: str, cause: str, told: str, step: str) -> None:
    follow = follower().servers["s0"]
    follow.stage, follow.cause = stage, "two disks match"
    entry = failure(follow, cause, {"address": "10.0.0.9", "port": None})
    assert (entry["node"], entry["operation"], entry["cause"]) == ("s0 (n0)", f"stage {stage}", told)
    assert entry["next_step"].startswith(step)
    assert ("ipmitool -I lanplus -H 10.0.0.9 -p 623" in entry["next_step"]) == ("ipmitool" in step)
    assert entry["next_step"].endswith(", then run: ansible-playbook tripleo.cloud.deploy")
