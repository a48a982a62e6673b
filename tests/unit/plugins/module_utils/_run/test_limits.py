# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How long a server may be silent."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.tripleo.cloud.plugins.module_utils._run.limits import kind, limit, limits


@pytest.mark.parametrize(
    ("own", "alike", "given", "most", "seconds", "source"),
    [
        (None, None, None, 900, 900, "how long machines like it need is not known yet"),
        (28, None, None, 900, 84, "it took 28 s before"),
        (28, 200, None, 900, 84, "it took 28 s before"),
        (None, 200, None, 900, 600, "machines like it took 200 s before"),
        # Seconds are no measure of what is wrong: a busy switch, a disk that is looked for.
        (1.4, None, None, 900, 60, "it took 1 s before"),
        (0, None, None, 900, 60, "it took 0 s before"),
        (400, None, None, 900, 900, "it took 400 s before"),
        (28, None, None, 30, 30, "it took 28 s before"),
        # A machine whose firmware takes longer since its update comes with the next try.
        (28, 28, 84, 900, 252, "it was given 84 s before"),
        (None, None, 900, 900, 900, "it was given 900 s before"),
    ],
)
def test_limit(
    own: float | None, alike: float | None, given: float | None, most: float, seconds: float, source: str
) -> None:
    assert limit(own, alike, given, most) == (seconds, source)


def machine(**changes: Any) -> dict[str, Any]:
    return {"cpus": 2, "memory": 4096, "disk": 8, "arch": "amd64", "macs": ["x"], "bmc": {}, "labels": {}, **changes}


@pytest.mark.parametrize(
    ("change", "alike"),
    [
        ({"macs": ["y"], "labels": {"rack": "7"}, "root_device": {"serial": "S"}}, True),
        ({"capabilities": {"profile": "control"}}, True),
        ({"capabilities": {"boot_mode": "uefi"}}, False),
        ({"memory": 8192}, False),
        ({"resource_class": "big"}, False),
    ],
)
def test_machines_that_are_alike(change: dict[str, Any], alike: bool) -> None:
    assert (kind(machine()) == kind(machine(**change))) is alike


def test_a_machine_s_own_times_win_stage_by_stage() -> None:
    hardware = {"n1": machine(), "n2": machine(), "n3": machine(cpus=64)}
    silences = {"n1": {"powered": 100.0, "pxe": 30.0}, "n2": {"powered": 50.0}}
    failed = {"n2": {"written": 60.0}, "n3": {"pxe": 60.0}}
    found = limits({"a": "n1", "b": "n2", "c": "n3"}, hardware, silences, failed, 900)
    assert {name: {stage: it.seconds for stage, it in stages.items()} for name, stages in found.items()} == {
        "a": {"powered": 300, "pxe": 90},
        "b": {"powered": 150, "pxe": 90, "written": 180},
        "c": {"pxe": 180},
    }
