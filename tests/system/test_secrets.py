# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Secrets stay where they belong: what two BMCs and two empty images can show of it; a whole run shows the rest."""

from __future__ import annotations

import base64
import gzip
import json
import os
import re
import subprocess
import time
import urllib.parse
from collections.abc import Iterator
from pathlib import Path

import ansible_runner
import pytest
import yaml
import zstandard
from desk import Desk
from leaks import Samples, Search, private_files, secret, secrets_of_state
from whole_run import BIN, ROOT

PASSWORD = "pa$$ \"w0rd'%/+&"
GIVEN = "gi$$ \"v3n0'%/+&"
VAULTED = "no template shows this"
# What somebody may have left out the quotes of.
ODD = "s3cret-but-odd"

KNOWN = Search(
    [secret("password", PASSWORD), secret("given", GIVEN), secret("vaulted", VAULTED), secret("odd", ODD)],
)


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    made = Desk(tmp_path_factory.mktemp("desk"), "127.79.7")
    made.password = PASSWORD
    made.begin()
    made.must_play("prepare", "--tags", "register")
    yield made
    made.end()


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The home directory, where Ansible is told to keep its temporary files."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("ANSIBLE_KEEP_REMOTE_FILES", "1")
    return tmp_path


def options(desk: Desk, folder: Path, variables: dict[str, object]) -> list[str]:
    """Arguments that give variables in a vault and open it; the files are no part of what is searched."""
    folder.mkdir(exist_ok=True)
    (folder / "given.yml").write_text(desk.vaulted(json.dumps(variables)))
    (folder / "vault-password").write_text(desk.vault_password)
    return ["--vault-password-file", str(folder / "vault-password"), "-e", f"@{folder / 'given.yml'}"]


@pytest.mark.parametrize(
    "written",
    [
        PASSWORD,
        base64.b64encode(PASSWORD.encode()).decode(),
        base64.b64encode(b"x" + PASSWORD.encode() + b"tail").decode(),
        base64.urlsafe_b64encode(b"xy" + PASSWORD.encode() + b"tail").decode(),
        urllib.parse.quote_plus(PASSWORD),
        urllib.parse.quote(PASSWORD, safe="").lower(),
        json.dumps({"a": PASSWORD}),
        json.dumps(json.dumps([PASSWORD])),
        str([PASSWORD]),
        yaml.safe_dump({"a": PASSWORD}),
        "echo " + "'" + PASSWORD.replace("'", "'\"'\"'") + "'",
        PASSWORD.encode().hex().upper(),
    ],
)
def test_a_secret_is_found_in_every_form(written: str, tmp_path: Path) -> None:
    assert KNOWN.text(f"before{written}behind\n", "text")
    assert "pa$$" not in str(KNOWN.text(written, "text"))
    (tmp_path / "plain").write_text(written)
    (tmp_path / "gzip").write_bytes(gzip.compress(written.encode()))
    (tmp_path / "zstd").write_bytes(zstandard.compress(bytes(1 << 20) + written.encode()))
    with (tmp_path / "disk").open("wb") as disk:
        disk.seek(1 << 30)
        disk.write(written.encode())
        disk.truncate(2 << 30)
    found = {Path(leak.place.removesuffix(" (unpacked)")).name for leak in KNOWN.files([tmp_path])}
    assert found == {"plain", "gzip", "zstd", "disk"}


def test_a_permitted_file_must_be_private(tmp_path: Path) -> None:
    path = tmp_path / "values.json"
    path.write_text(PASSWORD)
    path.chmod(0o640)
    with pytest.raises(AssertionError, match="others may read"):
        KNOWN.files([tmp_path], [path])
    path.chmod(0o600)
    assert KNOWN.files([tmp_path], [path]) == []


@pytest.mark.parametrize("how", ["argument", "environment"])
def test_processes_of_other_namespaces_are_seen(how: str) -> None:
    words = ["sleep", "0.5"] if how == "environment" else ["sh", "-c", "sleep 0.5", PASSWORD]
    with Samples() as samples:
        time.sleep(0.3)
        environment = {**os.environ, "SECRET": PASSWORD} if how == "environment" else None
        subprocess.run(["unshare", "--pid", "--fork", "--mount-proc", *words], env=environment, check=True)
    leaks = samples.leaks(KNOWN)
    assert leaks and {leak.secret for leak in leaks} == {"password"}


