# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""``node.py AUTHORITY ADDRESS NUMBER LAST_STAGE``: over HTTP, what a machine at ADDRESS does."""

from __future__ import annotations

import http.client
import json
import sys
import time

authority, address, number, last = sys.argv[1:]
sent = 0


def ask(method: str, name: str, body: bytes | None = None) -> int:
    connection = http.client.HTTPConnection(authority, source_address=(address, 0))
    connection.request(method, f"/{number * 64}/{name}", body)
    return connection.getresponse().status


def put(boot: str, stage: str, **fields: object) -> None:
    global sent
    sent += 1
    common = {"token": f"token {number}", "plan": "a" * 64, "server": f"s{number}", "boot_id": boot, "number": sent}
    body = json.dumps({**common, "stage": stage, **fields}).encode()
    assert ask("PUT", f"report/{boot}-{sent}.json", body) == 201
    time.sleep(0.6)


assert ask("GET", "boot.ipxe") == 200
put("ramdisk", "ramdisk", disks=[])
for percent in (10, 60, 100):
    put("ramdisk", "writing", percent=percent, rate=5e6)
if last == "failed":
    put("ramdisk", "failed", cause="chunk 7 differs")
if last == "booted":
    put("ramdisk", "written", ssh_host_key="ssh-ed25519 " + "A" * 68)
    for _number in range(100):
        if ask("GET", "go") == 200:
            break
        time.sleep(0.2)
    put("disk", "booted", build_id="d" * 32)
