# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which agent this is. The build of the zipapp puts the digest of all its files here; empty where it was not built."""

from __future__ import annotations

DIGEST = ""
