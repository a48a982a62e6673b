# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The two places that every start of os-apply-config needs, apart from the others because it must be quick."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

STATE = "/var/lib/node-agent"
APPLY_LOG = "/var/log/os-apply-config.log"


def state_folder(environment: Mapping[str, str]) -> str:
    """The agent's state."""
    return environment.get("NODE_AGENT_STATE") or STATE


def apply_log(environment: Mapping[str, str]) -> str:
    """os-apply-config's log."""
    return environment.get("NODE_AGENT_APPLY_LOG") or APPLY_LOG
