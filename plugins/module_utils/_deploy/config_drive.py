# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The file system of the config-2 partition, and the SSH host key pair that only it carries."""

from __future__ import annotations

import json
import os
import posixpath
import subprocess
from collections.abc import Mapping
from typing import Any

from .errors import DeployError
from .writer import CONFIG_BYTES, CONFIG_NAME

VENDOR_DATA = "openstack/latest/vendor_data.json"


def make_host_key(folder: str, comment: str) -> tuple[str, str]:
    """A new ed25519 key pair in OpenSSH's form: private text, public line."""
    path = os.path.join(folder, "ssh_host_ed25519_key")
    _run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", comment, "-f", path])
    with open(path) as private, open(f"{path}.pub") as public:
        return private.read(), public.read().strip()


def vendor_data(private: str, public: str) -> dict[str, str]:
    """vendor_data.json: cloud-init's configuration with the host key; JSON is YAML."""
    keys = {"ed25519_private": private, "ed25519_public": public}
    return {"cloud-init": "#cloud-config\n" + json.dumps({"ssh_deletekeys": False, "ssh_keys": keys})}


def make(folder: str, documents: Mapping[str, Any]) -> str:
    """A vfat file system with the documents as JSON files; the path of the file that holds it."""
    path = os.path.join(folder, "config-2.img")
    with open(path, "wb") as stream:
        stream.truncate(CONFIG_BYTES)
    _run(["mkfs.vfat", "-n", CONFIG_NAME, path])
    for directory in sorted({parent for name in documents for parent in _parents(name)}):
        _run(["mmd", "-i", path, f"::/{directory}"])
    for name, document in documents.items():
        source = os.path.join(folder, "document.json")
        with open(source, "w") as text:
            json.dump(document, text)
        _run(["mcopy", "-i", path, source, f"::/{name}"])
        os.unlink(source)
    return path


def _parents(name: str) -> list[str]:
    parents = []
    while name := posixpath.dirname(name):
        parents.append(name)
    return parents


def _run(argv: list[str]) -> None:
    done = subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    if done.returncode:
        raise DeployError(f"{argv[0]} ended with {done.returncode}: {done.stdout.strip()[-300:]}")
