# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The elements of tripleo-image-elements: their templates rendered, their phases listed, by the originals and ours."""

from __future__ import annotations

import json
import random
import re
from collections import Counter
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.tripleo.cloud.plugins.module_utils._image.elements import builder_elements
from diskimage_builder.element_dependencies import get_elements
from generate import document, value
from side_by_side import ORIGINALS, Machine, Pair
from web import Answer, Web

pytestmark = pytest.mark.slow
OURS = Path(__file__).resolve().parents[2] / "elements"
PROGRAMS = ("os-apply-config", "os-refresh-config", "os-collect-config")
ELEMENTS = ORIGINALS.parent / "share" / "tripleo-image-elements"
NAME = re.compile(rb"\{\{\{?[#^&/]?\s*([\w.-]+)")


def _trees(kind: str) -> list[Path]:
    # pip compiles what ends in .py, templates too.
    found = sorted(ELEMENTS.glob(f"*/{kind}/**/*"))
    return [path for path in found if path.is_file() and "__pycache__" not in path.parts]


def _metadata(source: random.Random, names: list[str]) -> dict[str, Any]:
    """Documents in which most of the names that the templates use have a value: text, as a rule."""
    found: dict[str, Any] = {}
    for name in names:
        place = found
        *parents, last = name.split(".")
        for key in parents:
            inner = place.get(key)
            place[key] = place = inner if isinstance(inner, dict) else {}
        chance = source.random()
        if chance > 0.15 and last not in place:
            place[last] = f"text of {name}" if chance > 0.4 else value(source, 2)
    return found


def test_templates(pair: Pair) -> None:
    templates = _trees("os-apply-config")
    assert len(templates) >= 40
    names = sorted({name.decode() for path in templates for name in NAME.findall(path.read_bytes())} - {"."})
    source = random.Random(8)
    documents = [{}, document(source), *[_metadata(source, names) for _document in range(12)]]

    def scenario(machine: Machine) -> None:
        for path in templates:
            machine.write(f"/mnt/t/{path.relative_to(ELEMENTS)}", path.read_bytes(), path.stat().st_mode & 0o777)
        for number, content in enumerate(documents):
            machine.document("/mnt/m", content)
            machine.run("os-apply-config", "-t", "/mnt/t", "-o", f"/mnt/o{number}", "-m", "/mnt/m")
            machine.snapshot(f"/mnt/o{number}")

    found = pair.same(scenario, "trees of the elements' templates")
    rendered = [files for result, files in zip(found[::2], found[1::2], strict=True) if result.status == 0]
    assert len(rendered) > len(documents) / 2, [result.errors for result in found[::2]]
    pair.counts["pairs of metadata and template"] += len(rendered) * len(templates)


def test_phases(pair: Pair) -> None:
    scripts = _trees("os-refresh-config")
    folders = sorted({path.parent for path in scripts if path.parent.name.endswith(".d")})
    assert len(folders) > 30

    def scenario(machine: Machine) -> None:
        for path in scripts:
            mode = path.stat().st_mode & 0o777 | 0o111
            machine.write(f"/mnt/p/{path.relative_to(ELEMENTS)}", path.read_bytes(), mode)
            machine.write(f"/mnt/all/{path.parent.name}/{path.name}", path.read_bytes(), mode)
        for folder in folders:
            machine.run("dib-run-parts", "--list", f"/mnt/p/{folder.relative_to(ELEMENTS)}")
        for phase in sorted({folder.name for folder in folders}):
            machine.run("dib-run-parts", "--list", f"/mnt/all/{phase}")

    pair.same(scenario, "folders of the elements' scripts", "exact")


