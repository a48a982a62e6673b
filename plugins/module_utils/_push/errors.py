# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The error of this room."""

from __future__ import annotations

from .._errors import TripleoError


class PushError(TripleoError):
    """A server cannot be configured."""
