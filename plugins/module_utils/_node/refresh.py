# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""``os-refresh-config``: all phases under one lock, each as dib-run-parts runs it, with a time limit for the whole."""

from __future__ import annotations

import logging
import os
import subprocess
import time
from collections.abc import Mapping
from typing import Optional

from . import parts, phases

BASE = "/usr/libexec/os-refresh-config"
OLD_BASE = "/opt/stack/os-config-refresh"
LOCK = "/var/run/os-refresh-config.lock"

_log = logging.getLogger("os-refresh-config")


def default_base(environment: Mapping[str, str]) -> str:
    """The folder of the phases; an empty variable means the working directory."""
    given = environment.get("OS_REFRESH_CONFIG_BASE_DIR")
    if given is not None:
        return given
    if os.path.isdir(OLD_BASE) and not os.path.isdir(BASE):
        logging.warning(
            "Base directory %s is deprecated. The recommended base directory is %s",
            OLD_BASE,
            BASE,
        )
        return OLD_BASE
    return BASE


def refresh(base: str, environment: Mapping[str, str], seconds: Optional[int]) -> bool:
    """Run all phases below base; whether none failed. At the time limit what runs is killed, which is a failure."""
    deadline = time.monotonic() + seconds if seconds else None
    for phase in phases.PHASES:
        folder = os.path.join(base, f"{phase}.d")
        _log.debug("Checking %s", folder)
        if not os.path.exists(folder):
            _log.debug("No dir for phase %s", phase)
            continue
        _log.info("Starting phase %s", phase)
        _log.debug("Running %s", [parts.NAME, folder])
        ended = _run(folder, environment, deadline)
        if ended.expired:
            _log.error("Timeout reached: %ss. Sending SIGKILL to all children", seconds)
        if ended.status:
            failure = subprocess.CalledProcessError(ended.status, [parts.NAME, folder])
            _log.error("during %s phase. [%s]\n", phase, failure)
            _run_error_handlers(base, environment, phase, ended)
            _log.error("Aborting...")
            return False
        _log.info("Completed phase %s", phase)
    return True


def _run(folder: str, environment: Mapping[str, str], deadline: Optional[float]) -> parts.Parts:
    if not os.path.isdir(folder):
        return parts.Parts(parts.main([folder], environment))
    return parts.run_parts(folder, environment, deadline)


def _run_error_handlers(base: str, environment: Mapping[str, str], phase: str, ended: parts.Parts) -> None:
    folder = os.path.join(base, "error.d")
    if not os.path.exists(folder):
        return
    _log.info("Calling error handlers.")
    told = {
        "OS_REFRESH_CONFIG_FAILED_PHASE": phase,
        "OS_REFRESH_CONFIG_FAILED_SCRIPT": ended.script,
        "OS_REFRESH_CONFIG_FAILED_STATUS": str(ended.status),
    }
    _run(folder, {**environment, **told}, None)
