# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from ansible_collections.tripleo.cloud.plugins.module_utils._image.report import progress

STAMP = "2026-11-25 06:22:19.703 |"


@pytest.mark.parametrize(
    ("log", "step"),
    [
        ("", ""),
        (f"{STAMP} dib-run-parts Running /tmp/in_target.d/install.d/50-app\n{STAMP} noise\n", "install.d/50-app"),
        (f"{STAMP} Setting up keystone (2:22.0.2-0+deb12u1) ...\n", "Setting up keystone"),
        (f"{STAMP} > Unpacking keystone (2:22) ...\r\n", "Unpacking keystone"),
        ("06:20:34 + make the root file system: mke2fs -q -F -t ext4\n", "make the root file system"),
    ],
)
def test_the_last_step_of_a_log(log: str, step: str) -> None:
    assert progress(log) == step
