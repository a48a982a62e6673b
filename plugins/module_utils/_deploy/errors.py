# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The error of this room, which also runs alone in the deploy ramdisk."""

from __future__ import annotations


class DeployError(Exception):
    """The image cannot be written, or was not written rightly; its text is the cause."""
