# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The guide for authors of elements: its files are those of the element, and its commands do what it says."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from ansible_collections.tripleo.cloud.plugins.module_utils import _node_zipapp

ROOT = Path(__file__).resolve().parents[2]
GUIDE = (ROOT / "docs" / "docsite" / "rst" / "element_authors.rst").read_text()
BLOCK = re.compile(r"^\.\. code-block:: \w+\n(?:   :caption: (\S+)\n)?\n((?:   .*\n|\n)+)", re.MULTILINE)
BLOCKS = [(match[1], textwrap.dedent(match[2]).strip("\n") + "\n") for match in BLOCK.finditer(GUIDE)]


def test_its_files_are_those_of_the_element() -> None:
    shown = {name: text for name, text in BLOCKS if name and name.startswith("elements/")}
    web = ROOT / "elements" / "web"
    files = {str(path.relative_to(ROOT)) for path in web.rglob("*") if path.is_file()}
    assert files - set(shown) == {"elements/web/README.md", "elements/web/os-apply-config/srv/web/index.html"}
    for name, text in shown.items():
        assert (ROOT / name).read_text() == text, name


def test_its_keys_are_in_the_readme() -> None:
    readme = (ROOT / "elements" / "web" / "README.md").read_text()
    templates = "".join(
        path.read_text() for path in (ROOT / "elements/web/os-apply-config").rglob("*") if path.is_file()
    )
    keys = set(re.findall(r"\{\{[#^/]?(web\.\w+)", templates))
    assert len(keys) >= 5 and all(f"`{key}`" in readme for key in keys)


@pytest.mark.skipif(not Path("/usr/sbin/nginx").exists() or os.geteuid() != 0, reason="needs nginx and root")
def test_its_commands_do_what_it_says(tmp_path: Path) -> None:
    (tmp_path / "dist").mkdir()
    _node_zipapp.build_zipapp(str(tmp_path / "dist" / "node-agent.pyz"))
    (tmp_path / "elements").symlink_to(ROOT / "elements")
    (tmp_path / "web.json").write_text(next(text for name, text in BLOCKS if name == "web.json"))
    (session,) = [text for _name, text in BLOCKS if text.startswith("$ sudo dist/node-agent.pyz")]
    said = ""
    for line in session.splitlines(keepends=True):
        if line.startswith("$ "):
            said += line
            environment = {"PATH": "/usr/sbin:/usr/bin:/bin", "NODE_AGENT_APPLY_LOG": str(tmp_path / "log")}
            argv = [sys.executable, *shlex.split(line[2:].removeprefix("sudo "))]
            said += subprocess.run(
                argv, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, text=True, check=True
            ).stdout
    assert said == session
    rendered = (tmp_path / "rendered" / "etc" / "nginx" / "nginx.conf").read_text()
    assert "    gzip on;\n" in rendered and "listen 8080;" in rendered and "auth_basic_user_file" not in rendered
    assert not (tmp_path / "rendered" / "etc" / "nginx" / "users").exists()
