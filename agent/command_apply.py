# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""os-apply-config's command line."""

from __future__ import annotations

import argparse
import contextlib
import logging
import os
import sys

from _node import apply
from _node.errors import NodeError
from _node.paths import from_environment

FORMAT = "[%(asctime)s] [%(levelname)s] %(message)s"
DATE_FORMAT = "%Y/%m/%d %I:%M:%S %p"
VERSION = "14.1.0"

_log = logging.getLogger("os-apply-config")


def main(arguments: list[str]) -> int:
    """Print a key, test a boolean key, or apply the templates; the exit status."""
    default_list = os.environ.get("OS_CONFIG_FILES_PATH", apply.LIST)
    parser = _parser(apply.default_templates(os.environ, logging.warning), default_list)
    options = parser.parse_args(arguments)
    if options.print_templates:
        print(options.templates)
        return 0
    if options.key == "" or options.boolean_key == "":
        print("os-apply-config: the key is empty", file=sys.stderr)
        return 2
    _log_to(from_environment(os.environ).apply_log)
    given = [path for group in options.metadata or [] for path in group]
    try:
        files = apply.metadata_files(given, os.environ, options.os_config_files, default_list, _log.warning)
        if options.key and options.boolean_key:
            _log.warning("--key is not compatible with --boolean-key. --boolean-key ignored.")
        if options.key:
            text = apply.key_text(files, options.fallback_metadata, options.key, options.type, options.key_default)
            sys.stdout.buffer.write(f"{text}\n".encode())
        elif options.boolean_key:
            return apply.boolean_status(files, options.fallback_metadata, options.boolean_key)
        else:
            rendered = apply.render(files, options.fallback_metadata, options.templates, options.subhash)
            if not options.validate:
                apply.write(rendered, options.templates, options.output, os.environ, _log.info)
            _log.info("success")
    except (NodeError, UnicodeEncodeError) as error:
        _log.error("%s", error)
        return 1
    return 0


def _log_to(path: str) -> None:
    """Standard error, and root's log, which is no reason to fail."""
    handlers: list[logging.Handler] = [logging.StreamHandler()]
    if os.geteuid() == 0:
        with contextlib.suppress(OSError):
            os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600))
            handlers.append(logging.FileHandler(path))
    _log.setLevel(logging.INFO)
    for handler in handlers:
        handler.setFormatter(logging.Formatter(FORMAT, DATE_FORMAT))
        _log.addHandler(handler)


def _parser(templates: str, default_list: str) -> argparse.ArgumentParser:
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
