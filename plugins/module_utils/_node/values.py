# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The value types that a key look-up may be restricted to."""

from __future__ import annotations

import json
import re
from typing import Any

from .errors import NodeError

# As in os-apply-config, with its quirks: `$` lets one trailing newline pass, `.-_` is a range.
TYPES = {
    "int": r"^[0-9]+$",
    "default": r"^[A-Za-z0-9_]*$",
    "netaddress": r"^[A-Za-z0-9/.:-]*$",
    "netdevice": r"^[A-Za-z0-9/.:-]*$",
    "dsn": (r"^[a-zA-Z0-9]+://([a-zA-Z0-9+_-]+(:[^@]+)?)?(@?[a-zA-Z0-9/_.-]+)?(/[a-zA-Z0-9_-]+)?(\?[a-zA-Z0-9=_-]+)?$"),
    "swiftdevices": r"^(r\d+z\d+-[A-Za-z0-9.-_]+:%PORT%/[^,]+,?)+$",
    "username": r"^[A-Za-z0-9_-]+$",
    "raw": "",
}


def format_value(value: Any, type_name: str = "default") -> str:
    """The text that a look-up prints. Raises NodeError when the value is not of the type."""
    if type_name not in TYPES:
        raise NodeError(f"requested validation of unknown type: {type_name}")
    if not re.match(TYPES[type_name], str(value)):
        raise NodeError(f"cannot interpret value '{value}' as type {type_name}")
    return json.dumps(value) if isinstance(value, (dict, list, bool)) else str(value)
