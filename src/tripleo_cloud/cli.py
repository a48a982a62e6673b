# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The command line ``tripleo``: a thin layer on Deployment."""

from __future__ import annotations

import argparse
import getpass
import os
import signal
import sys
import time
from collections.abc import Sequence
from itertools import chain

import yaml

from tripleo_cloud.api import PHASES, STEPS, Deployment
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
        _add_options(command, name)
    return top


def _add_options(command: argparse.ArgumentParser, name: str) -> None:
    command.add_argument("-i", "--inventory", help="inventory file (default: the rack's of this checkout)")
    command.add_argument(
        "-e", "--extra-vars", action="append", default=[], metavar="NAME=VALUE|@FILE", help="variables; secrets by FILE"
    )
    command.add_argument("-C", "--check", action="store_true", help="preview: change nothing")
    command.add_argument("-D", "--diff", action="store_true", help="show what differs")
    command.add_argument("-v", "--verbose", action="count", default=0, help="-vvv shows most")
    command.add_argument("--vault-id", action="append", default=[], metavar="ID@SOURCE")
    command.add_argument("--vault-password-file", action="append", default=[], metavar="FILE")
    command.add_argument("-J", "--ask-vault-pass", action="store_true", help="ask for the vault's password")
    command.add_argument("-K", "--ask-become-pass", action="store_true", help="ask for the password of sudo")
    if name in ("deploy", "setup", "site"):
        command.add_argument(
            "--only", action="append", default=[], metavar="SERVER[,SERVER]", type=_names, help="work on these only"
        )
    steps = [step for phase in (PHASES if name == "site" else [name]) for step in STEPS.get(phase, ())]
    if steps:
        command.add_argument(
            "-t", "--tags", action="append", default=[], metavar="STEP[,STEP]", type=_names,
            help=f"do these steps only: {', '.join(steps)}",
        )  # fmt: skip
    command.set_defaults(steps=steps)


def _names(text: str) -> list[str]:
    """Comma-separated names; a blank one is refused: it may be a variable of a shell that is not set."""
    names = [name.strip() for name in text.split(",")]
    if not all(names):
        raise argparse.ArgumentTypeError(f"{text!r} has a blank name")
    return names


def variables(pairs: Sequence[str]) -> dict[str, object]:
    """NAME=VALUE pairs, the values read as YAML, and whole mappings in braces; later ones win."""
    read: dict[str, object] = {}
    for pair in pairs:
        if pair.startswith("{"):
            read |= yaml.safe_load(pair)
            continue
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
    if arguments.command != "site":
        return [arguments.command]
    return [phase for phase in PHASES if not arguments.tags or set(arguments.tags) & set(STEPS[phase])]


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    """The arguments with lists of only and tags, variables, and files of variables; wrong ones end with status 2."""
    top = parser()
    arguments = top.parse_args(argv)
    arguments.only, arguments.tags = (list(chain(*getattr(arguments, key, []))) for key in ("only", "tags"))
    unknown = sorted(set(arguments.tags) - set(arguments.steps))
    if unknown:
        top.error(f"{arguments.command} has no step {', '.join(unknown)}; it has {', '.join(arguments.steps)}")
    if any(identity.endswith("@prompt") for identity in arguments.vault_id):
        top.error("--vault-id cannot ask here; take --ask-vault-pass, or a file")
    words = arguments.extra_vars
    arguments.files = [os.path.abspath(word[1:]) for word in words if word.startswith("@")]
    for path in [*arguments.files, *arguments.vault_password_file]:
        if not os.path.isfile(path):
            top.error(f"there is no file {path}")
    try:
        arguments.variables = variables([word for word in words if not word.startswith("@")])
    except (ValueError, TypeError, yaml.YAMLError):
        top.error("-e takes NAME=VALUE, with the value in YAML, or a mapping in braces, or @FILE")
    return arguments


def deployment_of(arguments: argparse.Namespace) -> Deployment:
    """What runs the command's playbooks; asks for passwords where that is wanted."""
    passwords = {}
    if arguments.ask_vault_pass:
        passwords["vault"] = getpass.getpass("Vault password: ")
    if arguments.ask_become_pass:
        passwords["become"] = getpass.getpass("BECOME password: ")
    further = [("-e", f"@{path}") for path in arguments.files]
    further += [("--vault-id", identity) for identity in arguments.vault_id]
    further += [("--vault-password-file", os.path.abspath(path)) for path in arguments.vault_password_file]
    return Deployment(
        arguments.inventory,
        variables=arguments.variables,
        check=arguments.check,
        diff=arguments.diff,
        only=arguments.only,
        tags=arguments.tags,
        arguments=[*chain(*further), *(["-" + "v" * arguments.verbose] if arguments.verbose else [])],
        passwords=passwords,
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; exit status 0, or 1 when a phase failed, 2 for wrong usage, 130 for an interrupt."""
    arguments = parse(argv)
    deployment = deployment_of(arguments)
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
