# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The refresh scripts of the elements: what they do to a machine, and that they do nothing twice.

They run below a folder that takes the place of /etc, /var, /sys and /usr/local; the commands that would change this
machine are programs that write down how they were called.
"""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

ELEMENTS = Path(__file__).resolve().parents[3] / "elements"
SYSTEMCTL = """#!/bin/bash -eu
state=$ROOT/units
mkdir -p "$state"
case $1 in
    is-enabled) [ -e "$state/${@: -1}.enabled" ]; exit ;;
    is-active) [ -e "$state/${@: -1}.active" ]; exit ;;
esac
echo "systemctl $*" >> "$ROOT/calls"
case "$1 ${2:-}" in
    "enable "*) touch "$state/$2.enabled" ;;
    "start "*|"restart "*) touch "$state/$2.active" ;;
    "disable --now") rm -f "$state/$3".* ;;
esac
"""
# Writes down its arguments, its input, and the part of its environment that matters.
RECORDER = """#!/bin/bash -eu
echo "${0##*/} $*" >> "$ROOT/calls"
cat >> "$ROOT/input" < /dev/stdin
env | grep '^OS_BOOTSTRAP' > "$ROOT/environment" || true
"""


class Machine:
    """A folder in the place of a machine's root, with the commands of the element services."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.changed = root / "changed"
        for folder in ("etc/tripleo", "etc/keystone", "var/lib/tripleo", "usr/local/sbin", "bin", "run"):
            (root / folder).mkdir(parents=True)
        self.changed.write_text("")
        self.command("systemctl", SYSTEMCTL)
        self.script(ELEMENTS / "services/install.d/50-services")

    def command(self, name: str, text: str = RECORDER) -> None:
        path = self.root / "bin" / name
        path.write_text(text)
        path.chmod(0o755)

    def text(self, script: Path) -> str:
        found = re.sub(r"(?<![\w/.}])/(etc|root|var|sys|usr/local)\b", rf"{self.root}/\1", script.read_text())
        return found.replace("-o keystone -g keystone ", "").replace("chown keystone:keystone", "true")

    def script(self, script: Path | str, *arguments: str) -> str:
        """Run a script of an element; return what it changed, and forget it."""
        path = self.root / "script"
        path.write_text(self.text(ELEMENTS / script))
        self.run("bash", "-eu", str(path), *arguments)
        calls = self.root / "calls"
        seen = calls.read_text() if calls.exists() else ""
        calls.unlink(missing_ok=True)
        return seen

    def run(self, *command: str) -> None:
        path = f"{self.root}/bin:{self.root}/usr/local/sbin:{os.environ['PATH']}"
        environment = {**os.environ, "PATH": path, "ROOT": str(self.root), "NODE_AGENT_CHANGED": str(self.changed)}
        done = subprocess.run(
            command, env=environment, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL
        )
        assert done.returncode == 0, done.stderr

    def file(self, path: str, text: str) -> None:
        target = self.root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)

    def has_changed(self, *paths: str) -> None:
        self.changed.write_text("".join(f"{self.root}{path}\n" for path in paths))


@pytest.fixture()
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


CHRONY = "chrony/os-refresh-config/post-configure.d/50-chrony"


def test_a_listed_service_starts_once_and_comes_back_after_a_reset(machine: Machine) -> None:
    machine.file("etc/tripleo/services", "chrony\n")
    assert machine.script(CHRONY).splitlines() == [
        "systemctl enable chrony",
        "systemctl reset-failed chrony",
        "systemctl start chrony",
    ]
    assert machine.script(CHRONY) == ""


def test_a_service_restarts_for_its_own_files_only(machine: Machine) -> None:
    machine.file("etc/tripleo/services", "chrony\n")
    machine.script(CHRONY)
    machine.has_changed("/etc/hosts", "/root/.my.cnf")
    assert machine.script(CHRONY) == ""
    machine.has_changed("/etc/hosts", "/etc/chrony/chrony.conf")
    assert machine.script(CHRONY).endswith("systemctl restart chrony\n")


def test_a_service_that_is_not_listed_stops_and_stays_off(machine: Machine) -> None:
    machine.file("etc/tripleo/services", "chrony\n")
    machine.script(CHRONY)
    machine.file("etc/tripleo/services", "mariadb\n")
    assert machine.script(CHRONY) == "systemctl disable --now chrony\n"
    assert machine.script(CHRONY) == ""


