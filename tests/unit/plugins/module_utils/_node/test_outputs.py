# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Signals of deployments, judged by the rules of Heat's engine."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.tripleo.cloud.plugins.module_utils._node import outputs
from ansible_collections.tripleo.cloud.plugins.module_utils._node.errors import NodeError

STANDARD = {"deploy_stdout": None, "deploy_stderr": None, "deploy_status_code": None}
DECLARED = [{"name": "result"}, {"name": "problem", "error_output": True}]


@pytest.mark.parametrize(
    ("signal", "status", "reason", "values"),
    [
        ({}, "COMPLETE", "Outputs received", {}),
        ({"result": 7, "other": 8}, "COMPLETE", "Outputs received", {"result": 7}),
        ({"deploy_status_code": 0}, "COMPLETE", "Outputs received", {"deploy_status_code": 0}),
        ({"deploy_status_code": "0"}, "COMPLETE", "Outputs received", {"deploy_status_code": "0"}),
        (
            {"deploy_status_code": 3, "deploy_stdout": "out"},
            "FAILED",
            "deploy_status_code : Deployment exited with non-zero status code: 3",
            {"deploy_status_code": 3, "deploy_stdout": "out"},
        ),
        ({"problem": "no disk", "result": 1}, "FAILED", "problem : no disk", {"problem": "no disk", "result": 1}),
        (
            {"problem": "", "deploy_status_code": "1"},
            "FAILED",
            "problem : , deploy_status_code : Deployment exited with non-zero status code: 1",
            {"problem": "", "deploy_status_code": "1"},
        ),
    ],
)
def test_a_signal(signal: dict[str, Any], status: str, reason: str, values: dict[str, Any]) -> None:
    found = outputs.judge({"outputs": DECLARED}, signal)
    assert found == {"status": status, "reason": reason, "outputs": {**STANDARD, **values}}


@pytest.mark.parametrize(
    ("deployment", "status"),
    [
        ({"group": "script"}, "IN_PROGRESS"),
        ({"group": "script", "inputs": [{"name": "deploy_signal_transport", "value": "NO_SIGNAL"}]}, "COMPLETE"),
        ({"group": "script", "inputs": [{"name": "other", "value": "NO_SIGNAL"}]}, "IN_PROGRESS"),
        ({"group": "os-apply-config"}, "COMPLETE"),
        ({"group": "Heat::Ungrouped"}, "COMPLETE"),
        ({}, "IN_PROGRESS"),
    ],
)
def test_a_deployment_without_a_signal(deployment: dict[str, Any], status: str) -> None:
    found = outputs.judge(deployment, None)
    assert (found["status"], found["outputs"]) == (status, {})


def test_what_heat_config_left_is_read_and_nothing_else(tmp_path: Path) -> None:
    files = {"a": json.dumps({"result": [1]}), "b": "no JSON", "c": "[]", "other": "{}"}
    for name, text in files.items():
        (tmp_path / f"{name}.notify.json").write_text(text)
    (tmp_path.parent / "up.notify.json").write_text('{"result": 1}')
    ids: list[Any] = ["a", "b", "c", "d", "../up", ".", None, {"x": 1}]
    listed = [{"id": one, "name": f"50-{one}", "outputs": DECLARED} for one in ids]
    context = {"deployments": [*listed, "nonsense", {}]}
    found = outputs.collect(context, {"HEAT_CONFIG_DEPLOYED": str(tmp_path)})
    assert {name: one["status"] for name, one in found.items()} == {
        "a": "COMPLETE", "b": "COMPLETE", "c": "COMPLETE", "d": "IN_PROGRESS",
    }  # fmt: skip
    assert (found["a"]["name"], found["a"]["outputs"]["result"]) == ("50-a", [1])
    assert outputs.collect({"deployments": {"no": "list"}}, {}) == outputs.collect({}, {}) == {}


def test_a_report_that_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    os.mkdir(tmp_path / "a.notify.json")
    with pytest.raises(NodeError, match=r"a\.notify\.json cannot be read"):
        outputs.collect({"deployments": [{"id": "a"}]}, {"HEAT_CONFIG_DEPLOYED": str(tmp_path)})


def test_failures_are_named() -> None:
    found = {
        "1": {"name": "50-a", "status": "FAILED", "reason": "because"},
        "2": {"name": "60-b", "status": "IN_PROGRESS", "reason": "no hook has reported"},
    }
    assert outputs.failures(found) == "deployment 50-a: because"
