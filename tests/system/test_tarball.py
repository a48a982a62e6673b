# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The collection as it ships, installed elsewhere and previewed from an empty folder where nothing was prepared."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from whole_run import ROOT, files_of

BIN = Path(sys.executable).parent


def run(home: Path, *argv: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    """A command of Ansible that knows nothing of the checkout."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("ANSIBLE_")}
    environment |= {
        "HOME": os.fspath(home),
        "PATH": f"{BIN}:{os.environ['PATH']}",
        "ANSIBLE_COLLECTIONS_PATH": os.fspath(home / "collections"),
    }
    return subprocess.run(
        [BIN / argv[0], *argv[1:]], cwd=cwd, env=environment, capture_output=True, text=True, check=False
    )


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with the collection installed from its tarball, and a folder `site` with a copy of the example."""
    home = tmp_path_factory.mktemp("home")
    built = run(home, "ansible-galaxy", "collection", "build", ROOT, "--output-path", home, cwd=home)
    assert built.returncode == 0, built.stderr
    (tarball,) = home.glob("*.tar.gz")
    words = ("ansible-galaxy", "collection", "install", "--force", "--no-deps", "-p", home / "collections", tarball)
    installed = run(home, *words, cwd=home)
    assert installed.returncode == 0, installed.stderr
    shutil.copytree(collection(home) / "inventories" / "example", home / "site" / "inventory")
    return home


def collection(home: Path) -> Path:
    return home / "collections" / "ansible_collections" / "tripleo" / "cloud"


def preview(home: Path, playbook: str, *words: str) -> subprocess.CompletedProcess[str]:
    inventory = home / "site" / "inventory" / "hosts.yml"
    state = ("-e", f"tripleo_state_dir={home}/state")
    argv = ("ansible-playbook", "-i", inventory, f"tripleo.cloud.{playbook}", "--check", "--diff", *state, *words)
    return run(home, *argv, cwd=home / "site")


def test_it_ships_all_that_it_consists_of_and_nothing_of_the_checkout(home: Path) -> None:
    argv = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    ours = set(subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines())
    rooms = ("agent", "elements", "inventories", "meta", "playbooks", "plugins", "roles", "templates")
    shipped = {str(path.relative_to(collection(home))) for path in collection(home).rglob("*") if path.is_file()}
    assert {name for name in ours if name.startswith(tuple(f"{room}/" for room in rooms))} <= shipped
    assert shipped - ours == {"FILES.json", "MANIFEST.json"}
    for name in shipped & ours:
        assert os.access(collection(home) / name, os.X_OK) == os.access(ROOT / name, os.X_OK), name


def test_deploy_is_previewed_where_nothing_was_prepared(home: Path) -> None:
    before = files_of(home / "site")
    done = preview(home, "deploy")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "workload-cloud-controller-0 (Controller.0.Server) -> node rack1-u10" in done.stdout
    assert "OVERWRITES the disk with serial S4NYNX0R123456" in done.stdout
    assert "hash known after prepare" in done.stdout
    assert files_of(home / "site") == before
    assert not (home / "state").exists()


def test_a_preview_of_all_says_which_bmcs_do_not_answer(home: Path) -> None:
    nodes = home / "silent.yaml"
    text = (home / "site" / "inventory" / "nodes.yaml").read_text()
    nodes.write_text(text.replace("198.51.100.", "127.79.77."))
    variables = (f"tripleo_nodes_file={nodes}", "tripleo_provisioning_interface=lo")
    words = [word for one in (*variables, "tripleo_provisioning_address=127.0.0.1") for word in ("-e", one)]
    done = preview(home, "site", *words)
    assert done.returncode == 2, done.stdout + done.stderr
    assert f"Origin: {collection(home)}" in done.stdout + done.stderr
    for address in ("127.79.77.10", "127.79.77.12"):
        assert f"the BMC at {address} does not answer" in done.stdout + done.stderr
    assert not (home / "state").exists()
