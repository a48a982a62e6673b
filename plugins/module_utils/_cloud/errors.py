# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a Workload cloud's own API refused or did wrong."""

from __future__ import annotations

from .._errors import TripleoError


class CloudError(TripleoError):
    """Keystone or Glance of the Workload cloud did not do what was asked. Holds no password and no token."""
