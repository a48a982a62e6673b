# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which values of the metadata are secrets, and how they are hidden from people."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator, Sequence
from typing import Any

MASK = "********"
SHORTEST = 4
_SALT = os.urandom(16)
_SECRET_KEY = re.compile(
    r"(^|[-_.])(pass(word|wd|phrase|phrases|words)?|secrets?|tokens?|credentials?|dsn|private|cookie|"
    r"([a-z0-9]*[-_.])*keys?)($|[-_.])",
    re.IGNORECASE,
)
_PUBLIC_KEY = re.compile(r"(^|[-_.])(public|authorized)([-_.]|$)", re.IGNORECASE)
_USER_INFO = re.compile(r"(?<=://)([^\s:/@]*):([^\s/@]+)@")
# What a configuration file says of its own, whatever metadata it came from: the old password of a changed one.
_ASSIGNMENT = re.compile(
    r"(?im)^(\s*[\w.-]*(?:password|passwd|passphrase|secret|auth_key|token)[\w.-]*[\"']?\s*[=:]\s*[\"']?)([^\s\"',]+)"
)


def is_secret_key(key: str) -> bool:
    """Whether a key's name says that its value is secret."""
    return bool(_SECRET_KEY.search(key)) and not _PUBLIC_KEY.search(key)


def secrets_of(metadata: Any) -> list[str]:
    """All strings of at least SHORTEST letters below a key with a telling name; the longest first."""
    return sorted(set(_walk(metadata, False)), key=lambda value: (-len(value), value))


def _walk(value: Any, secret: bool) -> Iterator[str]:
    if isinstance(value, dict):
        for key, child in value.items():
            yield from _walk(child, secret or is_secret_key(str(key)))
    elif isinstance(value, list):
        for child in value:
            yield from _walk(child, secret)
    elif secret and not isinstance(value, bool) and value is not None and len(str(value)) >= SHORTEST:
        yield str(value)


def mask(text: str, secrets: Sequence[str]) -> str:
    """Text without the secrets, the passwords of URLs, and what is assigned to a name that tells of a secret.

    Each is replaced by MASK and a tag that tells two secrets apart within this process, so that a change shows.
    """
    for secret in secrets:
        if secret in text:
            text = text.replace(secret, _masked(secret))
    text = _USER_INFO.sub(lambda match: f"{match.group(1)}:{_masked(match.group(2))}@", text)
    return _ASSIGNMENT.sub(lambda match: match.group(1) + _masked(match.group(2)), text)


def _masked(value: str) -> str:
    if value.startswith(MASK):
        return value
    return MASK + hashlib.blake2s(value.encode(), key=_SALT, digest_size=2).hexdigest()
