# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import traceback
from typing import Any

import pytest
from ansible_collections.tripleo.cloud.plugins.module_utils._heat.errors import Fault
from ansible_collections.tripleo.cloud.plugins.module_utils._heat.parameters import check_constraints

SECRET = "Heifs23jk3"


@pytest.mark.parametrize(
    "constraint",
    [
        {"range": {"min": 1}},
        {"range": 1},
        {"modulo": {"step": 1}},
        {"modulo": {"step": 0}},
        {"modulo": {}},
        {"length": {"min": 50}},
        {"length": 50},
        {"allowed_values": ["a"]},
        {"allowed_values": 1},
        {"allowed_pattern": "[a-z"},
        {"allowed_pattern": "[a-z]+"},
    ],
    ids=str,
)
def test_a_hidden_value_that_breaks_a_constraint_is_not_shown(constraint: dict[str, Any]) -> None:
    with pytest.raises(Fault) as raised:
        check_constraints({"hidden": True, "constraints": [constraint]}, SECRET)
    assert SECRET not in "".join(traceback.format_exception(raised.value))
