# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the role deployment_cloud rendered for the boot services, and where their files lie."""

from __future__ import annotations

import os
import re

from .._boot.model import BootServer
from .._errors import TripleoError

LISTEN = re.compile(r"^\s*listen\s+(\[[0-9a-fA-F:]+\]|[0-9.]+):([0-9]+)", re.MULTILINE)
# The keeper's own mount namespace has the served trees here: nginx's workers cannot traverse the state directory.
MOUNT_POINT = "/run/tripleo-cloud"
PREPARE = "run the playbook tripleo.cloud.prepare"


def dnsmasq_conf(state_dir: str) -> str:
    """Path of dnsmasq's configuration."""
    return os.path.join(state_dir, "etc", "dnsmasq.conf")


def nginx_conf(state_dir: str) -> str:
    """Path of nginx's configuration."""
    return os.path.join(state_dir, "etc", "nginx.conf")


def boot_server(state_dir: str) -> BootServer:
    """Address and port of the boot services, as nginx's configuration has them."""
    try:
        with open(dnsmasq_conf(state_dir), encoding="utf-8"), open(nginx_conf(state_dir), encoding="utf-8") as stream:
            found = LISTEN.search(stream.read())
    except FileNotFoundError as error:
        raise TripleoError(
            f"{error.filename} does not exist", operation="start the boot services", next_step=PREPARE
        ) from error
    if not found:
        raise TripleoError(
            f"{nginx_conf(state_dir)} has no line `listen ADDRESS:PORT`",
            operation="start the boot services",
            next_step=PREPARE,
        )
    return BootServer(found.group(1).strip("[]"), int(found.group(2)))
