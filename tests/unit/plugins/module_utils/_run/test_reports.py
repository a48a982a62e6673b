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
from ansible_collections.tripleo.cloud.plugins.module_utils._run.reports import ReportError, check, clean, load

TOKEN, PLAN, BUILD = "c" * 64, "a" * 64, "d" * 32
KEY = "ssh-ed25519 " + "A" * 68
BOOT = "1b4e28ba-2fa1-11d2-883f-0016d3cca427"


def document(**fields: Any) -> dict[str, Any]:
    return {"token": TOKEN, "plan": PLAN, "server": "s0", "boot_id": BOOT, "number": 3, "stage": "failed", **fields}


def accept(fields: dict[str, Any], name: str = f"{BOOT}-3.json") -> Any:
    digest = hashlib.sha256(TOKEN.encode()).hexdigest()
    return check(fields, name, plan=PLAN, server="s0", token_sha256=digest)


@pytest.mark.parametrize(
    ("fields", "details"),
    [
        ({"stage": "failed", "cause": "two disks match"}, {"cause": "two disks match"}),
        ({"stage": "failed"}, {"cause": "the node gave no cause"}),
        ({"stage": "failed", "cause": "red \x1b[31m\nforged line"}, {"cause": "red  [31m forged line"}),
        ({"stage": "writing", "percent": 41.26, "bytes": 7, "total": 9, "rate": 3.5},
         {"percent": 41.3, "bytes": 7, "total": 9, "rate": 3.5}),
        ({"stage": "writing", "percent": 900, "bytes": -1, "total": "9", "rate": True}, {"percent": 100.0}),
        ({"stage": "written", "ssh_host_key": KEY}, {"ssh_host_key": KEY}),
        ({"stage": "booted", "build_id": BUILD}, {"build_id": BUILD}),
        ({"stage": "ramdisk", "disks": [{"name": "vda", "serial": "S1", "size": 8, "extra": 1}]},
         {"disks": [{"name": "vda", "serial": "S1", "wwn": "", "model": "", "holds": "", "size": 8}]}),
    ],
)  # fmt: skip
def test_accepted(fields: dict[str, Any], details: dict[str, Any]) -> None:
    report = accept(document(**fields))
    assert (report.stage, report.boot_id, report.number, report.details) == (fields["stage"], BOOT, 3, details)


@pytest.mark.parametrize(
    ("fields", "step"),
    [
        ({"stage": "booted", "step": "metadata", "detail": "waiting"}, "metadata: waiting"),
        ({"stage": "configured", "step": "services", "detail": "health.d/a\x1b[1m\n", "failed": True},
         "services: health.d/a [1m failed"),
        ({"stage": "healthy", "step": "", "detail": "", "failed": "yes"}, ""),
    ],
)  # fmt: skip
def test_places(fields: dict[str, Any], step: str) -> None:
    report = accept(document(**fields))
    assert (report.stage, report.details) == ("place", {"step": step})


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"token": "d" * 64}, "token"),
        ({"token": None}, "token"),
        ({"token": "\ud800"}, "token"),
        ({"plan": "b" * 64}, "plan"),
        ({"server": "s1"}, "server"),
        ({"boot_id": "other"}, "boot_id"),
        ({"number": 4}, "number"),
        ({"stage": "healthy"}, "stage"),
        ({"stage": ["failed"]}, "stage"),
        ({"stage": "written", "step": "metadata"}, "ssh_host_key"),
        ({"stage": "booted", "step": "elsewhere"}, "step"),
        ({"stage": "booted", "step": ["metadata"]}, "step"),
        ({"stage": "written"}, "ssh_host_key"),
        ({"stage": "written", "ssh_host_key": f"{KEY}\n10.0.0.1 {KEY}"}, "ssh_host_key"),
        ({"stage": "written", "ssh_host_key": "ssh-rsa AAAA"}, "ssh_host_key"),
        ({"stage": "booted", "build_id": "latest"}, "build_id"),
        ({"stage": "ramdisk", "disks": "vda"}, "disks"),
        ({"stage": "ramdisk", "disks": [1]}, "disks"),
        ({"stage": "ramdisk", "disks": [{}] * 257}, "256"),
    ],
)
def test_refused(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ReportError, match=message):
        accept(document(**fields))


@pytest.mark.parametrize("name", ["x.json", "-1.json", f"{BOOT}-3.json.new", "../a-3.json", f"{BOOT}-9999999999.json"])
def test_refused_names(name: str) -> None:
    with pytest.raises(ReportError, match="name"):
        accept(document(), name)


def test_not_an_object() -> None:
    with pytest.raises(ReportError, match="not an object"):
        check([], "b-1.json", plan=PLAN, server="s0", token_sha256="")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"{", "not JSON"),
        (b"\xff", "not JSON"),
        (b"[" * 100000, "not JSON"),
        (b"[" * 9 + b"]" * 9, "deeper than 8"),
        (b'"' + b"x" * 262144 + b'"', "larger than 262144"),
    ],
)
def test_files_that_are_refused(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "report").write_bytes(content)
    with pytest.raises(ReportError, match=message):
        load(os.fspath(tmp_path / "report"))


def test_only_regular_files_are_read(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text(json.dumps({"a": 1}))
    (tmp_path / "link").symlink_to(tmp_path / "secret")
    os.mkfifo(tmp_path / "fifo")
    assert load(os.fspath(tmp_path / "secret")) == {"a": 1}
    with pytest.raises(OSError, match="symbolic"):
        load(os.fspath(tmp_path / "link"))
    with pytest.raises(ReportError, match="regular"):
        load(os.fspath(tmp_path / "fifo"))


def test_clean_is_bounded() -> None:
    assert clean("x" * 1000) == "x" * 256
    assert clean(None) == ""
    assert clean(7) == "7"
