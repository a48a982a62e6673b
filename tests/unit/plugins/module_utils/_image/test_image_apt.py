# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.tripleo.cloud.plugins.module_utils._image import apt
from ansible_collections.tripleo.cloud.plugins.module_utils._image.errors import ImageError

DEB822 = """\
Types: deb deb-src
# a comment
URIs: http://deb.debian.org/debian
Suites: bookworm bookworm-updates
Components: main
 contrib
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg

Types: deb
URIs: https://deb.nodesource.com/node_20.x
Suites: nodistro
Components: main

Types: deb-src
URIs: http://deb.debian.org/debian
Suites: bookworm
Components: main

Types: deb
Enabled: no
URIs: http://off.example/debian
Suites: bookworm
Components: main
"""

LIST = """\
# deb http://old.example/debian bookworm main
deb http://mirror.example/debian bookworm main non-free-firmware # ours
deb [arch=amd64 trusted=yes] http://mirror.example/security bookworm-security main
deb-src http://mirror.example/debian bookworm main
deb https://packages.cloud.google.com/apt cloud-sdk-bookworm main
deb [signed-by=/etc/apt/keyrings/docker.asc] https://download.docker.com/linux/debian bookworm stable
deb [signed-by=/etc/apt/keyrings/vendor.asc] https://vendor.example/debian bookworm main
deb http://mirror.example/debian trixie main
deb cdrom:[Debian]/ bookworm main
deb file:/srv/mirror bookworm main
"""


def test_deb822_entries() -> None:
    assert apt.of_release(apt.parse_sources(DEB822), "bookworm") == (
        "deb http://deb.debian.org/debian bookworm main contrib",
        "deb http://deb.debian.org/debian bookworm-updates main contrib",
    )


def test_one_line_entries_of_other_archives_and_releases_are_left_out() -> None:
    assert apt.of_release(apt.parse_list(LIST), "bookworm") == (
        "deb http://mirror.example/debian bookworm main non-free-firmware",
        "deb [trusted=yes] http://mirror.example/security bookworm-security main",
    )


def test_the_host_files_are_read_in_order_and_each_entry_counts_once(tmp_path: Path) -> None:
    parts = tmp_path / "sources.list.d"
    parts.mkdir()
    (tmp_path / "sources.list").write_text("deb http://a.example/debian bookworm main\n")
    (parts / "b.list").write_text("deb http://a.example/debian bookworm main\ndeb http://b.example/d bookworm main\n")
    (parts / "debian.sources").write_text(DEB822)
    (parts / "ignored.save").write_text("deb http://c.example/debian bookworm main\n")
    assert apt.host_lines("bookworm", str(tmp_path))[:2] == (
        "deb http://a.example/debian bookworm main",
        "deb http://b.example/d bookworm main",
    )
    assert not any("c.example" in line for line in apt.host_lines("bookworm", str(tmp_path)))


def test_a_host_of_another_release_is_told_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "sources.list").write_text("deb http://a.example/debian trixie main\n")
    with pytest.raises(ImageError, match=r"no Debian archive of bookworm.*tripleo_apt_lines"):
        apt.host_lines("bookworm", str(tmp_path))


@pytest.mark.parametrize("url", ["https://me:secret@mirror.example/debian", "https://token@mirror.example/debian"])
def test_a_password_in_an_archive_is_refused_and_not_quoted(url: str) -> None:
    good = "deb https://mirror.example/debian bookworm main"
    assert apt.without_password([good]) == (good,)
    with pytest.raises(ImageError, match="apt line 2") as error:
        apt.without_password([good, f"deb {url} bookworm main"])
    assert "@" not in str(error.value)
