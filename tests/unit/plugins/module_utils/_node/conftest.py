# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The agent as it ships, and a node that has it."""

from __future__ import annotations

from pathlib import Path

import pytest
from agent_node import Node
from ansible_collections.tripleo.cloud.plugins.module_utils import _node_zipapp


@pytest.fixture(scope="session")
def zipapp(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("agent") / "node-agent.pyz"
    _node_zipapp.build_zipapp(str(path))
    return path


@pytest.fixture
def node(tmp_path: Path, zipapp: Path) -> Node:
    return Node(tmp_path, zipapp)