def test_dependencies(tmp_path: Path) -> None:
    """diskimage-builder finds the agent for each element that depends on the originals, and no file twice."""
    if not ELEMENTS.is_dir():
        pytest.skip("the originals' elements are not installed (make oracle)")
    for name in PROGRAMS:  # as image_build orders them
        (tmp_path / name).symlink_to(OURS / name)
    path = f"{tmp_path}:{ELEMENTS}:{OURS}:{builder_elements()}"
    wanted = {deps.parent.name: deps.read_text().split() for deps in ELEMENTS.glob("*/element-deps")}
    depending = [name for name, needs in wanted.items() if set(PROGRAMS) & set(needs) and name not in PROGRAMS]
    assert len(depending) >= 50
    for name in depending:
        found = {element: Path(folder) for element, folder in get_elements(["debian-base", name], path)}
        assert found.get("node-agent", ELEMENTS).parent == OURS, (name, list(found))
        assert {found[program].parent for program in PROGRAMS if program in found} == {OURS}, name
        files = Counter(
            file.relative_to(folder / tree)
            for folder in found.values()
            for tree in ("os-config-applier", "os-apply-config", "os-refresh-config")
            for file in (folder / tree).rglob("*")
            if file.is_file() and not file.name.startswith(".git")
        )
        assert not [file for file, count in files.items() if count > 1], name


def test_completion(pair: Pair) -> None:
    """The script that tells Heat, theirs and ours; only ours tells of deployments, as later versions of theirs did."""
    script = "os-refresh-config/os-refresh-config/post-configure.d/99-refresh-completed"
    web = Web()
    told: list[Any] = []

    def take(handler: BaseHTTPRequestHandler) -> Answer:
        body = handler.rfile.read(int(handler.headers["Content-Length"]))
        told.append((handler.command, handler.path, handler.headers["Content-Type"] or "", json.loads(body)))
        return (201 if "refused" in handler.path else 200), {}, ""

    web.pages = dict.fromkeys(("/handle", "/signal", "/refused", "/deployment"), take)
    handle, signal, refused = (f"{web.url}/{name}?Signature=a%2Fb&x=1" for name in ("handle", "signal", "refused"))
    inputs = [{"name": "deploy_signal_id", "value": f"{web.url}/deployment"}]
    deployments = [{"id": "d1", "group": "os-apply-config", "inputs": inputs}, {"id": "d2", "group": "script"}]

    def run(machine: Machine, **metadata: Any) -> None:
        folder = ELEMENTS if machine is pair.original else OURS
        machine.script("/mnt/completed", (folder / script).read_text())
        machine.document("/mnt/m", metadata)
        machine.run("/mnt/completed", env={"OS_CONFIG_FILES": "/mnt/m"})
        machine.record.append(told.copy())
        told.clear()

    def scenario(machine: Machine) -> None:
        run(machine)
        run(machine, **{"completion-handle": handle})
        run(machine, **{"instance-id": "i-1", "completion-handle": handle})
        run(machine, **{"instance-id": "i-1", "completion-handle": handle, "completion-signal": signal})
        run(machine, **{"instance-id": "i-1", "completion-signal": refused})

    try:
        found = pair.same(scenario, "completions told to Heat", "none")
        assert [entry.status for entry in found[::2]] == [0, 0, 0, 0, 1]
        assert [[path for _method, path, *_rest in entry] for entry in found[1::2]][3] == [
            *("/handle?Signature=a%2Fb&x=1", "/signal?Signature=a%2Fb&x=1")
        ]
        pair.ours.ask("reset")
        pair.ours.record = []
        run(pair.ours, deployments=deployments)
        run(pair.ours, deployments=deployments)
        result = {"deploy_stdout": "", "deploy_stderr": "", "deploy_status_code": 0}
        assert pair.ours.record[1] == [("POST", "/deployment", "", result)], pair.ours.record
        assert pair.ours.record[3] == []
        run(pair.ours, **{"instance-id": "i-1", "completion-signal": "http://127.0.0.1:1/"})
        assert (
            pair.ours.record[4].errors
            == "POST of the completion failed: <urlopen error [Errno 111] Connection refused>\n"
        )
    finally:
        web.close()