def test_the_root_password_goes_to_the_database_by_its_input(machine: Machine) -> None:
    script = "mysql-common/os-refresh-config/post-configure.d/40-mysql-root-password"
    machine.command("mariadb")
    machine.command("os-apply-config", "#!/bin/bash\nprintf '%s' 'it'\"'\"'s\\new'\n")
    machine.run("systemctl", "start", "mariadb")
    (machine.root / "calls").unlink()
    assert machine.script(script) == ""
    machine.has_changed("/root/.my.cnf")
    assert machine.script(script) == "mariadb \n"
    assert "USING PASSWORD('it\\'s\\\\new') OR unix_socket" in (machine.root / "input").read_text()


def test_keys_are_those_of_the_metadata(machine: Machine) -> None:
    script = "keystone/os-refresh-config/configure.d/30-keystone-keys"
    machine.file("etc/tripleo/keystone-keys", "fernet-keys 0 aaa\nfernet-keys 1 bbb\ncredential-keys 0 ccc\n")
    folder = machine.root / "etc/keystone/fernet-keys"
    machine.file("etc/keystone/fernet-keys/7", "old")
    machine.script(script)
    assert {path.name: path.read_text() for path in folder.iterdir()} == {"0": "aaa", "1": "bbb"}
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o600}
    kept = (folder / "0").stat().st_ino
    (folder / "1").write_text("drift")
    machine.script(script)
    assert ((folder / "0").stat().st_ino, (folder / "1").read_text()) == (kept, "bbb")
    machine.file("etc/tripleo/keystone-keys", "")
    machine.script(script)
    assert (folder / "0").read_text() == "aaa"


def test_a_key_cannot_leave_its_repository(machine: Machine) -> None:
    machine.file("etc/tripleo/keystone-keys", "fernet-keys ../x aaa\n")
    with pytest.raises(AssertionError, match="is no number"):
        machine.script("keystone/os-refresh-config/configure.d/30-keystone-keys")


def test_keystone_is_bootstrapped_once_for_each_account_and_never_by_arguments(machine: Machine) -> None:
    script = "keystone/os-refresh-config/migration.d/50-keystone"
    machine.command("runuser")
    machine.command("dpkg-query", "#!/bin/bash\nprintf 2:22\n")
    machine.file("etc/tripleo/services", "keystone\n")
    machine.file("var/lib/tripleo/schema/keystone", "2:22")
    machine.file("etc/tripleo/keystone-bootstrap", "OS_BOOTSTRAP_USERNAME=admin\nOS_BOOTSTRAP_PASSWORD=p w=$x\n")
    assert machine.script(script) == "runuser -u keystone -- keystone-manage bootstrap\n"
    assert "OS_BOOTSTRAP_PASSWORD=p w=$x\n" in (machine.root / "environment").read_text()
    assert machine.script(script) == ""
    machine.file("etc/tripleo/keystone-bootstrap", "OS_BOOTSTRAP_PASSWORD=other\n")
    assert machine.script(script) == "runuser -u keystone -- keystone-manage bootstrap\n"
    machine.file("var/lib/tripleo/schema/keystone", "2:21")
    assert machine.script(script) == "runuser -u keystone -- keystone-manage db_sync\n"
    assert machine.script(script) == ""


def test_the_virtual_address_is_up_now_and_at_the_next_boot(machine: Machine) -> None:
    script = "control-vip/os-refresh-config/configure.d/30-control-vip"
    machine.command(
        "ip",
        '#!/bin/bash -eu\nif [ "$1" = -o ]; then echo "2: eth0    inet 192.0.2.10/24 scope global eth0"; exit; fi\n'
        'echo "ip $*" >> "$ROOT/calls"\n',
    )
    machine.file("sys/class/net/eth0/address", "52:54:00:00:00:01\n")
    machine.file("etc/tripleo/control-vip", "192.0.2.10 192.0.2.20/32\n")
    settings = machine.root / "etc/systemd/network/50-tripleo-525400000001.network.d/control-vip.conf"
    for _number in range(2):
        assert machine.script(script) == "ip address replace 192.0.2.20/32 dev eth0\n"
        assert settings.read_text() == "[Network]\nAddress=192.0.2.20/32\n"
    machine.file("etc/tripleo/control-vip", "192.0.2.10 192.0.2.21/32\n")
    assert machine.script(script) == (
        "ip address del 192.0.2.20/32 dev eth0\nip address replace 192.0.2.21/32 dev eth0\n"
    )
    assert settings.read_text() == "[Network]\nAddress=192.0.2.21/32\n"
    machine.file("etc/systemd/network/40-tripleo-eth0.network", "")
    machine.script(script)
    settings = machine.root / "etc/systemd/network/40-tripleo-eth0.network.d/control-vip.conf"
    assert settings.read_text() == "[Network]\nAddress=192.0.2.21/32\n"
    machine.file("etc/tripleo/control-vip", "")
    assert machine.script(script) == ""
