# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the action plugins of batch modules read on the control host, with Ansible's own loader."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ansible.errors import AnsibleActionFail
from ansible.parsing.dataloader import DataLoader
from ansible.parsing.vault import VaultLib, VaultSecret, VaultSecretsContext
from ansible.plugins.shell.sh import ShellModule
from ansible.template import Templar
from ansible_collections.tripleo.cloud.plugins.plugin_utils import _batch
from ansible_collections.tripleo.cloud.plugins.plugin_utils._batch import BatchAction

SECRETS = [("default", VaultSecret(b"opens the vault"))]
NODES = """
nodes:
  - name: n1
    bmc: {{address: 192.0.2.1, username: "{{{{ not.a.template }}}}", password: {password}}}
    macs: ["52:54:00:00:00:01"]
    cpus: 1
    memory: 1024
    disk: 8
"""


def encrypted(text: str) -> str:
    return VaultLib(SECRETS).encrypt(text).decode()


@pytest.fixture
def action() -> Iterator[Any]:
    before = VaultSecretsContext._current
    VaultSecretsContext._current = None
    VaultSecretsContext.initialize(VaultSecretsContext(secrets=SECRETS))
    action = BatchAction.__new__(BatchAction)
    action._loader = DataLoader()
    action._loader.set_vault_secrets(SECRETS)
    action._templar = Templar(action._loader, {})
    yield action
    VaultSecretsContext._current = before


@pytest.mark.parametrize(
    "text",
    [
        NODES.format(password="hunter2"),
        encrypted(NODES.format(password="hunter2")),
        NODES.format(password=f"!vault {json.dumps(encrypted('hunter2'))}"),
    ],
    ids=["plain", "vaulted file", "vaulted value"],
)
def test_the_nodes_file_may_be_vaulted_and_is_no_template(action: Any, tmp_path: Path, text: str) -> None:
    path = tmp_path / "nodes.yaml"
    path.write_text(text)
    (node,) = action.read_nodes(str(path))
    private = json.loads(json.dumps(node.bmc.as_private()))
    assert (private["username"], private["password"]) == ("{{ not.a.template }}", "hunter2")


@pytest.mark.parametrize("vaulted", [False, True])
@pytest.mark.parametrize(
    "password",
    [
        "*hunter2hunter2",
        "!hunter2hunter2",
        "[hunter2hunter2]",
        "{hunter2hunter2",
        '"hunter2hunter2\\q"',
        "&hunter2hunter2 &a b",
        "%hunter2hunter2\n    hunter2",
        "a, hunter2: hunter2hunter2, port: hunter2hunter2",
    ],
)
def test_a_wrong_nodes_file_is_not_quoted(action: Any, tmp_path: Path, password: str, vaulted: bool) -> None:
    path = tmp_path / "nodes.yaml"
    text = NODES.format(password=password)
    path.write_text(encrypted(text) if vaulted else text)
    with pytest.raises(AnsibleActionFail) as error:
        action.read_nodes(str(path))
    assert "hunter2hunter2" not in str(error.value)


def test_a_wrong_nodes_file_is_named(action: Any, tmp_path: Path) -> None:
    path = tmp_path / "nodes.yaml"
    path.write_text("nodes: [{name: n1}]")
    with pytest.raises(AnsibleActionFail, match=r"nodes\.yaml: n1: bmc must be a mapping"):
        action.read_nodes(str(path))


@pytest.mark.parametrize("taken", [True, False])
def test_a_private_file_that_no_module_takes_is_removed(
    action: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, taken: bool
) -> None:
    def execute(command: str, in_data: bytes) -> dict[str, Any]:
        # This waits until nobody has the output open: the process that sweeps must not keep a connection.
        done = subprocess.run(["/bin/sh", "-c", command], input=in_data, capture_output=True, check=False)
        return {"rc": done.returncode, "stderr": done.stderr}

    monkeypatch.setattr(_batch, "SWEEP_SECONDS", 2)
    shell = ShellModule()
    left, fresh = (tmp_path / f"ansible-tmp-{name}" / "private.json" for name in ("left", "fresh"))
    for file in (left, fresh):
        file.parent.mkdir()
        file.write_text("{}")
    os.utime(left, (time.time() - 180, time.time() - 180))
    shell.tmpdir = str(tmp_path / "ansible-tmp-own")
    os.mkdir(shell.tmpdir)
    action._connection = SimpleNamespace(_shell=shell)
    action._low_level_execute_command = execute
    path = Path(action.upload_private({"secret": "hunter2"}))
    assert json.loads(path.read_text()) == {"secret": "hunter2"}
    assert path.stat().st_mode & 0o777 == 0o600
    assert fresh.exists() and not left.exists()
    if taken:
        path.unlink()
    deadline = time.monotonic() + (1.5 if taken else 5)
    while path.exists() or sweepers(path):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def sweepers(path: Path) -> list[str]:
    found = []
    for process in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = process.read_bytes().decode(errors="replace")
        except OSError:
            continue
        if os.fspath(path) in words:
            found.append(words)
    return found
