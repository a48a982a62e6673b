# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How far a server is."""

from __future__ import annotations

import enum


class Stage(str, enum.Enum):
    """The stages of a server, in their order; ``failed`` may follow any of them."""

    RESERVED = "reserved"
    POWERED = "powered"
    PXE = "pxe"
    RAMDISK = "ramdisk"
    WRITING = "writing"
    WRITTEN = "written"
    BOOTED = "booted"
    CONFIGURED = "configured"
    HEALTHY = "healthy"
    FAILED = "failed"

    @property
    def is_booted(self) -> bool:
        """The operating system of the plan's image has reported."""
        return self in (Stage.BOOTED, Stage.CONFIGURED, Stage.HEALTHY)
