# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Elements of tripleo-image-elements and heat-agents as they are published, in an image that is booted with systemd."""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Callable, Iterator
from typing import Any

import image_tree
import pytest
from machine import Machine
from whole_run import ROOT

pytestmark = pytest.mark.slow
ORIGINALS = ROOT / ".cache" / "oracle"
ELEMENTS = ("debian-base", "haproxy", "hosts", "stackuser", "heat-config", "heat-config-script", "os-collect-config")
PACKAGES = ("python3-requests", "python3-yaml")
PATIENCE = 60.0


@pytest.fixture(scope="module")
def machine() -> Iterator[Machine]:
    if os.geteuid() != 0:
        pytest.skip("machines need root")
    if not (ORIGINALS / "heat-agents" / ".done").exists():
        pytest.skip("their elements are not there (make oracle)")
    folders = [ORIGINALS / "venv" / "share" / "tripleo-image-elements", ORIGINALS / "heat-agents"]
    tree = image_tree.build("old-elements", ELEMENTS, PACKAGES, folders)
    found = image_tree.machine(tree.parent / "machine", tree)
    yield found
    found.stop()


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def _until(machine: Machine, what: str, passes: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not passes():
        assert time.monotonic() < deadline, what + machine.run("journalctl --no-pager -u os-collect-config").stdout
        time.sleep(0.3)


def _give(machine: Machine, document: dict[str, Any]) -> None:
    """The server's metadata, for the collector of local files."""
    folder = machine.root / "var/lib/os-collect-config/local-data"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "server.new").write_text(json.dumps(document))
    (folder / "server.new").rename(folder / "server")


def _proxied(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


def test_the_trees_of_elements_are_where_the_originals_put_them(machine: Machine) -> None:
    templates = machine.root / "usr/libexec/os-apply-config/templates"
    assert (templates / "etc/haproxy/haproxy.cfg").exists(), "of the older folder os-config-applier"
    assert (templates / "var/run/hosts.d/tail").exists()
    assert "splay" in (templates / "etc/os-collect-config.conf").read_text()
    phases = machine.root / "usr/libexec/os-refresh-config"
    for name in (
        *("configure.d/20-os-apply-config", "configure.d/55-heat-config", "configure.d/10-sysctl-apply-config"),
        *("configure.d/51-hosts", "post-configure.d/20-haproxy", "post-configure.d/99-refresh-completed"),
    ):
        assert os.access(phases / name, os.X_OK), name
    assert "set -ue" in (phases / "configure.d/20-os-apply-config").read_text(), "heat-config keeps its own"
    assert not (machine.root / "opt/stack").exists()
    settings = machine.root / "etc/os-collect-config.conf"
    assert settings.stat().st_mode & 0o777 == 0o600 and "os-refresh-config" in settings.read_text()


def test_a_booted_server_collects_renders_and_deploys(machine: Machine) -> None:
    first, second = _free_port(), _free_port()
    service = {"name": "ssh", "proxy_ip": "127.0.0.1", "proxy_port": first, "port": machine.port}
    script = {"id": "d1", "name": "say", "group": "script", "config": "#!/bin/sh\nprintf hello\n", "inputs": []}
    document = {
        "os-collect-config": {"collectors": ["local"], "polling_interval": 1},
        "hosts": "192.0.2.7 seven",
        "haproxy": {"services": [service], "nodes": []},
        "deployments": [script],
    }
    _give(machine, document)
    machine.start()
    _until(machine, "the proxy does not answer: ", lambda: _proxied(first))
    notified = machine.root / "var/lib/heat-config/deployed/d1.notify.json"
    _until(machine, "nothing was deployed: ", notified.exists)
    assert json.loads(notified.read_text())["deploy_stdout"] == "hello"
    assert "192.0.2.7 seven" in (machine.root / "etc/hosts").read_text().splitlines()
    cached = machine.root / "var/lib/os-collect-config/server.json.last"
    _until(machine, "the pass was not committed: ", cached.exists)
    settings = machine.root / "etc/os-collect-config.conf"
    assert settings.stat().st_mode & 0o777 == 0o600 and "collectors = local" in settings.read_text()

    service["proxy_port"] = second
    script["id"] = "d2"
    _give(machine, document)
    _until(machine, "the proxy did not follow: ", lambda: _proxied(second) and not _proxied(first))
    _until(machine, "nothing was deployed: ", notified.with_name("d2.notify.json").exists)
    assert machine.run("systemctl is-active os-collect-config haproxy").stdout.split() == ["active", "active"]
