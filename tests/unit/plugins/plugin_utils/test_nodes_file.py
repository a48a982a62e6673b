# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is said of a nodes file that cannot be read: where it is wrong, and no word of its passwords."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ansible._internal._errors import _error_factory
from ansible.errors import AnsibleActionFail
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar
from ansible_collections.tripleo.cloud.plugins.plugin_utils._batch import BatchAction

SECRET = "open-sesame"


@pytest.mark.parametrize(
    ("text", "place"),
    [
        (f'nodes:\n  - name: n1\n    bmc: {{password: "{SECRET}"\n    x: "{SECRET}"\n', "nodes.yaml:4: YAML parsing"),
        (f'nodes: [{{name: n1, bmc: {{password: "{SECRET}, port: 1}}}}]\n', "nodes.yaml:2: YAML parsing"),
        (f"nodes:\n  - name: n1\n    bmc: {{password: {SECRET}}}\n", "nodes.yaml: n1: bmc address None"),
    ],
)
def test_a_nodes_file_that_cannot_be_read(text: str, place: str, tmp_path: Path) -> None:
    path = tmp_path / "nodes.yaml"
    path.write_text(text)
    action: Any = BatchAction.__new__(BatchAction)
    action._loader = DataLoader()
    action._templar = Templar(loader=action._loader)
    with pytest.raises(AnsibleActionFail) as raised:
        action.read_nodes(str(path))
    # All that Ansible prints: the message, lines of the source, and the same of every cause.
    shown = str(_error_factory.ControllerEventFactory.from_exception(raised.value, False))
    assert place in str(raised.value)
    assert SECRET not in str(raised.value) + shown