@pytest.mark.parametrize("vault", ["whole file", "values"])
def test_nothing_shows_the_secrets_that_an_operator_gives(desk: Desk, home: Path, tmp_path: Path, vault: str) -> None:
    nodes = desk.nodes_file.read_text()
    value = "".join(f"\n          {line}" for line in desk.vaulted(PASSWORD).splitlines())
    by_value = re.sub("password: .*", lambda _matched: f"password: !vault |{value}", nodes)
    desk.nodes_file.write_text(desk.vaulted(nodes) if vault == "whole file" else by_value)
    arguments = options(desk, tmp_path / "own", {"tripleo_parameters": {"MysqlRootPassword": GIVEN}})
    (tmp_path / "runner").mkdir()
    try:
        with Samples() as samples:
            desk.must_play("prepare", "--tags", "register", "-vvv", "--diff", *arguments)
            desk.must_play("deploy", "--tags", "plan", "-vvv", "--check", "--diff", *arguments)
            desk.must_play("deploy", "--tags", "plan", "-vvv", "--diff", *arguments)
            run = ansible_runner.run(
                private_data_dir=str(tmp_path / "runner"),
                project_dir=str(ROOT),
                inventory=str(desk.inventory),
                playbook="tripleo.cloud.deploy",
                cmdline=" ".join(["--tags plan", *arguments]),
                verbosity=3,
                envvars={"PATH": f"{BIN}:{os.environ['PATH']}"},
                quiet=True,
            )
        assert run.status == "successful"
    finally:
        desk.nodes_file.write_text(nodes)
    # The values did arrive.
    values = json.loads((desk.state / "secrets" / "workload-cloud" / "values.json").read_text())
    assert GIVEN in values.values()
    everything = Search(
        [secret("password", PASSWORD), secret("given", GIVEN), secret("vault", desk.vault_password),
         *secrets_of_state(desk.state)],
    )  # fmt: skip
    assert samples.leaks(everything) == []
    places = [desk.state, desk.log, home / ".ansible", tmp_path / "runner"]
    assert everything.files(places, private_files(desk.state)) == []


NODES = {
    "another user": ("username: admin", "username: nobody"),
    "a tag": ("password: .*", f"password: !{ODD}"),
}


@pytest.mark.parametrize("fault", NODES)
def test_a_wrong_nodes_file_is_not_quoted(desk: Desk, home: Path, tmp_path: Path, fault: str) -> None:
    nodes = desk.nodes_file.read_text()
    wrong = re.sub(NODES[fault][0], lambda _matched: NODES[fault][1], nodes)
    assert wrong != nodes
    desk.nodes_file.write_text(wrong)
    try:
        done = desk.play("prepare", "--tags", "register", "-vvv", *options(desk, tmp_path / "own", {}))
    finally:
        desk.nodes_file.write_text(nodes)
    assert done.rc != 0
    assert KNOWN.text(done.output, "output") + KNOWN.files([home / ".ansible"]) == []


VARIABLES = {
    "no such filter": {"MysqlRootPassword": "{{ vaulted | no_such_filter }}"},
    "a filter that fails": {"MysqlRootPassword": "{{ vaulted | from_json }}"},
    "an attribute": {"MysqlRootPassword": "{{ vaulted.password.root }}"},
    "no mapping": VAULTED,
    "a list": [VAULTED],
}


@pytest.mark.parametrize("fault", VARIABLES)
def test_a_wrong_parameter_is_not_quoted(desk: Desk, home: Path, tmp_path: Path, fault: str) -> None:
    arguments = options(desk, tmp_path / "own", {"tripleo_parameters": VARIABLES[fault], "vaulted": VAULTED})
    done = desk.play("deploy", "--tags", "plan", "-vvv", *arguments)
    assert done.rc != 0
    assert KNOWN.text(done.output, "output") + KNOWN.files([home / ".ansible"]) == []


def test_a_wrong_environment_file_is_not_quoted(desk: Desk, home: Path, tmp_path: Path) -> None:
    environment = tmp_path / "environment.yaml"
    environment.write_text(desk.vaulted(f"parameters:\n  MysqlRootPassword: !{ODD}\n"))
    arguments = options(desk, tmp_path / "own", {"tripleo_environments": [str(environment)]})
    done = desk.play("deploy", "--tags", "plan", "-vvv", *arguments)
    assert done.rc != 0 and "environment.yaml:" in done.output
    assert KNOWN.text(done.output, "output") + KNOWN.files([home / ".ansible"]) == []


def test_passwords_of_services_travel_privately(desk: Desk, home: Path, tmp_path: Path) -> None:
    arguments = options(desk, tmp_path / "own", {"tripleo_services": {"glance": {"password": VAULTED}}})
    done = desk.must_play("initialize", "--check", "--tags", "identity", "-vvv", *arguments)
    assert "private.json" in done.output
    assert KNOWN.text(done.output, "output") + KNOWN.files([home / ".ansible"]) == []
