# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The two machines, and the figures at the end of a run."""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
import side_by_side
from ansible_collections.tripleo.cloud.plugins.module_utils import _node_zipapp
from side_by_side import Machine, Pair

PROGRAMS = ("os-apply-config", "os-config-applier", "os-refresh-config", "os-collect-config", "dib-run-parts")
COUNTS: Counter[str] = Counter()


@pytest.fixture(scope="session")
def pair() -> Iterator[Pair]:
    """The originals and ours; without root or the originals, which ``make oracle`` installs, the test is skipped."""
    if os.geteuid() != 0:
        pytest.skip("the machines of a comparison need root")
    if not (side_by_side.CACHE / ".done").exists():
        pytest.skip("the originals are not installed (make oracle)")
    programs = side_by_side.CACHE / "ours"
    _node_zipapp.build_zipapp(str(programs / "node-agent.pyz"))
    for name in PROGRAMS:
        (programs / name).unlink(missing_ok=True)
        (programs / name).symlink_to("node-agent.pyz")
    original = Machine("original", side_by_side.ORIGINALS / "python", side_by_side.ORIGINALS)
    ours = Machine("ours", Path(os.environ.get("TEST_AGENT_PYTHON") or sys.executable), programs)
    yield Pair(original, ours, COUNTS)
    original.close()
    ours.close()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print how much was compared."""
    for what, count in sorted(COUNTS.items()):
        terminalreporter.write_line(f"oracle: {count:6} {what}")
    if COUNTS:
        total = sum(count for what, count in COUNTS.items() if what != "intended differences")
        terminalreporter.write_line(f"oracle: {total:6} in all")
