# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""`make agent`: write the node agent as one zipapp."""

from __future__ import annotations

import sys
from pathlib import Path

from ansible_collections.tripleo.cloud.plugins.module_utils._node_zipapp import build_zipapp

if __name__ == "__main__":
    build_zipapp(sys.argv[1], str(Path(__file__).resolve().parents[1]))
