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
INTERFACE = re.compile(r"^interface=(\S+)$", re.MULTILINE)
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
    found = _line(nginx_conf(state_dir), LISTEN, "listen ADDRESS:PORT")
    return BootServer(found.group(1).strip("[]"), int(found.group(2)))


def interface(state_dir: str) -> str:
    """The provisioning interface, as dnsmasq's configuration has it."""
    return _line(dnsmasq_conf(state_dir), INTERFACE, "interface=NAME").group(1)


def _line(path: str, pattern: re.Pattern[str], words: str) -> re.Match[str]:
    try:
        with open(path, encoding="utf-8") as stream:
            found = pattern.search(stream.read())
    except FileNotFoundError as error:
        raise TripleoError(f"{path} does not exist", operation="start the boot services", next_step=PREPARE) from error
    if not found:
        raise TripleoError(f"{path} has no line `{words}`", operation="start the boot services", next_step=PREPARE)
    return found
