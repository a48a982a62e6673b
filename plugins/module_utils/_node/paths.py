# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where things lie on a node. Every path can be moved by an environment variable, as in the original tools."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

from .places import APPLY_LOG, STATE, apply_log, state_folder


@dataclass(frozen=True)
class Paths:
    """The agent's folders and files."""

    root: str = "/"
    templates: str = "/usr/libexec/os-apply-config/templates"
    phases: str = "/usr/libexec/os-refresh-config"
    cache: str = "/var/lib/os-collect-config"
    state: str = STATE
    log: str = "/var/log/node-agent.log"
    apply_log: str = APPLY_LOG
    lock: str = "/run/os-refresh-config.lock"
    run: str = "/run/node-agent"

    @property
    def config_files(self) -> str:
        """The list of the documents' files, in order."""
        return os.path.join(self.cache, "os_config_files.json")

    @property
    def good_files(self) -> str:
        """The list of the copies of the documents that went through last, in order."""
        return os.path.join(self.state, "good_files.json")

    @property
    def changed_files(self) -> str:
        """One path a line: files that changed since the phases last went through."""
        return os.path.join(self.state, "changed")

    @property
    def progress(self) -> str:
        """Where the node stands; see ``progress.py``."""
        return os.path.join(self.state, "progress.json")

    @property
    def polled(self) -> str:
        """What the sources gave last; see ``poll.py``."""
        return os.path.join(self.state, "polled.json")

    @property
    def socket(self) -> str:
        """Where the service hears of runs."""
        return os.path.join(self.run, "service")

    @property
    def drive(self) -> str:
        """``meta`` of the config drive, kept until the machine goes down."""
        return os.path.join(self.run, "meta.json")


def from_environment(environment: Mapping[str, str]) -> Paths:
    """The paths that hold under these environment variables."""
    defaults = Paths()
    root = environment.get("NODE_AGENT_ROOT") or defaults.root
    return Paths(
        root=root,
        templates=environment.get("OS_CONFIG_APPLIER_TEMPLATES") or defaults.templates,
        phases=environment.get("OS_REFRESH_CONFIG_BASE_DIR") or defaults.phases,
        cache=environment.get("NODE_AGENT_CACHE") or defaults.cache,
        state=state_folder(environment),
        log=environment.get("NODE_AGENT_LOG") or defaults.log,
        apply_log=apply_log(environment),
        lock=environment.get("NODE_AGENT_LOCK") or defaults.lock,
        run=os.path.join(root, defaults.run.lstrip("/")),
    )
