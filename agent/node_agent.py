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
  service        stay, and start the next two; SIGHUP: read the settings anew and poll now
  resume         repair a run that was cut off, and files that differ
  poll           ask the sources once, and apply what differs
  network-restore  wait for the run that changes the network, and take back what it did not prove
  boot           config-drive, then tell systemd, then report
  config-drive   become the server that the config drive describes
  report         tell the Deployment cloud that this operating system is up
  os-apply-config, os-refresh-config, os-collect-config, dib-run-parts ...
                 as the program of that name (also by a link of that name)
"""
PROGRAMS = ("os-apply-config", "os-refresh-config", "os-collect-config", "dib-run-parts")


def main(argv: list[str]) -> int:
    """Run the command of argv; the exit status."""
    name = os.path.basename(argv[0])
    name = "os-apply-config" if name == "os-config-applier" else name
    if name in PROGRAMS:
        command, rest = name, argv[1:]
    else:
        command, rest = (argv[1] if len(argv) > 1 else ""), argv[2:]
    try:
        if command in PROGRAMS:
            return _program(command, rest)
        if command in ("status", "push") and not rest:
            import command_push

            return command_push.status() if command == "status" else command_push.push()
        if command in ("service", "resume", "poll") and not rest:
            import command_service

            return {"service": command_service.serve, "resume": command_service.resume, "poll": command_service.once}[
                command
            ]()
        if command == "network-restore" and not rest:
            from _node import host_network, network_run, paths

            network_run.restore(host_network.place_of(paths.from_environment(os.environ)))
            return 0
        if command in ("boot", "config-drive", "report") and not rest:
            import command_boot

            return command_boot.main(command)
    except NodeError as error:
        print(f"{command if command in PROGRAMS else 'node-agent'}: {error}", file=sys.stderr)
        return 1
    sys.stderr.write(USAGE)
    return 2


def _program(name: str, arguments: list[str]) -> int:
    if name == "os-apply-config":
        import command_apply

        return command_apply.main(arguments)
    if name == "os-refresh-config":
        import command_refresh

        return command_refresh.main(arguments)
    if name == "os-collect-config":
        import command_collect

        return command_collect.main(arguments)
    from _node import parts

    return parts.main(arguments, os.environ)
