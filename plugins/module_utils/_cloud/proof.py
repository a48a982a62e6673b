# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An image goes up to Glance and comes down again: the proof that the cloud works."""

from __future__ import annotations

import hashlib
import os
import time

from .errors import CloudError
from .session import NOT_YET, PAUSE, Cloud

IMAGE_NAME = "tripleo-proof"
IMAGE_BYTES = 1024 * 1024


def prove_images(cloud: Cloud, url: str, timeout: float, size: int = IMAGE_BYTES) -> dict[str, str]:
    """Upload an image of random bytes, download it, compare, delete it; return its id and sha256.

    url: Glance's. timeout: seconds for Glance to be ready, which after a change of its user takes it a while.
    """
    content = os.urandom(size)
    digest = hashlib.sha256(content).hexdigest()
    image = f"{url}/v2/images/{_create(cloud, url, timeout)}"
    try:
        cloud.call("PUT", f"{image}/file", data=content)
        downloaded = cloud.call("GET", f"{image}/file").content
        if hashlib.sha256(downloaded).hexdigest() != digest:
            raise CloudError(
                f"an image of {size} bytes came down as {len(downloaded)} other ones", operation="prove the images"
            )
    finally:
        cloud.call("DELETE", image, allow=(404,))
    return {"id": image.rsplit("/", 1)[1], "sha256": digest}


def _create(cloud: Cloud, url: str, timeout: float) -> str:
    body = {"name": IMAGE_NAME, "disk_format": "raw", "container_format": "bare", "visibility": "private"}
    end = time.monotonic() + timeout
    while True:
        reply = cloud.call("POST", f"{url}/v2/images", body, allow=(401, *NOT_YET))
        if reply.status_code < 400:
            return str(reply.json()["id"])
        if time.monotonic() >= end:
            raise CloudError(
                f"{url} still answers {reply.status_code} {reply.reason} after {timeout:g} s",
                operation="prove the images",
                next_step="Look at /var/log/glance on the controller.",
            )
        time.sleep(PAUSE)
