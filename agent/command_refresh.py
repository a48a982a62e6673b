# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""os-refresh-config's command line."""

from __future__ import annotations

import argparse
import logging
import os
import sys

from _node import phases, refresh
from _node.errors import Busy

FORMAT = "[%(asctime)s] (%(name)s) [%(levelname)s] %(message)s"


def main(arguments: list[str]) -> int:
    """Run the phases; 0, 1 after a failure, 11 when another run holds the lock."""
    base = refresh.default_base(os.environ)
    options = _parser().parse_args(arguments)
    if options.print_base:
        print(base)
        return 0
    if options.print_phases:
        print("\t".join(phases.PHASES))
        return 0
    logger = logging.getLogger("os-refresh-config")
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter(FORMAT))
    logger.addHandler(handler)
    logger.setLevel(options.log_level)
    try:
        with phases.locked(options.lockfile):
            return int(not refresh.refresh(base, os.environ, options.timeout))
    except Busy as error:
        cause = error.__cause__
        logger.error("Could not lock %s. %s", options.lockfile, cause)
        return (cause.errno if isinstance(cause, OSError) else None) or 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="os-refresh-config", description="Run all phases of a refresh.")
    parser.add_argument("--print-base", action="store_true", help="print the folder of the phases")
    parser.add_argument("--print-phases", action="store_true", help="print the phases, tab separated")
    parser.add_argument("--log-level", default="INFO", choices=["ERROR", "WARN", "CRITICAL", "INFO", "DEBUG"])
    parser.add_argument("--lockfile", default=refresh.LOCK, help="one run at a time holds this (default: %(default)s)")
    parser.add_argument("--timeout", type=int, help="seconds after which the run is killed")
    return parser
