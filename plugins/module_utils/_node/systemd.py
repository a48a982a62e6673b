# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""systemd's protocol for services that say when they work."""

from __future__ import annotations

import os
import socket

from .errors import NodeError


def ready() -> None:
    """Tell systemd, where it asked for it, that the service works. Raises NodeError."""
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
            channel.connect("\0" + address[1:] if address.startswith("@") else address)
            channel.send(b"READY=1")
    except OSError as error:
        raise NodeError(f"systemd cannot be told: {error.strerror}") from error
