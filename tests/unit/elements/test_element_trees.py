# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How the element node-agent gathers the configuration trees of all elements while an image is built."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from ansible_collections.tripleo.cloud.plugins.module_utils import _node_zipapp

NODE_AGENT = Path(__file__).resolve().parents[3] / "elements" / "node-agent"


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The agent under the names that the scripts call."""
    folder = tmp_path_factory.mktemp("programs")
    _node_zipapp.build_zipapp(str(folder / "node-agent.pyz"))
    for name in ("os-apply-config", "os-refresh-config"):
        (folder / name).symlink_to("node-agent.pyz")
    return folder


def _write(path: Path, text: str = "x", mode: int = 0o644) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(mode)


def _files(folder: Path) -> dict[str, str]:
    return {str(path.relative_to(folder)): path.read_text() for path in folder.rglob("*") if path.is_file()}


def test_the_trees_go_where_the_programs_look_for_them(tmp_path: Path, programs: Path) -> None:
    hooks = tmp_path / "in_target.d"
    script = hooks / "install.d" / "99-node-agent-trees"
    _write(script, (NODE_AGENT / "install.d" / "99-node-agent-trees").read_text(), 0o755)
    _write(hooks / "os-config-applier" / "etc" / "old.conf", "old")
    _write(hooks / "os-config-applier" / "etc" / "both.conf", "old")
    _write(hooks / "os-apply-config" / "etc" / "both.conf", "new")
    _write(hooks / "os-apply-config" / "etc" / "list", "#!/bin/sh\n", 0o755)
    _write(hooks / "os-apply-config" / "etc" / ".hidden")
    for name in ("a~", "a.orig", ".a.swp", "#a#", "core", ".git/config", "CVS/Root", "x.so"):
        _write(hooks / "os-apply-config" / "etc" / name)
    (hooks / "os-apply-config" / "etc" / "link").symlink_to("/etc/shadow")
    _write(hooks / "os-refresh-config" / "configure.d" / "50-x", "#!/bin/sh\n", 0o755)
    templates, phases = tmp_path / "templates", tmp_path / "phases"
    places = {"OS_CONFIG_APPLIER_TEMPLATES": str(templates), "OS_REFRESH_CONFIG_BASE_DIR": str(phases)}
    environment = {"PATH": f"{programs}:/usr/bin:/bin", **places}
    for _time in range(2):
        subprocess.run([str(script)], env=environment, check=True, cwd="/")
    assert _files(templates) == {
        **{"etc/old.conf": "old", "etc/both.conf": "new", "etc/list": "#!/bin/sh\n"},
        "etc/.hidden": "x",
    }
    assert os.access(templates / "etc" / "list", os.X_OK) and not os.access(templates / "etc" / "both.conf", os.X_OK)
    assert not (templates / "etc" / "link").is_symlink()
    assert _files(phases) == {"configure.d/50-x": "#!/bin/sh\n"}


@pytest.mark.parametrize(
    ("first", "second", "told"),
    [
        ("os-apply-config/etc/a", "os-apply-config/etc/a", "os-apply-config/etc/a"),
        ("os-config-applier/etc/a", "os-apply-config/etc/a", "os-apply-config/etc/a"),
        ("os-refresh-config/configure.d/1", "os-refresh-config/configure.d/1", "os-refresh-config/configure.d/1"),
        ("os-apply-config/etc/a", "os-refresh-config/etc/a", ""),
        ("os-apply-config/etc/a", "os-apply-config/etc/b", ""),
    ],
)
def test_a_file_in_two_elements_ends_the_build(tmp_path: Path, first: str, second: str, told: str) -> None:
    _write(tmp_path / "one" / first)
    _write(tmp_path / "two" / second)
    _write(tmp_path / "agent")
    (tmp_path / "hooks").mkdir()
    command = f"get_image_element_array() {{ echo '[one]={tmp_path}/one [two]={tmp_path}/two'; }}; "
    command += f"export -f get_image_element_array; exec {NODE_AGENT}/extra-data.d/50-node-agent"
    environment = {"PATH": "/usr/bin:/bin", "TRIPLEO_NODE_AGENT": str(tmp_path / "agent")}
    environment["TMP_HOOKS_PATH"] = str(tmp_path / "hooks")
    done = subprocess.run(["bash", "-c", command], env=environment, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == (1 if told else 0), done.stderr
    assert (told in done.stderr and "one" in done.stderr and "two" in done.stderr) if told else not done.stderr
