# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""``python -m ansible_collections.tripleo.cloud.plugins.module_utils._run STATE_DIR``: the keeper."""

from __future__ import annotations

import sys

from .keeper import keep

if __name__ == "__main__":
    raise SystemExit(keep(sys.argv[1]))
