# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The values of a stack's secrets, in one private file."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping

from .records import dumps
from .store import write_durably


class SecretStore:
    """The file ``secrets/<stack>/values.json`` (0600): the value of each stand-in."""

    def __init__(self, state_dir: str, stack: str) -> None:
        self.folder = os.path.join(state_dir, "secrets", stack)
        self.path = os.path.join(self.folder, "values.json")

    def values(self) -> dict[str, str]:
        """Value by stand-in; empty when nothing was stored."""
        try:
            with open(self.path, encoding="utf-8") as stream:
                found: dict[str, str] = json.load(stream)
        except FileNotFoundError:
            return {}
        return found

    def store(self, values: Mapping[str, str]) -> bool:
        """Add values; an earlier value of a stand-in is never replaced. True when something was added."""
        known = self.values()
        merged = {**values, **known}
        if merged == known:
            return False
        write_durably(self.path, dumps(merged))
        return True
