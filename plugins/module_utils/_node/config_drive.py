# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The EC2 metadata of a config drive, found by ``blkid`` and mounted only as long as it is read."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import tempfile
from typing import Any, Optional

_PLACE = ("ec2", "latest", "meta-data.json")
_TYPES = ("vfat", "iso9660")

_log = logging.getLogger("os-collect-config")


def ec2_metadata() -> Any:
    """The document of the first block device labelled config-2; empty when there is none or it cannot be read."""
    device = _device()
    if device is None:
        return {}
    try:
        mounted = _mount_point(device)
        if mounted:
            return _read(mounted)
        folder = tempfile.mkdtemp(prefix="config-2-")
        try:
            _run("mount", "-o", "ro,nosuid,nodev,noexec", device, folder)
            try:
                return _read(folder)
            finally:
                _run("umount", "-l", folder)
        finally:
            os.rmdir(folder)
    except (OSError, ValueError, subprocess.CalledProcessError) as error:
        _log.error("Problem getting metadata: %s", error)
        return {}


def _device() -> Optional[str]:
    try:
        exported = _run("blkid", "-o", "export")
    except (OSError, subprocess.CalledProcessError) as error:
        _log.error('Problem running "blkid -o export": %s', error)
        return None
    for block in exported.split("\n\n"):
        pairs = (line.split("=", 1) for line in block.splitlines() if "=" in line)
        known = {name: value.replace("\\ ", " ") for name, value in pairs}
        if known.get("LABEL") == "config-2" and known.get("TYPE") in _TYPES:
            return known.get("DEVNAME")
    return None


def _mount_point(device: str) -> Optional[str]:
    with open("/proc/mounts", encoding="utf-8") as stream:
        for line in stream:
            name, folder = line.split()[:2]
            if name == device:
                return folder
    return None


def _read(folder: str) -> Any:
    path = os.path.join(folder, *_PLACE)
    if not os.path.isfile(path):
        _log.warning("No expected file at path: %s", path)
        return {}
    with open(path, encoding="utf-8") as stream:
        return json.load(stream)


def _run(*command: str) -> str:
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
