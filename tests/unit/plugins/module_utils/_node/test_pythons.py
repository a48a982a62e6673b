# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The agent's own tests, with the agent run by each Python that this machine has."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parent


def _find(version: str) -> str | None:
    pyenv = Path.home() / ".pyenv/versions"
    found = [shutil.which(f"python{version}"), *map(str, sorted(pyenv.glob(f"{version}.*/bin/python3")))]
    return next((path for path in found if path), None)


@pytest.mark.slow
@pytest.mark.parametrize("version", ["3.9", "3.10", "3.12", "3.13"])
def test_the_agent_runs_under(version: str) -> None:
    python = _find(version)
    if python is None:
        pytest.skip(f"there is no Python {version} here")
    tests = [str(FOLDER / name) for name in ("test_agent.py", "test_service.py")]
    environment = {**os.environ, "TEST_AGENT_PYTHON": python}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", *tests], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout
