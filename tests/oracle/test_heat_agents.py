# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""heat-agents' script and hooks, as they are published: deployments carried out under the originals and under ours."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest
from side_by_side import CACHE, ORIGINALS, TIME, Machine, Pair, Result
from web import Answer, Web

pytestmark = pytest.mark.slow
AGENTS = CACHE / "heat-agents"
DEPLOYED = "/var/lib/heat-config/deployed"
# Ansible starts slowly on a busy machine.
SECONDS = 300.0
HOOKS = ("script", "apply-config", "json-file", "hiera", "ansible")
ANSIBLE = Path(sys.executable).with_name("ansible-playbook")
PLAYBOOK = """
- hosts: localhost
  connection: local
  gather_facts: false
  tasks:
    - copy: {content: "{{ greeting }}", dest: "{{ heat_outputs_path }}.said", mode: "0600"}
"""


class Signals:
    """Heat's addresses for signals: who sent what to which."""

    def __init__(self, web: Web) -> None:
        self.web = web
        self.received: list[tuple[str, str, Any]] = []

    def take(self, handler: BaseHTTPRequestHandler) -> Answer:
        body = handler.rfile.read(int(handler.headers["Content-Length"]))
        self.received.append((str(handler.command), handler.path, _told(json.loads(body))))
        return 200, {}, ""

    def inputs(self, number: str, verb: str = "POST", **values: Any) -> list[dict[str, Any]]:
        self.web.pages[f"/signal/{number}"] = self.take
        generated = {"deploy_signal_id": f"{self.web.url}/signal/{number}", "deploy_signal_verb": verb}
        generated |= {"deploy_action": "CREATE", "deploy_server_id": "server-1"}
        return [{"name": name, "type": "String", "value": value} for name, value in (generated | values).items()]


def _told(value: dict[str, Any]) -> dict[str, Any]:
    """A result without times, and without the files that only the original writes anew (apply-unchanged-files)."""
    lines = TIME.sub("TIME", str(value.get("deploy_stderr"))).splitlines()
    return {**value, "deploy_stderr": [line for line in lines if "[INFO] writing " not in line]}


@pytest.fixture
def signals() -> Iterator[Signals]:
    web = Web()
    yield Signals(web)
    web.close()


def _deployments(signals: Signals) -> list[dict[str, Any]]:
    def config(number: str, group: str, content: Any, verb: str = "POST", **more: Any) -> dict[str, Any]:
        inputs = signals.inputs(number, verb, **more.pop("inputs", {}))
        return {"id": number, "name": f"name-{number}", "group": group, "config": content, "inputs": inputs, **more}

    script = '#!/bin/sh\necho "to $who $count"; echo err >&2; printf %s "$who" >"$heat_outputs_path.said"\n'
    stages = [{"actions": ["CREATE"], "config": "#!/bin/sh\necho create\n", "tool": "script"}]
    said: dict[str, Any] = {"outputs": [{"name": "said"}, {"name": "unsaid"}]}
    return [
        config("script", "script", script, "PUT", inputs={"who": ["b"], "count": 3}, **said),
        config("fails", "script", "#!/bin/sh\necho half\nexit 3\n"),
        config("component", "component", {"configs": stages}),
        config("other", "component", {"configs": [{**stages[0], "actions": ["DELETE"]}]}),
        config("files", "json-file", {"/mnt/made/a.json": {"b": [1, None], "a": "ü"}, "/mnt/b.json": 1}),
        config("hiera", "hiera", {"hierarchy": ["%{x}", "common"], "datafiles": {"common": {"k": {"z": 1, "a": 2}}}}),
        config("apply", "apply-config", ""),
        config("ansible", "ansible", PLAYBOOK, inputs={"greeting": "hello"}, options={}, **said),
        config("values", "os-apply-config", {"app": {"name": "from a deployment"}}),
        config("unknown", "puppet", "notice('no')"),
    ]


def _lay_out(machine: Machine) -> dict[str, str]:
    """heat-agents' files where their elements put them; the environment of a run."""
    element, templates = AGENTS / "heat-config", "/usr/libexec/os-apply-config/templates"
    phase = "os-refresh-config/configure.d"
    for name in ("20-os-apply-config", "55-heat-config"):
        machine.write(f"/usr/libexec/{phase}/{name}", (element / phase / name).read_bytes(), 0o755)
    rendered = "var/run/heat-config/heat-config"
    machine.write(f"{templates}/{rendered}", (element / "os-apply-config" / rendered).read_bytes())
    machine.write(f"{templates}/mnt/app.conf", "name={{app.name}} {{other}}\n")
    for hook in HOOKS:
        source = AGENTS / f"heat-config-{hook}" / "install.d" / f"hook-{hook}.py"
        machine.write(f"/var/lib/heat-config/hooks/{hook}", source.read_bytes(), 0o755)
    machine.write("/mnt/bin/heat-config-notify", (element / "bin" / "heat-config-notify").read_bytes(), 0o755)
    # Their Python has what the hooks import; the programs come first.
    path = f"{machine.program}:/mnt/bin:{ORIGINALS}:/usr/sbin:/usr/bin:/sbin:/bin"
    hiera = {"HEAT_PUPPET_HIERA_DATADIR": "/mnt/hieradata", "HEAT_HIERA_CONFIG": "/mnt/hiera.yaml"}
    ansible = {"HEAT_ANSIBLE_CMD": str(ANSIBLE), "LC_ALL": "C.UTF-8"}
    return {"PATH": path, "NODE_AGENT_PATH": path, **ansible, **hiera}


