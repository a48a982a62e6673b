# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One look at the event file, as its own small process: it renews the lease and gives what is new.

``python -m ..._run.poll STATE_DIR STACK RUN_ID OFFSET`` writes a line of JSON (``offset`` to go on from, ``error``),
then the new lines. It imports little, because it is started once a second.
"""

from __future__ import annotations

import fcntl
import json
import os
import sys

from .._errors import TripleoError
from . import events
from .lease import renew


def poll(state_dir: str, stack: str, run_id: str, offset: int) -> bytes:
    """What the process writes."""
    error = ""
    if run_id:
        try:
            renew(state_dir, stack, run_id)
            error = keeper_fault(state_dir)
        except TripleoError as lost:
            error = str(lost)
    lines, offset = events.read(state_dir, offset)
    return json.dumps({"offset": offset, "error": error}).encode() + b"\n" + lines


def keeper_fault(state_dir: str) -> str:
    """Why nobody serves the nodes now; empty when somebody does."""
    descriptor = os.open(os.path.join(state_dir, "keeper.lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        pass
    else:
        return f"the keeper has ended. Next: read {state_dir}/run/keeper.log, then run the same playbook again"
    finally:
        os.close(descriptor)
    try:
        with open(os.path.join(state_dir, "run", "keeper.json"), encoding="utf-8") as stream:
            status = json.load(stream)
    except FileNotFoundError:
        return ""
    return "; ".join(str(service["error"]) for _name, service in sorted(status.items()) if service["error"])


if __name__ == "__main__":
    sys.stdout.buffer.write(poll(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])))
