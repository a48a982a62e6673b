# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The part of os-apply-config's command line that scripts on nodes use."""

from __future__ import annotations

import argparse
import os
import sys

from _node import apply
from _node.errors import NodeError
from _node.paths import Paths, from_environment


def main(arguments: list[str]) -> int:
    """Print a key, test a boolean key, or apply the templates; the exit status."""
    paths = from_environment(os.environ)
    options = _parser(paths).parse_args(arguments)
    if options.print_templates:
        print(options.templates)
        return 0
    if options.key == "" or options.boolean_key == "":
        print("os-apply-config: the key is empty", file=sys.stderr)
        return 2
    try:
        given = [path for group in options.metadata or [] for path in group]
        files = apply.metadata_files(given, os.environ, options.os_config_files, options.fallback_metadata)
        if options.key is not None:
            print(apply.key_text(files, options.key, options.type, options.key_default))
        elif options.boolean_key is not None:
            return apply.boolean_status(files, options.boolean_key)
        else:
            for path in apply.apply(files, options.templates, options.output, options.subhash, options.validate):
                print(f"os-apply-config: wrote {path}", file=sys.stderr)
    except NodeError as error:
        print(f"os-apply-config: {error}", file=sys.stderr)
        return 1
    return 0


def _parser(paths: Paths) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="os-apply-config", description="Render templates, or print a key.")
    parser.add_argument("-t", "--templates", default=paths.templates, help="template root (default: %(default)s)")
    parser.add_argument("-o", "--output", default=paths.root, help="root of what is written (default: %(default)s)")
    parser.add_argument("-m", "--metadata", nargs="*", action="append", help="instead of OS_CONFIG_FILES")
    parser.add_argument("--fallback-metadata", nargs="*", default=list(apply.FALLBACK), help="files of lowest priority")
    parser.add_argument("-v", "--validate", action="store_true", help="render all, write nothing")
    parser.add_argument("--print-templates", action="store_true", help="print the template root")
    parser.add_argument("-s", "--subhash", help="a dotted key whose dictionary is the whole context")
    parser.add_argument("--key", help="print this key")
    parser.add_argument("--type", default="default", help="the type that the key's value must have")
    parser.add_argument("--key-default", help="printed when the key does not exist")
    parser.add_argument("--boolean-key", help="exit with 0 for true, 1 for false, 255 for anything else")
    parser.add_argument(
        "--os-config-files", default=apply.default_list(paths, os.environ), help="JSON list of metadata files"
    )
    return parser
