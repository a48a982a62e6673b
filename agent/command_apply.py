# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""os-apply-config's command line."""

from __future__ import annotations

import os
import sys
import time

from _node import places, unchanged

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse

TIME = "%Y/%m/%d %I:%M:%S %p"
VERSION = "14.1.0"


def main(arguments: list[str]) -> int:
    """Print a key, test a boolean key, or apply the templates; the exit status."""
    record = unchanged.Record(arguments, os.environ)
    said = record.messages()
    if said is None:
        return _run(arguments, record)
    log = _Log()
    for line in said:
        log.info(line)
    return 0


def _run(arguments: list[str], record: unchanged.Record) -> int:
    # Not at the top: a run that finds everything in place does without them.
    from _node import apply
    from _node.errors import NodeError

    default_list = os.environ.get("OS_CONFIG_FILES_PATH", apply.LIST)
    log = _Log()
    parser = _parser(apply.default_templates(os.environ, log.old_place), default_list)
    options = parser.parse_args(arguments)
    if options.print_templates:
        print(options.templates)
        return 0
    if options.key == "" or options.boolean_key == "":
        print("os-apply-config: the key is empty", file=sys.stderr)
        return 2
    given = [path for group in options.metadata or [] for path in group]
    try:
        files = apply.metadata_files(given, os.environ, options.os_config_files, default_list, log.warning)
        if options.key and options.boolean_key:
            log.warning("--key is not compatible with --boolean-key. --boolean-key ignored.")
        if options.key:
            text = apply.key_text(files, options.fallback_metadata, options.key, options.type, options.key_default)
            sys.stdout.buffer.write(f"{text}\n".encode())
        elif options.boolean_key:
            return apply.boolean_status(files, options.fallback_metadata, options.boolean_key)
        else:
            if not options.validate:
                record.begin([options.os_config_files, *options.fallback_metadata, *files], options.templates)
            rendered = apply.render(files, options.fallback_metadata, options.templates, options.subhash)
            if not options.validate:
                apply.write(rendered, options.templates, options.output, os.environ, log.info)
            log.info("success")
            if not options.validate and not log.warned:
                apply.record(record, rendered, options.output)
    except (NodeError, UnicodeEncodeError) as error:
        log.error(str(error))
        return 1
    return 0


class _Log:
    """Standard error, and root's log, which is no reason to fail."""

    def __init__(self) -> None:
        self.warned = False
        self._twice = False

    def info(self, text: str) -> None:
        self._say("INFO", text)

    def warning(self, text: str) -> None:
        self.warned = True
        self._say("WARNING", text)

    def old_place(self, text: str) -> None:
        """As the original says it, before it has a log; it says all that follows twice then."""
        self.warned = self._twice = True
        print(f"WARNING:root:{text}", file=sys.stderr)

    def error(self, text: str) -> None:
        self._say("ERROR", text)

    def _say(self, level: str, text: str) -> None:
        line = f"[{time.strftime(TIME)}] [{level}] {text}\n".encode("utf-8", "backslashreplace")
        _append(2, line)
        if self._twice:
            _append(2, f"{level}:os-apply-config:{text}\n".encode("utf-8", "backslashreplace"))
        if os.geteuid() == 0:
            try:
                log = os.open(places.apply_log(os.environ), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
            except OSError:
                return
            _append(log, line)
            os.close(log)


def _append(descriptor: int, line: bytes) -> None:
    try:
        os.write(descriptor, line)
    except OSError:
        return


def _parser(templates: str, default_list: str) -> argparse.ArgumentParser:
    import argparse

    from _node import apply
    from _node.paths import from_environment

    parser = argparse.ArgumentParser(prog="os-apply-config", description="Render templates, or print a key.")
    parser.add_argument("-t", "--templates", default=templates, help="template root (default: %(default)s)")
    root = from_environment(os.environ).root
    parser.add_argument("-o", "--output", default=root, help="root of what is written (default: %(default)s)")
    parser.add_argument("-m", "--metadata", nargs="*", action="append", help="instead of OS_CONFIG_FILES")
    parser.add_argument("--fallback-metadata", nargs="*", default=list(apply.FALLBACK), help="files of lowest priority")
    parser.add_argument("-v", "--validate", action="store_true", help="render all, write nothing")
    parser.add_argument("--print-templates", action="store_true", help="print the template root")
    parser.add_argument("-s", "--subhash", help="a dotted key whose dictionary is the whole context")
    parser.add_argument("--key", help="print this key")
    parser.add_argument("--type", default="default", help="the type that the key's value must have")
    parser.add_argument("--key-default", help="printed when the key does not exist")
    parser.add_argument("--boolean-key", help="exit with 0 for true, 1 for false, 255 for anything else")
    parser.add_argument("--version", action="version", version=VERSION)
    parser.add_argument("--os-config-files", default=default_list, help="JSON list of metadata files")
    return parser
