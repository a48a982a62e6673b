# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What system tests share: a rack of two small machines, and for single faults one with images built once."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from rack_tools import MACHINES, boot_sector
from whole_run import ROOT, WholeRun

from tripleo_cloud.rack import Rack

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


@pytest.fixture(scope="module")
def rack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rack]:
    folder = tmp_path_factory.mktemp("rack")
    (folder / "rack.yml").write_text(MACHINES)
    with Rack(folder / "rack.yml", folder / "state") as rack:
        for name, serial in (("a1", "TESTA1"), ("a2", "TESTA2")):
            with rack.disk(name, serial).open("r+b") as disk:
                disk.write(boot_sector())
        yield rack


@pytest.fixture
def off_again(rack: Rack) -> Iterator[None]:
    yield
    for name in ("a1", "a2"):
        rack.power(name, "off")


@pytest.fixture(params=[17, 3], ids=["suite17", "suite3"])
def suite(request: pytest.FixtureRequest) -> int:
    return int(request.param)
