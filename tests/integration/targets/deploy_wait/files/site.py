# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""``site.py STATE_DIR ADDRESS``: stores a plan of two servers and lays out their paths."""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path

from ansible_collections.tripleo.cloud.plugins.module_utils._state.store import State

state, network = Path(sys.argv[1]), sys.argv[2].rpartition(".")[0]
servers, entries = {}, {}
for number in (0, 1):
    name, address = f"s{number}", f"{network}.1{number}"
    servers[name] = {"name": name, "node": f"n{number}", "action": "create", "networks": {"ctlplane": [address]}}
    entries[name] = {
        "node": f"n{number}",
        "mac": f"52:54:00:00:00:0{number}",
        "address": address,
        "path": f"{number}" * 64,
        "token_sha256": hashlib.sha256(f"token {number}".encode()).hexdigest(),
        "build_id": "d" * 32,
        "switched": False,
    }
    served = state / "serve" / address / (f"{number}" * 64)
    served.mkdir(mode=0o755, parents=True)
    (served / "boot.ipxe").write_text("#!ipxe\n")
    (served / "boot.ipxe").chmod(0o644)
with State.open(str(state)) as store:
    store.register({"n0": {"bmc": {"address": "192.0.2.10", "port": 623}}, "n1": {}})
    store.store_plan({"stack": "cloud", "serial": 1, "hash": "a" * 64, "servers": servers}, 0, [])
(state / "run" / "cloud.boot.json").write_text(json.dumps({"plan": "a" * 64, "servers": entries}))
