# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The unit tests that the originals ship, on ours by way of ``upstream/``; os-collect-config's mock its inner parts."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
from side_by_side import HERE, ORIGINALS, Pair

pytestmark = pytest.mark.slow
APPLY = ["test_apply_config", "test_collect_config", "test_json_renderer", "test_oac_file", "test_value_type"]
REFRESH = ["functional.test_cmd", "unit.test_main", "unit.test_os_refresh_config"]
# Root reads what nobody may, with the original too; the owner of an open file is changed, which a mock of chown misses.
EXPECTED = {"test_failed_read", "test_control_chown"}


@pytest.mark.parametrize(
    ("package", "modules", "least"), [("os_apply_config", APPLY, 82), ("os_refresh_config", REFRESH, 11)]
)
def test_upstream(pair: Pair, tmp_path: Path, package: str, modules: list[str], least: int) -> None:
    installed = Path(next((ORIGINALS.parent / "lib").glob("python3*/site-packages")).joinpath(package))
    names = [f"{package}.tests.{module}" for module in modules]
    done = subprocess.run(
        [ORIGINALS / "python", "-m", "unittest", "-v", *names],
        cwd=tmp_path,
        env={
            "PATH": f"{pair.ours.program}:{ORIGINALS}:/usr/bin:/bin",
            "PYTHONPATH": f"{HERE / 'upstream'}:{pair.ours.program / 'node-agent.pyz'}",
            "TESTS": str(installed),
            "NODE_AGENT_APPLY_LOG": str(tmp_path / "log"),
            "LC_ALL": "C",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    failed = set(re.findall(r"^(?:FAIL|ERROR): (?:[\w.]+\.)?(\w+)", done.stderr, re.MULTILINE))
    ran = int(re.findall(r"^Ran (\d+) tests", done.stderr, re.MULTILINE)[0])
    pair.counts["tests of the originals themselves"] += ran - len(failed)
    assert failed <= EXPECTED, done.stderr
    assert ran >= least
