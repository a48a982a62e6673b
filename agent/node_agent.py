# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The node agent's command line. Each command imports what it needs: Python starts slowly on slow machines."""

from __future__ import annotations

import os
import sys

from _node.errors import NodeError

USAGE = """usage: node-agent COMMAND
  status         print what this node is as one line of JSON
  push           read documents from standard input, apply them, print each step as one line of JSON
  boot           config-drive, then tell systemd, then report
  config-drive   become the server that the config drive describes
  report         tell the Deployment cloud that this operating system is up
  os-apply-config ...   as the program of that name (also by a link of that name)
"""


def main(argv: list[str]) -> int:
    """Run the command of argv; the exit status."""
    name = os.path.basename(argv[0])
    if name in ("os-apply-config", "os-config-applier"):
        command, rest = "os-apply-config", argv[1:]
    else:
        command, rest = (argv[1] if len(argv) > 1 else ""), argv[2:]
    try:
        if command == "os-apply-config":
            import command_apply

            return command_apply.main(rest)
        if command in ("status", "push") and not rest:
            import command_push

            return command_push.status() if command == "status" else command_push.push()
        if command in ("boot", "config-drive", "report") and not rest:
            import command_boot

            return command_boot.main(command)
    except NodeError as error:
        print(f"node-agent: {error}", file=sys.stderr)
        return 1
    sys.stderr.write(USAGE)
    return 2
