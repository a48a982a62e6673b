# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What system tests of single faults share: two machines on a rack of their own, images built once."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from whole_run import ROOT, WholeRun

PAIR = {
    "tripleo_stack": "pair",
    "tripleo_template": str(ROOT / "tests" / "system" / "pair" / "pair.yml"),
    "tripleo_environments": [],
    "tripleo_flavors": {"any": {"vcpus": 1, "ram": 512, "disk": 4}},
    "tripleo_images": [{"name": "compute-image", "elements": ["debian-base", "rack-boot", "node-agent", "chrony"]}],
}


@pytest.fixture
def pair() -> Iterator[WholeRun]:
    """A fresh rack with its two machines off and registered, and images in the store; the stack has two servers.

    Images are built by the first test that asks, and stay in .cache/pair.
    """
    run = WholeRun(ROOT / ".cache" / "pair", PAIR)
    run.play("rack_down")
    run.must_play("rack_up")
    run.must_play("prepare")
    yield run
    run.must_play("rack_down")
