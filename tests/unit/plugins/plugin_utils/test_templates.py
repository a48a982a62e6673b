# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which files travel with a template, read with Ansible's own loader."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible.errors import AnsibleActionFail
from ansible.parsing.dataloader import DataLoader
from ansible.parsing.vault import VaultLib, VaultSecret
from ansible_collections.tripleo.cloud.plugins.plugin_utils import _templates
from ansible_collections.tripleo.cloud.plugins.plugin_utils._templates import Gathered

SECRETS = [("default", VaultSecret(b"opens the vault"))]
FILES = {
    "site/top.yml": "resources: {A: {type: Our::A}, B: {type: nested/b.yaml, properties: {x: {get_file: data.txt}}}}",
    "site/nested/b.yaml": "resources: {C: {type: c.yaml}, D: {properties: {y: {get_file: ../data.txt}}}}",
    "site/nested/c.yaml": "resources: {E: {type: c.yaml}}",
    "site/data.txt": "type: not-looked-into.yaml",
    "site/not-looked-into.yaml": "{}",
    "other/env.yml": 'resource_registry: {"Our::A": roles/a.yaml, "Our::B": OS::Heat::None}',
    "other/roles/a.yaml": "resources: {F: {type: missing.yaml, properties: {z: {get_file: also-missing}}}}",
    "other/unused.yaml": "{}",
}


@pytest.fixture
def loader(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> DataLoader:
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    (tmp_path / "plays").mkdir()
    monkeypatch.chdir(tmp_path)
    loader = DataLoader()
    loader.set_basedir(str(tmp_path / "plays"))
    loader.set_vault_secrets(SECRETS)
    return loader


def test_all_files_that_are_named_come_along_and_no_others(loader: DataLoader) -> None:
    gathered = Gathered(loader, "site/top.yml", ["other/env.yml"])
    assert gathered.template == "top.yml"
    assert gathered.environments == ["../other/env.yml"]
    assert gathered.files == {
        "top.yml": FILES["site/top.yml"],
        "nested/b.yaml": FILES["site/nested/b.yaml"],
        "nested/c.yaml": FILES["site/nested/c.yaml"],
        "data.txt": FILES["site/data.txt"],
        "../other/env.yml": FILES["other/env.yml"],
        "../other/roles/a.yaml": FILES["other/roles/a.yaml"],
    }


def test_a_path_beside_the_playbook_comes_before_one_in_the_current_folder(loader: DataLoader, tmp_path: Path) -> None:
    (tmp_path / "plays" / "site").mkdir()
    (tmp_path / "plays" / "site" / "top.yml").write_text("description: beside the playbook")
    assert Gathered(loader, "site/top.yml", []).files == {"top.yml": "description: beside the playbook"}


def test_a_vaulted_environment_is_decrypted(loader: DataLoader, tmp_path: Path) -> None:
    (tmp_path / "secrets.yml").write_text(VaultLib(SECRETS).encrypt("parameters: {P: hunter2}").decode())
    gathered = Gathered(loader, "site/top.yml", ["secrets.yml"])
    assert gathered.files["../secrets.yml"] == "parameters: {P: hunter2}"


@pytest.mark.parametrize("name", ["site/none.yml", "/nowhere/none.yml", "site"])
def test_a_template_that_is_not_there_is_named(loader: DataLoader, name: str) -> None:
    with pytest.raises(AnsibleActionFail, match=name):
        Gathered(loader, name, [])
    with pytest.raises(AnsibleActionFail, match=name):
        Gathered(loader, "site/top.yml", [name])


@pytest.mark.parametrize(
    "text",
    ["a: [", "a: &a [*a]", "\n".join(["a0: &a0 [x]", *(f"a{n}: &a{n} [{f'*a{n - 1}, ' * 9}]" for n in range(1, 12))])],
    ids=["broken", "recursive", "expanding"],
)
def test_a_malformed_template_is_left_to_the_evaluator(loader: DataLoader, tmp_path: Path, text: str) -> None:
    (tmp_path / "site" / "top.yml").write_text(text)
    assert Gathered(loader, "site/top.yml", []).files == {"top.yml": text}


def test_what_is_no_text_or_too_large_is_named(
    loader: DataLoader, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "site" / "data.txt").write_bytes(b"\xff\xfe")
    with pytest.raises(AnsibleActionFail, match=r"data\.txt is not text in UTF-8"):
        Gathered(loader, "site/top.yml", [])
    monkeypatch.setattr(_templates, "LARGEST_BYTES", 20)
    with pytest.raises(AnsibleActionFail, match=r"top\.yml is larger than the limit"):
        Gathered(loader, "site/top.yml", [])


def test_a_path_that_is_nowhere_else_is_that_of_the_collection(loader: DataLoader) -> None:
    name = "templates/workload-heat-template.yml"
    text = (Path(_templates.COLLECTION) / name).read_text()
    assert Gathered(loader, name, []).files["workload-heat-template.yml"] == text
