# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The base of every error of the node's side; it runs alone on nodes, so it shares none with the other rooms."""

from __future__ import annotations


class NodeError(Exception):
    """The cause in one sentence, naming the file, template or key concerned."""


class Busy(NodeError):
    """Another run holds the lock."""
