# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""``node.py AUTHORITY NUMBER LAST_STAGE``: does over HTTP what a machine does that is deployed."""

from __future__ import annotations

import json
import sys
import time
import urllib.error
import urllib.request

authority, number, last = sys.argv[1:]
url = f"http://{authority}/{number * 64}/"
sent = 0


def put(boot: str, stage: str, **fields: object) -> None:
    global sent
    sent += 1
    common = {"token": f"token {number}", "plan": "a" * 64, "server": f"s{number}", "boot_id": boot, "number": sent}
    body = json.dumps({**common, "stage": stage, **fields}).encode()
    urllib.request.urlopen(urllib.request.Request(f"{url}report/{boot}-{sent}.json", data=body, method="PUT"))
    time.sleep(0.6)


urllib.request.urlopen(f"{url}boot.ipxe")
put("ramdisk", "ramdisk", disks=[])
for percent in (10, 60, 100):
    put("ramdisk", "writing", percent=percent, rate=5e6)
if last == "failed":
    put("ramdisk", "failed", cause="chunk 7 differs")
if last == "booted":
    put("ramdisk", "written", ssh_host_key="ssh-ed25519 " + "A" * 68)
    for _number in range(100):
        try:
            urllib.request.urlopen(f"{url}go")
            break
        except urllib.error.HTTPError:
            time.sleep(0.2)
    put("disk", "booted", build_id="d" * 32)
