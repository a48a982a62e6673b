#!/usr/bin/python
# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: image_info
short_description: List the images in the image store
version_added: 0.1.0
description:
  - Tells of the current build of each image, and verifies the stored bytes where that is asked for.
author:
  - The tripleo.cloud authors (@tripleo)
extends_documentation_fragment:
  - tripleo.cloud.attributes
options:
  name:
    description: Tell only of this image.
    type: str
  verify:
    description: Compare the stored bytes with the digests in the manifest, and fail when they differ.
    type: bool
    default: false
  state_dir:
    description: State directory of the Deployment cloud, which holds the image store.
    type: path
    default: /var/lib/tripleo-cloud
seealso:
  - module: tripleo.cloud.image_build
"""

EXAMPLES = r"""
- name: Prove that no image was changed in the store
  tripleo.cloud.image_info:
    verify: true
"""

RETURN = r"""
images:
  description: The images, by name.
  returned: always
  type: list
  elements: dict
  contains:
    name:
      description: Name of the image.
      type: str
    kind:
      description: V(disk) or V(ramdisk).
      type: str
    arch:
      description: Architecture.
      type: str
    build_id:
      description: The current build.
      type: str
    created:
      description: When it was built, in UTC.
      type: str
    elements:
      description: The elements that it was asked to have.
      type: list
      elements: str
    size:
      description: Bytes of the raw disk.
      type: int
    sha256:
      description: Digest of the raw disk.
      type: str
    manifest_sha256:
      description: Digest of the manifest.
      type: str
    directory:
      description: Folder of the build.
      type: str
    verified:
      description: That the stored bytes are what was built.
      returned: when O(verify) is true
      type: bool
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.tripleo.cloud.plugins.module_utils._image.report import described
from ansible_collections.tripleo.cloud.plugins.module_utils._image.store import ImageStore
from ansible_collections.tripleo.cloud.plugins.module_utils._module import STATE_SPEC, run

ARGUMENT_SPEC: dict[str, Any] = {
    **STATE_SPEC,
    "name": {"type": "str"},
    "verify": {"type": "bool", "default": False},
}


def gather(module: AnsibleModule) -> dict[str, Any]:
    """Read the store, and verify it where asked."""
    store = ImageStore(module.params["state_dir"])
    name, verify = module.params["name"], module.params["verify"]
    images = store.images() if name is None else [image for image in [store.get(name)] if image]
    if verify:
        for image in images:
            store.verify(image)
    return {"changed": False, "images": [described(image, verified=True if verify else None) for image in images]}


def main() -> None:
    module = AnsibleModule(ARGUMENT_SPEC, supports_check_mode=True)
    run(module, lambda: gather(module))


if __name__ == "__main__":
    main()
