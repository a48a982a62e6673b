# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The command line ``tripleo``: a thin layer on Deployment."""

from __future__ import annotations

import argparse
import signal
import sys
import time
from collections.abc import Sequence

import yaml

from tripleo_cloud.api import PHASES, Deployment
from tripleo_cloud.events import Event, Kind, Summary

COMMANDS = {
    "demo": "the virtual rack, then the four phases",
    "rack": "bring the virtual rack up or take it down",
    "prepare": "phase 1: the Deployment cloud, golden images, registered hardware",
    "deploy": "phase 2: plan, reserve, boot and write the servers",
    "setup": "phase 3: configure every server from its metadata",
    "initialize": "phase 4: Keystone's projects, users and endpoints",
    "site": "the four phases",
}


def parser() -> argparse.ArgumentParser:
    """The parser of all commands."""
    top = argparse.ArgumentParser(prog="tripleo", description="Deploys an OpenStack cloud onto bare metal.")
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, text in COMMANDS.items():
        command = commands.add_parser(name, help=text, description=text)
        if name == "rack":
            command.add_argument("direction", choices=["up", "down"])
        command.add_argument("-i", "--inventory", help="inventory file (default: the rack's of this checkout)")
        command.add_argument("-e", "--extra-vars", action="append", default=[], metavar="NAME=VALUE")
        command.add_argument("--only", action="append", default=[], metavar="SERVER", help="work on this server only")
        command.add_argument("-t", "--tags", action="append", default=[])
        command.add_argument("-C", "--check", action="store_true", help="preview: change nothing")
        command.add_argument("-D", "--diff", action="store_true", help="show what differs")
    return top


def variables(pairs: Sequence[str]) -> dict[str, object]:
    """NAME=VALUE pairs, the values read as YAML."""
    read: dict[str, object] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals:
            raise ValueError(f"{pair!r} is not NAME=VALUE")
        read[name] = yaml.safe_load(value)
    return read


def playbooks(arguments: argparse.Namespace) -> list[str]:
    """The playbooks of a command, in order."""
    if arguments.command == "rack":
        return [f"rack_{arguments.direction}"]
    if arguments.command == "demo":
        return ["rack_up", *PHASES]
    return list(PHASES) if arguments.command == "site" else [arguments.command]


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; exit status 0, or 1 when a phase failed, 2 for wrong usage, 130 for an interrupt."""
    top = parser()
    arguments = top.parse_args(argv)
    try:
        extra = variables(arguments.extra_vars)
    except ValueError as error:
        top.error(str(error))
    deployment = Deployment(
        arguments.inventory,
        variables=extra,
        check=arguments.check,
        diff=arguments.diff,
        only=arguments.only,
        tags=arguments.tags,
    )
    # Also where SIGINT is ignored, as in a shell's background jobs, a kill must end the run and its workers.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    report = Report()
    for playbook in playbooks(arguments):
        status = follow(deployment, playbook, report)
        if status:
            return status
    report.show()
    if arguments.command == "demo" and not arguments.check:
        print("take it down: make rack-down")
    return 0


class Report:
    """What a command took: time per phase and per server."""

    def __init__(self) -> None:
        self._started = time.monotonic()
        self._phases: list[tuple[str, float, int]] = []
        self._servers: dict[str, dict[str, float]] = {}

    def add_phase(self, playbook: str, summary: Summary) -> None:
        """A phase that ended."""
        self._phases.append((playbook, summary.seconds, summary.changed))

    def add_event(self, event: Event) -> None:
        """Keep the seconds that servers spent in their stages."""
        for name, seconds in event.server_seconds.items():
            self._servers.setdefault(name, {}).update(seconds)

    def show(self) -> None:
        """Print it."""
        print()
        for playbook, seconds, changed in self._phases:
            print(f"{playbook:12} {seconds:7.1f} s  {changed} changed")
        print(f"{'total':12} {time.monotonic() - self._started:7.1f} s")
        for name, stages in sorted(self._servers.items()):
            if stages:
                print(f"{name}: " + ", ".join(f"{stage} {seconds:.1f} s" for stage, seconds in stages.items()))


def follow(deployment: Deployment, playbook: str, report: Report) -> int:
    """Print a run's lines as they come; 0 when it was successful."""
    events = deployment.run(playbook)
    try:
        for event in events:
            report.add_event(event)
            if event.text and event.kind is not Kind.SKIPPED:
                print(event.text, flush=True)
    except KeyboardInterrupt:
        events.close()
        print(f"\n{playbook}: the run was ended", file=sys.stderr)
        return 130
    report.add_phase(playbook, deployment.summary)
    if deployment.summary.successful:
        return 0
    for failure in deployment.summary.failures:
        print(f"{playbook}: {failure}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
