# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from typing import Any

from ansible_collections.tripleo.cloud.plugins.module_utils._plan.changes import (
    MOST_LINES,
    describe,
    describe_setup,
    document_changes,
)

OLD = {"m": {"mysql": {"password": "%{given:P#00}"}}, "h": {"hosts": "one", "port": 1}}
NEW = {"m2": {"mysql": {"password": "%{given:P#ff}"}}, "h2": {"hosts": "two", "port": 1}, "n": {"ntp": "a"}}


def plan(metadata: str, *documents: tuple[str, str], servers: int = 1) -> dict[str, Any]:
    entry = {"metadata": metadata, "documents": [list(pair) for pair in documents]}
    return {"servers": {f"Compute.{n}.Server": {"name": f"compute-{n}", **entry} for n in range(servers)}}


def lines(stored: dict[str, Any], new: dict[str, Any], documents: dict[str, Any]) -> list[str]:
    return list(describe(stored, new, OLD.get, documents))


def test_each_change_shows_once_with_all_its_servers() -> None:
    stored, new = plan("m", ("all", "h"), servers=7), plan("m", ("all", "h2"), servers=8)
    assert document_changes(stored, new) == {
        ("all", "h", "h2"): [f"compute-{n}" for n in range(7)],
        ("metadata", "", "m"): ["compute-7"],
        ("all", "", "h2"): ["compute-7"],
    }
    text = lines(stored, new, {**NEW, "m": OLD["m"]})
    assert text[:6] == [
        "  document all of compute-0, compute-1, compute-2, compute-3, compute-4 and 2 more:",
        "    @@ -1,4 +1,4 @@",
        "     {",
        '    -  "hosts": "one",',
        '    +  "hosts": "two",',
        '       "port": 1',
    ]


def test_secrets_show_as_stand_ins_and_what_comes_or_goes_is_named() -> None:
    text = "\n".join(lines(plan("m", ("all", "h")), plan("m2", ("ntp", "n")), NEW))
    assert '-    "password": "%{given:P#00}"' in text and '+    "password": "%{given:P#ff}"' in text
    assert '-  "hosts": "one"' in text and '+  "ntp": "a"' in text


def test_a_lost_document_is_named_and_an_unchanged_one_is_not() -> None:
    assert lines(plan("m", ("all", "gone")), plan("m", ("all", "h2")), NEW) == [
        "  document all of compute-0:",
        "    (the stored one is lost)",
    ]
    assert lines(plan("m", ("all", "h")), plan("m", ("all", "h")), {}) == []


def test_many_lines_are_cut() -> None:
    new = plan("m", ("all", "big"))
    text = lines(plan("m", ("all", "h")), new, {"big": {f"key-{n}": n for n in range(1000)}})
    assert len(text) == MOST_LINES + 1 and text[-1].startswith("  ... and ")


def test_who_is_configured_why_and_with_what() -> None:
    servers = plan("m", ("all", "h2"), ("empty", "e"), servers=2)["servers"]
    before = {"Compute.0.Server": plan("m", ("all", "h"))["servers"]["Compute.0.Server"]}
    reasons = {"compute-0": "its documents differ", "compute-1": "it is not booted yet"}
    text = describe_setup(servers, before, reasons, {**OLD, **NEW, "e": {}}.get).splitlines()
    assert text[:3] == [
        "+ compute-0: its documents differ",
        "+ compute-1: it is not booted yet",
        "  document all of compute-0:",
    ]
    assert text[text.index("  document metadata of compute-1:") :][:3] == [
        "  document metadata of compute-1:",
        "    @@ -0,0 +1,5 @@",
        "    +{",
    ]
    assert not any("document empty" in line for line in text)
