# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""``python -m tripleo_cloud.rack up|down|status``: one JSON object on standard output, errors on standard error.

``serve-machines`` and ``serve-bmcs`` are the rack's own two processes; `up` and the first of them start these.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from tripleo_cloud.rack import bmc, owner
from tripleo_cloud.rack.errors import RackError
from tripleo_cloud.rack.rack import Rack

_SERVERS = {"serve-machines": owner.run, "serve-bmcs": bmc.run}


def _serve(name: str, state_dir: Path) -> int:
    try:
        asyncio.run(_SERVERS[name](state_dir))
    except (OSError, RackError) as error:
        print(f"{name}: {error}", file=sys.stderr)
        return 1
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; 0, or 1 when it failed."""
    words = list(sys.argv[1:] if argv is None else argv)
    if len(words) == 2 and words[0] in _SERVERS:
        return _serve(words[0], Path(words[1]))
    parser = argparse.ArgumentParser(prog="python -m tripleo_cloud.rack", description="The virtual rack.")
    parser.add_argument("command", choices=["up", "down", "status"])
    parser.add_argument("--file", required=True, help="rack.yml")
    parser.add_argument("--state-dir", help="where the rack keeps its files (default: .work/rack of the checkout)")
    parser.add_argument("--inventory-dir", help="where nodes.yaml goes (default: beside rack.yml)")
    parser.add_argument("--check", action="store_true", help="say what would change, change nothing")
    arguments = parser.parse_args(words)
    # ip, nft and sysctl, which a shell without root's profile does not find.
    os.environ["PATH"] = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"])
    rack = Rack(arguments.file, arguments.state_dir, inventory_dir=arguments.inventory_dir)
    try:
        if arguments.command == "status":
            result = rack.status()
        else:
            result = (rack.up if arguments.command == "up" else rack.down)(check=arguments.check)
    except RackError as error:
        print(f"rack: {error}", file=sys.stderr)
        return 1
    print(json.dumps(result))
    return 0


if __name__ == "__main__":
    sys.exit(main())
