# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""``images.py STATE_DIR``: two images of nothing but zeros in the image store."""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path

from ansible_collections.tripleo.cloud.plugins.module_utils._image.store import ImageStore

store = ImageStore(sys.argv[1])
for number, name in enumerate(("control-image", "compute-image"), 1):
    with store.staging(name) as directory:
        (Path(directory) / "disk.zst").write_bytes(b"")
        manifest = {
            "schema": 1,
            "kind": "disk",
            "name": name,
            "build_id": str(number) * 32,
            "arch": "amd64",
            "size": 1 << 23,
            "sha256": str(number) * 64,
            "root_partition": 3,
            "stored": {"file": "disk.zst", "size": 0, "sha256": hashlib.sha256(b"").hexdigest()},
            "chunk_size": 1 << 24,
            "chunks": [],
        }
        store.add(directory, manifest)
