# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest
from ansible_collections.tripleo.cloud.plugins.module_utils._errors import TripleoError
from ansible_collections.tripleo.cloud.plugins.module_utils._run import config, serve, service

PATH = "b" * 64
PLACE = f"10.0.0.10/{PATH}"
KEY = "ssh-ed25519 " + "A" * 68


def test_switch_leaves_nothing_that_writes(tmp_path: Path) -> None:
    state, served = os.fspath(tmp_path), tmp_path / "serve" / PLACE
    served.mkdir(parents=True)
    image = tmp_path / "disk.zst"
    image.write_text("image")
    os.link(image, served / "disk.zst")
    for name in ("boot.ipxe", "kernel", "ramdisk", "deploy.json", "manifest.json"):
        (served / name).write_text("deploy")
    assert not serve.switched(state, PLACE)
    for _number in range(2):
        serve.switch(state, PLACE)
        assert sorted(os.listdir(served)) == ["boot.ipxe", "go"]
        assert serve.switched(state, PLACE)
    assert (served / "boot.ipxe").read_text().startswith("#!ipxe")
    assert "kernel" not in (served / "boot.ipxe").read_text()
    assert all(path.stat().st_mode & 0o777 == 0o644 for path in served.iterdir())
    assert image.read_text() == "image"


def test_pin_replaces_the_keys_of_these_addresses_only(tmp_path: Path) -> None:
    state, other = os.fspath(tmp_path), KEY.replace("A", "B")
    serve.pin(state, "cloud", ["10.0.0.1", "10.0.0.2"], KEY)
    serve.pin(state, "cloud", ["10.0.0.3"], KEY)
    serve.pin(state, "cloud", ["10.0.0.1"], other)
    known = tmp_path / "secrets" / "cloud" / "known_hosts"
    assert known.read_text().splitlines() == [f"10.0.0.2 {KEY}", f"10.0.0.3 {KEY}", f"10.0.0.1 {other}"]
    assert known.stat().st_mode & 0o777 == 0o600


def test_remove(tmp_path: Path) -> None:
    for name in ("serve", "reports"):
        for place in (PLACE, f"10.0.0.11/{PATH}", f"10.0.0.11/{'c' * 64}"):
            (tmp_path / name / place).mkdir(parents=True)
            (tmp_path / name / place / "file").touch()
    for _number in range(2):
        serve.remove(os.fspath(tmp_path), PLACE)
        serve.remove(os.fspath(tmp_path), f"10.0.0.11/{PATH}")
    for name in ("serve", "reports"):
        assert [path.name for path in (tmp_path / name).iterdir()] == ["10.0.0.11"]
        assert [path.name for path in (tmp_path / name / "10.0.0.11").iterdir()] == ["c" * 64]


def test_an_earlier_version_s_tree_goes(tmp_path: Path) -> None:
    for name in ("serve", "reports"):
        for place in (PATH, PLACE, ".making-1"):
            (tmp_path / name / place).mkdir(parents=True)
    serve.remove_unaddressed(os.fspath(tmp_path))
    for name in ("serve", "reports"):
        assert sorted(path.name for path in (tmp_path / name).iterdir()) == [".making-1", "10.0.0.10"]


def test_programs_are_shown_to_these_addresses_only(tmp_path: Path) -> None:
    for addresses in ({"10.0.0.1", "10.0.0.2"}, {"10.0.0.2", "10.0.0.3"}, set[str]()):
        for _number in range(2):
            serve.show_programs(os.fspath(tmp_path), addresses)
        assert {path.name for path in (tmp_path / "run" / "tftp").iterdir()} == addresses
        assert {os.readlink(path) for path in (tmp_path / "run" / "tftp").iterdir()} <= {"/usr/lib/ipxe"}


@pytest.mark.parametrize(
    ("line", "authority"),
    [("listen 10.1.2.1:8088 backlog=4096;", "10.1.2.1:8088"), ("  listen [fd00::1]:80;", "[fd00::1]:80")],
)
def test_boot_server(tmp_path: Path, line: str, authority: str) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc" / "dnsmasq.conf").touch()
    with pytest.raises(TripleoError, match=r"nginx.conf does not exist.*tripleo\.cloud\.prepare"):
        config.boot_server(os.fspath(tmp_path))
    (tmp_path / "etc" / "nginx.conf").write_text(f"server {{\n    {line}\n}}\n")
    assert config.boot_server(os.fspath(tmp_path)).authority == authority
    (tmp_path / "etc" / "nginx.conf").write_text("server {}\n")
    with pytest.raises(TripleoError, match="listen ADDRESS:PORT"):
        config.boot_server(os.fspath(tmp_path))


def reap(child: service.Service) -> None:
    pid = child.pid
    assert pid is not None
    assert child.ended(pid, os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))


def test_a_service_that_keeps_ending_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(service.time, "monotonic", lambda: now[0])
    child = service.Service("dnsmasq", ["sh", "-c", "echo port 67 failed: in use; exit 2"], os.fspath(tmp_path / "log"))
    for _number in range(service.MOST_STARTS):
        child.start()
        reap(child)
        child.start()
        assert child.pid is None, "it is not started again at once"
        now[0] += 1.1
    child.start()
    assert child.report()["error"] == "dnsmasq ended 3 times: port 67 failed: in use"
    child.stop()
    child.start()
    assert child.pid is not None
    reap(child)


def test_a_service_that_ends_once_is_started_again(tmp_path: Path) -> None:
    child = service.Service("nginx", ["sleep", "60"], os.fspath(tmp_path / "log"))
    child.start()
    first = child.pid
    assert first is not None
    os.kill(first, signal.SIGKILL)
    reap(child)
    time.sleep(1.1)
    child.start()
    assert child.pid is not None
    assert child.pid != first
    assert not child.ended(1, 0)
    child.stop()
    assert (child.pid, child.report()["ready"]) == (None, False)


def test_a_service_is_ready_when_it_says_so(tmp_path: Path) -> None:
    pid_file = tmp_path / "pid"
    pid_file.write_text("1\n")
    child = service.Service("nginx", ["sleep", "60"], os.fspath(tmp_path / "log"), pid_file=os.fspath(pid_file))
    child.start()
    assert not pid_file.exists()
    assert not child.report()["ready"]
    pid_file.write_text(f"{child.pid}\n")
    assert child.report()["ready"]
    child.stop()


def test_a_program_that_is_missing(tmp_path: Path) -> None:
    child = service.Service("nginx", ["/nonexistent/nginx"], os.fspath(tmp_path / "log"))
    child.start()
    assert "nginx cannot be started" in child.error
