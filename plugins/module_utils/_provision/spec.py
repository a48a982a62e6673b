# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Arguments of the modules that talk to BMCs; documented in the fragment `bmc`."""

from __future__ import annotations

from typing import Any

_ONE: dict[str, Any] = {
    "port": {"type": "int", "default": 623},
    "username": {"type": "str"},
    "password": {"type": "str", "no_log": True},
}

BMC_SPEC: dict[str, Any] = {
    "nodes": {
        "type": "list",
        "elements": "dict",
        "options": {
            **_ONE,
            "name": {"type": "str"},
            "address": {"type": "str", "required": True},
            "username": {"type": "str", "required": True},
            "password": {"type": "str", "required": True, "no_log": True},
            "driver": {"type": "str", "choices": ["ipmi"], "default": "ipmi"},
        },
    },
    **_ONE,
    "name": {"type": "str"},
    "address": {"type": "str"},
    "timeout": {"type": "int", "default": 60},
}

# The nodes come from a stack and its plan, from `nodes`, or from one node's own options.
BMC_RULES: dict[str, list[tuple[str, ...]]] = {
    "mutually_exclusive": [("stack", "nodes", "address")],
    "required_one_of": [("stack", "nodes", "address")],
    "required_together": [("stack", "plan"), ("address", "username", "password")],
}
