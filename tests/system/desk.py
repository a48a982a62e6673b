# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A deployment without machines: two BMCs, a nodes file and two empty images. What needs no boot takes seconds."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import yaml
from ansible.constants import DEFAULT_VAULT_ID_MATCH
from ansible.parsing.vault import VaultLib, VaultSecret
from whole_run import ROOT, WholeRun

INTEGRATION = ROOT / "tests" / "integration"
NETWORK = {"cidr": "192.0.2.0/24", "allocation_pools": [{"start": "192.0.2.10", "end": "192.0.2.99"}]}


class Desk(WholeRun):
    """password: of the BMCs. vault_password: of what `vaulted` encrypts."""

    def __init__(self, folder: Path, network: str, variables: dict[str, Any] | None = None) -> None:
        """network: the first three numbers of the BMCs' addresses, such as 127.79.9."""
        own = {"tripleo_networks": {"ctlplane": NETWORK}, "tripleo_provisioning_interface": "lo"}
        super().__init__(folder, {**own, "tripleo_provisioning_address": "127.0.0.1", **(variables or {})})
        self.password = "open-sesame"
        self.vault_password = "no-one-may-know-this"
        self.network = network
        self.nodes_file = self.inventory.parent / "nodes.yaml"
        self._ended = folder / "bmcs-ended"

    def begin(self) -> None:
        """Start the BMCs, write the nodes file, and lay images into the store."""
        self._ended.unlink(missing_ok=True)
        secret = self.folder / "password"
        secret.write_text(self.password)
        argv = [sys.executable, str(INTEGRATION / "bmcs.py"), str(self._ended), self.network, str(secret)]
        self._bmcs = subprocess.Popen(argv)
        self.nodes_file.write_text(yaml.safe_dump({"nodes": [self._node(1, "control"), self._node(2, "compute")]}))
        images = INTEGRATION / "targets" / "stack" / "files" / "images.py"
        subprocess.run([sys.executable, images, self.state], check=True)
        time.sleep(1)
        secret.unlink()

    def end(self) -> None:
        """Stop the BMCs."""
        self._ended.touch()
        self._bmcs.wait()

    def vaulted(self, text: str) -> str:
        """Text as ansible-vault encrypts it."""
        secrets = [(DEFAULT_VAULT_ID_MATCH, VaultSecret(self.vault_password.encode()))]
        encrypted: bytes = VaultLib(secrets).encrypt(text)
        return encrypted.decode()

    def _node(self, number: int, profile: str) -> dict[str, Any]:
        bmc = {"address": f"{self.network}.{number}", "port": 6623, "username": "admin", "password": self.password}
        return {
            "name": f"n{number}", "bmc": bmc, "macs": [f"52:54:00:00:00:0{number}"], "cpus": 1, "memory": 2048,
            "disk": 8, "capabilities": {"profile": profile}, "root_device": {"serial": f"R{number}"},
        }  # fmt: skip
