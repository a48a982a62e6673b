# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Two BMCs of the rack without machines, for 900 seconds or until a file is there.

Arguments: the file, the first three numbers of their addresses, such as 127.78.0, and, where they shall have another
password, a file with it; they listen on port 6623.
"""

from __future__ import annotations

import asyncio
import sys
import uuid
from pathlib import Path
from typing import Any

from tripleo_cloud.rack import eventlog
from tripleo_cloud.rack.bmc import Bmc
from tripleo_cloud.rack.sol import SerialLine


class Machines:
    """Power and boot flags of machines that are only remembered."""

    def __init__(self) -> None:
        self.state: dict[str, dict[str, Any]] = {}
        self.log = eventlog.EventLog()

    async def call(self, operation: str, machine: str, **arguments: Any) -> Any:
        """What a BMC asks the owner of its machine."""
        new = {"on": False, "failure": False, "policy": 0, "restart_cause": 0, "flags": "00" * 5}
        state = self.state.setdefault(machine, new)
        if operation == "set_flags":
            state["flags"] = arguments["flags"]
        elif operation == "power":
            state["on"] = arguments["action"] not in ("off", "soft")
        elif operation == "event_log":
            return {"records": [], "now": self.log.now(), "erased_at": 0}
        return dict(state)


async def main() -> None:
    machines: Any = Machines()
    password = Path(sys.argv[3]).read_text() if len(sys.argv) > 3 else "open-sesame"
    for number in (1, 2):
        config = {"uuid": str(uuid.uuid4()), "username": "admin", "password": password, "port": 6623,
                  "address": f"{sys.argv[2]}.{number}", "mac": f"52:54:00:00:00:0{number}"}  # fmt: skip
        # What is appended to <file>-n1/console.log is printed by n1.
        await Bmc(machines, f"n{number}", config, SerialLine(Path(f"{sys.argv[1]}-n{number}"))).listen()
    for _count in range(9000):
        if Path(sys.argv[1]).exists():
            break
        await asyncio.sleep(0.1)


if __name__ == "__main__":
    asyncio.run(main())
