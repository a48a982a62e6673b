# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The program's decisions; that it works as a whole is tests/system/test_ramdisk.py's."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.tripleo.cloud.plugins.module_utils._deploy import disks, program
from ansible_collections.tripleo.cloud.plugins.module_utils._deploy.errors import DeployError
from ansible_collections.tripleo.cloud.plugins.module_utils._deploy.program import POWER_OFF, RESTART, main

ORDERS: dict[str, Any] = {
    "schema": 1,
    "token": "t-secret",
    "plan": "p" * 64,
    "server": "cloud-controller-0",
    "disk": {"hints": {}},
    "manifest_sha256": "0" * 64,
    "retry_seconds": 7,
    "config_drive": {},
}


class Place:
    """In place of the server: files by name; what was put."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, **files: Any) -> None:
        place = self
        self.files = {name: json.dumps(content).encode() for name, content in files.items()}
        self.reports: list[dict[str, Any]] = []
        self.lost = False

        class Server:
            def __init__(self, url: str, retry_seconds: float) -> None:
                assert url == "http://10.1.2.3:8088/secret/"
                self.retry_seconds = retry_seconds

            def get(self, name: str, start: int = 0, length: int = 0) -> bytes:
                return place.files[name]

            def put(self, name: str, body: bytes) -> None:
                if place.lost:
                    raise DeployError("the server is away")
                place.reports.append(json.loads(body))

        monkeypatch.setattr(program, "Server", Server)


def run(tmp_path: Path, text: str = "console=ttyS0 tripleo.url=http://10.1.2.3:8088/secret/ quiet") -> tuple[int, str]:
    cmdline = tmp_path / "cmdline"
    cmdline.write_text(text + "\n")
    said: list[str] = []
    return main(said.append, str(cmdline)), "\n".join(said)


def test_without_a_url_the_machine_goes_off(tmp_path: Path) -> None:
    assert run(tmp_path, "console=ttyS0 quiet") == (POWER_OFF, "the kernel arguments have no tripleo.url")


@pytest.mark.parametrize(
    ("orders", "problem"),
    [
        ([], "is not of schema 1"),
        ({**ORDERS, "schema": 2}, "is not of schema 1"),
        ({**ORDERS, "token": None}, "has no valid token"),
        ({**ORDERS, "disk": {}}, "has no valid disk"),
        ({**ORDERS, "retry_seconds": "long"}, "has no valid retry_seconds"),
    ],
)
def test_orders_that_it_does_not_understand(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, orders: Any, problem: str
) -> None:
    place = Place(monkeypatch, **{"deploy.json": orders})
    command, said = run(tmp_path)
    assert command == POWER_OFF
    assert problem in said
    assert place.reports == []


def test_when_all_went_well_it_restarts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    Place(monkeypatch, **{"deploy.json": ORDERS})
    monkeypatch.setattr(program, "deploy", lambda *_arguments: None)
    command, said = run(tmp_path)
    assert command == RESTART
    assert "server cloud-controller-0, plan pppppppppppp" in said
    assert "t-secret" not in said


def fail(error: Exception) -> Callable[..., None]:
    def deploy(*_arguments: object) -> None:
        raise error

    return deploy


@pytest.mark.parametrize(
    ("error", "cause"),
    [
        (DeployError("the disk is broken"), "the disk is broken"),
        (KeyError("root"), "KeyError: 'root'"),
        (MemoryError(), "MemoryError: "),
    ],
)
@pytest.mark.parametrize("lost", [False, True])
def test_any_failure_is_reported_and_said_and_ends_off(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, error: Exception, cause: str, lost: bool
) -> None:
    place = Place(monkeypatch, **{"deploy.json": ORDERS})
    place.lost = lost
    monkeypatch.setattr(program, "deploy", fail(error))
    command, said = run(tmp_path)
    assert command == POWER_OFF
    assert f"FAILED: {cause}" in said
    assert [report["cause"] for report in place.reports] == ([] if lost else [cause])
    assert lost or place.reports[0].items() >= {"stage": "failed", "token": "t-secret", "number": 1}.items()


def test_another_manifest_is_not_written(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    place = Place(monkeypatch, **{"deploy.json": ORDERS, "manifest.json": {"schema": 1}})
    monkeypatch.setattr(disks, "find_settled", lambda: [disks.Disk("vda", 1 << 30, serial="S1")])
    assert run(tmp_path)[0] == POWER_OFF
    assert [report["stage"] for report in place.reports] == ["ramdisk", "failed"]
    assert place.reports[0]["disks"][0]["serial"] == "S1"
    assert place.reports[1]["cause"].startswith("the image's manifest is not the one that the plan names")
