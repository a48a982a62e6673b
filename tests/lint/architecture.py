# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Checks what no other linter knows: which room may import which, file sizes, and where the rack may be named."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
ROOMS = ROOT / "plugins" / "module_utils"
PACKAGE = "ansible_collections.tripleo.cloud.plugins.module_utils."

# Room -> the other rooms that it may import. Modules and plugins may import every room.
MAY_IMPORT = {
    "_bmc": {"_errors"},
    "_boot": {"_errors"},
    "_cloud": {"_errors"},
    "_deploy": set(),
    "_heat": {"_errors"},
    "_image": {"_deploy", "_errors"},
    "_node": set(),
    "_plan": {"_heat", "_errors"},
    "_provision": {"_bmc", "_boot", "_errors", "_image", "_plan", "_run", "_state"},
    "_push": {"_errors", "_node", "_run", "_state"},
    "_run": {"_boot", "_errors", "_state"},
    "_state": {"_errors"},
}
WITHOUT_ANSIBLE = set(MAY_IMPORT)
LARGEST_FILE = 500
LARGEST_MODULE = 150
RACK_WORDS = re.compile(r"qemu-system|netns|virtual_rack", re.IGNORECASE)
RACK_FILES = {"playbooks/rack_up.yml", "playbooks/rack_down.yml"}


def imported(path: Path) -> Iterator[str]:
    """Absolute names of all that a file of module_utils imports."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level:
            package = (PACKAGE + ".".join(path.relative_to(ROOMS).parts[:-1])).rstrip(".").split(".")
            base = package[: len(package) - node.level + 1]
            if node.module:
                yield ".".join([*base, node.module])
            else:
                yield from (".".join([*base, alias.name]) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or ""


def room_faults() -> Iterator[str]:
    """Imports that the house does not allow."""
    for path in sorted(ROOMS.rglob("*.py")):
        room = path.relative_to(ROOMS).parts[0]
        if room.endswith(".py"):
            continue
        if room not in MAY_IMPORT:
            yield f"{path.relative_to(ROOT)}: room {room} is not in the table of {Path(__file__).name}"
            continue
        for name in imported(path):
            if name.split(".")[0] == "ansible" and room in WITHOUT_ANSIBLE:
                yield f"{path.relative_to(ROOT)}: imports {name}; the core has no Ansible import"
            if name.startswith(PACKAGE):
                other = name[len(PACKAGE) :].split(".")[0]
                if other != room and other not in MAY_IMPORT[room]:
                    yield f"{path.relative_to(ROOT)}: {room} may not import {other}"


def size_faults() -> Iterator[str]:
    """Files that are longer than one room may be."""
    for folder in ("plugins", "src", "agent", "tests"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            text = path.read_text()
            lines = text.count("\n")
            limit = LARGEST_FILE
            if path.parent == ROOT / "plugins" / "modules":
                lines -= sum(block.count("\n") for block in re.findall(r'= r"""(.*?)"""', text, re.DOTALL))
                limit = LARGEST_MODULE
            if lines > limit:
                yield f"{path.relative_to(ROOT)}: {lines} lines, the limit is {limit}"


def rack_faults() -> Iterator[str]:
    """Places where the product knows that a rack may be virtual."""
    for folder in ("plugins", "roles", "playbooks"):
        for path in sorted((ROOT / folder).rglob("*")):
            name = str(path.relative_to(ROOT))
            if path.is_file() and name not in RACK_FILES and "__pycache__" not in name:
                for number, line in enumerate(path.read_text(errors="replace").splitlines(), 1):
                    if RACK_WORDS.search(line):
                        yield f"{name}:{number}: names the virtual rack"


def main() -> int:
    """Print every fault; 1 when there is one."""
    faults = [*room_faults(), *size_faults(), *rack_faults()]
    for fault in faults:
        print(fault)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
