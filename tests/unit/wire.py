# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A provisioning network of a test's own: the host at one end of a wire, machines in a namespace at the other."""

from __future__ import annotations

import subprocess


class Wire:
    """interface: the host's end, with address 1. peer: the other end in the namespace, with addresses 10, 11 and 77."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.interface, self.peer, self.namespace = f"tclt{number}", f"tclp{number}", f"tcl-test-{number}"

    def address(self, host: int) -> str:
        return f"198.18.{self.number}.{host}"

    def ip(self, *words: str) -> None:
        """Change the machines' end."""
        subprocess.run(["ip", "-n", self.namespace, *words], check=True)

    def inside(self, *command: str, body: bytes | None = None, check: bool = True) -> bytes:
        """Run a command at the machines' end; its output."""
        words = ["ip", "netns", "exec", self.namespace, *command]
        return subprocess.run(words, check=check, capture_output=True, input=body).stdout
