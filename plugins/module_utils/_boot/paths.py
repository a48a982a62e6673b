# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Paths and tokens that nobody can guess and that every run of the same plan derives again."""

from __future__ import annotations

import hashlib
import hmac
import re

from .errors import BootError

PATH = re.compile(r"[0-9a-f]{64}")


def node_path(key: bytes, node: str, plan: str) -> str:
    """The folder under which one node finds its files: 64 hexadecimal digits.

    key: the state directory's secret key. node: its name. plan: the plan's hash.
    """
    return _derive(key, node, plan)


def node_token(key: bytes, node: str, plan: str) -> str:
    """The token that proves that a report comes from the node of this plan: 64 hexadecimal digits."""
    return _derive(key, "token", node, plan)


def node_place(address: str, path: str) -> str:
    """Where the trees ``serve`` and ``reports`` have a node's files: nginx looks below the address that asks only."""
    return f"{address}/{path}"


def token_digest(token: str) -> str:
    """What the keeper keeps of a token: its SHA-256."""
    return hashlib.sha256(token.encode()).hexdigest()


def check_path(path: str) -> str:
    """Return path when it is one that `node_path` makes; anything else is a BootError."""
    if not PATH.fullmatch(path):
        raise BootError(f"{path!r} is not the path of a node", operation="boot path")
    return path


def _derive(key: bytes, *parts: str) -> str:
    if len(key) < 32:
        raise BootError("the secret key has fewer than 32 bytes", operation="boot path")
    return hmac.new(key, "\0".join(parts).encode(), hashlib.sha256).hexdigest()
