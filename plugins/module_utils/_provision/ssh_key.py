# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The stack's SSH key pair, with which the Deployment cloud reaches its servers."""

from __future__ import annotations

import os
import subprocess
import tempfile

from .errors import ProvisionError

PRIVATE = "ssh_key"
# Stands for a key that is not made yet.
UNKNOWN = "ssh-ed25519 " + "A" * 68


def key_file(state_dir: str, stack: str) -> str:
    """Path of the private key; the public one has ``.pub`` behind it."""
    return os.path.join(state_dir, "secrets", stack, PRIVATE)


def ensure_ssh_key(state_dir: str, stack: str, *, check: bool = False) -> str:
    """Return the stack's public key (``ssh-ed25519 AAAA... comment``); the pair is made when it is missing.

    check: make nothing, `UNKNOWN` stands for a key that is missing.
    The private key is put in place first: a stop in between leaves no public key without it.
    """
    path = key_file(state_dir, stack)
    if check and not os.path.exists(path):
        return UNKNOWN
    if not os.path.exists(path):
        folder = os.path.dirname(path)
        os.makedirs(folder, mode=0o700, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder) as work:
            made = os.path.join(work, PRIVATE)
            words = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", f"tripleo-{stack}", "-f", made]
            _run(words, "make an SSH key")
            os.replace(made, path)
            os.replace(made + ".pub", path + ".pub")
    if not os.path.exists(path + ".pub"):
        public = _run(["ssh-keygen", "-y", "-f", path], "read the SSH key")
        with open(path + ".pub", "w", encoding="ascii") as stream:
            stream.write(f"{public.strip()}\n")
    with open(path + ".pub", encoding="ascii") as stream:
        return stream.read().strip()


def _run(words: list[str], operation: str) -> str:
    try:
        return subprocess.run(words, check=True, capture_output=True, text=True, stdin=subprocess.DEVNULL).stdout
    except FileNotFoundError as error:
        raise ProvisionError(
            "ssh-keygen is not installed", operation=operation, next_step="Run the playbook tripleo.cloud.prepare."
        ) from error
    except subprocess.CalledProcessError as error:
        raise ProvisionError(f"ssh-keygen failed: {error.stderr.strip()}", operation=operation) from error
