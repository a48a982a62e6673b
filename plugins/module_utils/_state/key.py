# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The state directory's key: what node paths and digests of given secrets are made with."""

from __future__ import annotations

import os
import secrets

KEY_BYTES = 32


def secret_key(state_dir: str) -> bytes:
    """The 32 bytes of ``key``; made once, whoever asks first, readable by root only."""
    path = os.path.join(state_dir, "key")
    try:
        return _read(path)
    except FileNotFoundError:
        os.makedirs(state_dir, mode=0o700, exist_ok=True)
        draft = f"{path}.{os.getpid()}"
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(secrets.token_bytes(KEY_BYTES))
            stream.flush()
            os.fsync(stream.fileno())
        try:
            # A link fails where a name exists, a rename would replace the key of a faster process.
            os.link(draft, path)
        except FileExistsError:
            pass
        finally:
            os.unlink(draft)
        return _read(path)


def _read(path: str) -> bytes:
    with open(path, "rb") as stream:
        return stream.read()
