#!/usr/bin/python
# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: image_build
short_description: Build golden images and the deploy ramdisk from elements
version_added: 0.1.0
description:
  - Builds every image of a list that is missing or whose inputs changed, several at once, into the image store.
  - A disk image is made from elements in the format of diskimage-builder, which runs them.
    The disk boots by BIOS and by UEFI. Neither loop devices nor the device-mapper are needed.
  - A ramdisk is the one that writes disk images to servers.
  - The inputs are the content of the elements and of all that they depend on, packages, mirrors, release and options.
    What the mirrors hold is no input, see O(refresh).
author:
  - The tripleo.cloud authors (@tripleo)
extends_documentation_fragment:
  - tripleo.cloud.attributes
options:
  images:
    description: The images to have in the store.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: Name of the image in the store.
        type: str
        required: true
      kind:
        description: Whether it is a disk image or the deploy ramdisk.
        type: str
        choices: [disk, ramdisk]
        default: disk
      arch:
        description: Architecture.
        type: str
        choices: [amd64]
        default: amd64
      elements:
        description: Elements of a disk image, for example V(debian-base).
        type: list
        elements: str
        default: []
      packages:
        description: Packages to install beside what the elements bring.
        type: list
        elements: str
        default: []
      size:
        description: Size of the disk in MiB. Without it the disk is as large as its content needs.
        type: int
      skip_base:
        description: Leave out the element C(base) of diskimage-builder, which only its own distribution elements need.
        type: bool
        default: true
      environment:
        description: Variables for the elements. They can be read in the image, so they must not hold secrets.
        type: dict
        default: {}
      kernel_package:
        description: The package with the kernel of a ramdisk.
        type: str
      modules:
        description: The kernel modules of a ramdisk. What they depend on comes along.
        type: list
        elements: str
        default: []
  state_dir:
    description: State directory of the Deployment cloud, which holds the image store.
    type: path
    default: /var/lib/tripleo-cloud
  elements_path:
    description:
      - Folders of elements on the control host. Earlier ones win over later ones and over this collection's.
      - C(os-apply-config), C(os-refresh-config) and C(os-collect-config) are always this collection's, whose programs
        the node agent is.
      - Relative paths start at the playbook.
    type: list
    elements: path
    default: []
  release:
    description: Code name of the Debian release.
    type: str
    default: bookworm
  apt_lines:
    description:
      - Lines of C(sources.list) with the mirrors to build from. URLs must hold no password, images keep the lines.
      - Without them the module takes the entries of O(release) from the apt configuration of the host.
    type: list
    elements: str
    default: []
  refresh:
    description: Build all images anew, with the packages that the mirrors have now.
    type: bool
    default: false
  bundle:
    description: Used between the action plugin and the module.
    type: path
seealso:
  - module: tripleo.cloud.image_info
notes:
  - Needs root, and the Python library diskimage-builder, which P(tripleo.cloud.deployment_cloud#role) installs.
  - The log of each build is C(log/image-NAME.log) in O(state_dir).
"""

EXAMPLES = r"""
- name: Build the image of a compute server, as disk-image-create -a amd64 -o compute-image would
  tripleo.cloud.image_build:
    images:
      - name: compute-image
        arch: amd64
        elements: [debian-base, node-agent, nova-compute, nova-kvm]

- name: Build an image on an element of diskimage-builder and on own elements
  tripleo.cloud.image_build:
    elements_path: [files/elements]
    images:
      - name: compute-image
        elements: [fedora, nova-compute, nova-kvm]
        skip_base: false

- name: Build the deploy ramdisk with the packages of today
  tripleo.cloud.image_build:
    refresh: true
    images:
      - name: deploy-ramdisk
        kind: ramdisk
        kernel_package: linux-image-amd64
        modules: [ixgbe, nvme, ahci, sd_mod]
"""

RETURN = r"""
images:
  description: The images of the list, in its order.
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
    action:
      description: V(build) when it was built, or would be in check mode, V(keep) when it was not.
      type: str
    reason:
      description: Why.
      type: str
    inputs:
      description: Digest of all inputs.
      type: str
    build_id:
      description: Build in the store, also in the image as C(/etc/tripleo-build-id). Empty when there is none yet.
      type: str
    manifest_sha256:
      description: Digest of the build's manifest.
      type: str
    directory:
      description: Folder of the build.
      type: str
    seconds:
      description: Time that the build took.
      type: float
"""

import tempfile
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.tripleo.cloud.plugins.module_utils._image.apt import host_lines, without_password
from ansible_collections.tripleo.cloud.plugins.module_utils._image.build import Settings, build_images, plan_jobs
from ansible_collections.tripleo.cloud.plugins.module_utils._image.bundle import unpack
from ansible_collections.tripleo.cloud.plugins.module_utils._image.inputs import parse_spec
from ansible_collections.tripleo.cloud.plugins.module_utils._image.report import difference, summary
from ansible_collections.tripleo.cloud.plugins.module_utils._image.store import ImageStore
from ansible_collections.tripleo.cloud.plugins.module_utils._module import STATE_SPEC, run

IMAGE_SPEC: dict[str, Any] = {
    "name": {"type": "str", "required": True},
    "kind": {"type": "str", "choices": ["disk", "ramdisk"], "default": "disk"},
    "arch": {"type": "str", "choices": ["amd64"], "default": "amd64"},
    "elements": {"type": "list", "elements": "str", "default": []},
    "packages": {"type": "list", "elements": "str", "default": []},
    "size": {"type": "int"},
    "skip_base": {"type": "bool", "default": True},
    "environment": {"type": "dict", "default": {}},
    "kernel_package": {"type": "str"},
    "modules": {"type": "list", "elements": "str", "default": []},
}

ARGUMENT_SPEC: dict[str, Any] = {
    **STATE_SPEC,
    "images": {"type": "list", "elements": "dict", "required": True, "options": IMAGE_SPEC},
    "elements_path": {"type": "list", "elements": "path", "default": []},
    "release": {"type": "str", "default": "bookworm"},
    "apt_lines": {"type": "list", "elements": "str", "default": []},
    "refresh": {"type": "bool", "default": False},
    "bundle": {"type": "path"},
}


def build(module: AnsibleModule) -> dict[str, Any]:
    """Decide, build what must be built, and report."""
    parameters = module.params
    specs = [parse_spec(entry) for entry in parameters["images"]]
    with tempfile.TemporaryDirectory(dir=module.tmpdir) as folder:
        found = unpack(parameters["bundle"], folder)
        settings = Settings(
            state_dir=parameters["state_dir"],
            paths=found.paths,
            core_dir=found.core_dir,
            node_agent=found.node_agent,
            release=parameters["release"],
            apt_lines=without_password(parameters["apt_lines"] or host_lines(parameters["release"])),
            refresh=parameters["refresh"],
        )
        store = ImageStore(settings.state_dir)
        jobs = plan_jobs(specs, settings, store)
        built = () if module.check_mode else build_images(jobs, settings, store)
    return {
        "changed": any(job.action == "build" for job in jobs),
        "images": summary(jobs, built),
        "diff": difference(jobs),
    }


def main() -> None:
    module = AnsibleModule(ARGUMENT_SPEC, supports_check_mode=True)
    # Its threads cannot be told to end; what they started dies with them, the next build removes what they made.
    run(module, lambda: build(module), grace=0.0)


if __name__ == "__main__":
    main()