def _left(machine: Machine, signals: Signals) -> None:
    """What a run left on the machine and at Heat's."""
    for root in (DEPLOYED, "/mnt", "/run/heat-config"):
        found = machine.snapshot(root, counts=False)
        for path, entry in found.items():
            # A push brings documents in an order of keys of its own.
            if path.endswith((".json", "/heat-config/heat-config")) and path.startswith((DEPLOYED, "/run")):
                value = json.loads(entry[3] or b"null")
                entry[3] = _told(value) if path.endswith(".notify.json") else value
        machine.record.append({path: entry for path, entry in found.items() if "/.ansible" not in path})
    machine.record.append(signals.received.copy())
    signals.received.clear()


def _poll(machine: Machine, environment: dict[str, str], signals: Signals, metadata: dict[str, Any]) -> Result:
    signals.web.json("/metadata", metadata)
    options = ["--one-time", "-c", "os-refresh-config", "--request-metadata-url", f"{signals.web.url}/metadata"]
    return machine.wait(machine.start("os-collect-config", *options, "request", env=environment), SECONDS)


def test_deployments(pair: Pair, signals: Signals) -> None:
    deployments = _deployments(signals)
    changed = [*deployments[1:], {**deployments[0], "id": "again", "inputs": signals.inputs("again", who="you")}]
    passes = [
        {"deployments": deployments, "other": 1},
        {"deployments": deployments, "other": 2},
        {"deployments": changed, "other": 2},
        {"deployments": []},
        {},
    ]

    def scenario(machine: Machine) -> None:
        environment = _lay_out(machine)
        for metadata in passes:
            _poll(machine, environment, signals, metadata)
            _left(machine, signals)

    found = pair.same(scenario, "deployments by heat-agents", "none")
    assert [entry.status for entry in found if isinstance(entry, Result)] == [0] * len(passes)
    deployed, files, _outputs, first = found[1:5]
    sent = {path.rpartition("/")[2]: (verb, body) for verb, path, body in first}
    assert list(sent) == ["script", "fails", "component", "files", "hiera", "apply", "ansible"]
    assert sent["script"][0] == "PUT" and sent["script"][1]["deploy_stdout"] == "to ['b'] 3\n"
    assert sent["script"][1]["said"] == sent["script"][1]["deploy_stdout"][3:8]
    assert sent["fails"][1]["deploy_status_code"] == 3
    assert sent["ansible"][1].get("said") == "hello", sent["ansible"]
    assert files["/mnt/app.conf"][3] == b"name=from a deployment 1\n"
    assert {f"{DEPLOYED}/{number}.notify.json" for number in sent} < set(deployed)
    assert [path for _verb, path, _body in found[9]] == [], "nothing is deployed twice"
    assert [path for _verb, path, _body in found[14]] == ["/signal/again"]


def test_a_push_carries_the_same_deployments_out(pair: Pair, signals: Signals) -> None:
    metadata = {"deployments": _deployments(signals), "other": 1}
    # Only a collector makes documents of what is in deployments; whoever pushes does it beforehand.
    unfinished = {"fails": "FAILED", "other": "IN_PROGRESS", "unknown": "IN_PROGRESS"}
    exploded = next(item["config"] for item in metadata["deployments"] if item["group"] == "os-apply-config")

    def pushed(machine: Machine) -> None:
        environment = _lay_out(machine)
        if machine is pair.original:
            _poll(machine, environment, signals, metadata)
        else:
            documents = [["server", metadata], ["name-values", exploded]]
            payload = json.dumps({"documents": documents, "digest": "d"}).encode()
            result = machine.wait(machine.start("node-agent.pyz", "push", env=environment, stdin=payload), SECONDS)
            told = json.loads(result.output.splitlines()[-1])["result"]
            judged = {number: one["status"] for number, one in told["outputs"].items()}
            assert result.status == 1 and told["failed"]["step"] == "outputs", told
            assert judged == dict.fromkeys(judged, "COMPLETE") | unfinished, told["outputs"]
            assert told["outputs"]["ansible"]["outputs"]["said"] == "hello"
            machine.record.clear()
            machine.record.append(Result(0, b"", ""))
        _left(machine, signals)

    found = pair.same(pushed, "deployments by heat-agents", "none")
    assert [path.rpartition("/")[2] for _verb, path, _body in found[4]][-1] == "ansible"
