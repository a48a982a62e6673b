# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from pathlib import Path

import pytest

from tripleo_cloud import cli


@pytest.mark.parametrize(
    ("argv", "expected"),
    [
        (["demo"], ["rack_up", "prepare", "deploy", "setup", "initialize"]),
        (["site"], ["prepare", "deploy", "setup", "initialize"]),
        (["rack", "down"], ["rack_down"]),
        (["deploy", "--check", "--diff"], ["deploy"]),
    ],
)
def test_a_command_runs_its_playbooks(argv: list[str], expected: list[str]) -> None:
    assert cli.playbooks(cli.parser().parse_args(argv)) == expected


def test_values_of_extra_variables_are_yaml() -> None:
    assert cli.variables(["a=1", "b=[x, y]", "c=k=v", "d="]) == {"a": 1, "b": ["x", "y"], "c": "k=v", "d": None}


@pytest.mark.parametrize("argv", [[], ["fly"], ["rack"], ["deploy", "-e", "no-equals-sign"]])
def test_wrong_usage_ends_with_2(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(argv)
    assert ended.value.code == 2
    assert "usage: tripleo" in capsys.readouterr().err


def test_tags_choose_the_phases_of_a_site() -> None:
    assert cli.playbooks(cli.parse(["site", "--tags", "plan,push"])) == ["deploy", "setup"]
    assert cli.playbooks(cli.parse(["site", "-t", "register", "-t", "prove"])) == ["prepare", "initialize"]


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["deploy", "--tags", "bot"], "has no step bot; it has plan, boot"),
        (["setup", "--tags", "boot"], "has no step boot; it has push"),
        (["deploy", "--only", ""], "has a blank name"),
        (["deploy", "--only", "a,,b"], "has a blank name"),
        (["initialize", "--only", "a"], "unrecognized arguments: --only"),
        (["deploy", "-e", "@/nowhere/given.yml"], "there is no file /nowhere/given.yml"),
        (["deploy", "--vault-password-file", "/nowhere/password"], "there is no file /nowhere/password"),
        (["deploy", "--vault-id", "mine@prompt"], "take --ask-vault-pass"),
        (["deploy", "-e", "{broken"], "-e takes NAME=VALUE"),
    ],
)
def test_what_means_nothing_is_refused(argv: list[str], words: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(argv)
    assert ended.value.code == 2
    assert words in capsys.readouterr().err


def test_options_become_arguments_of_ansible(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "given.yml").write_text("a: 1\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("getpass.getpass", lambda prompt: f"answer to {prompt}")
    argv = ["deploy", "-C", "-D", "-vvv", "-t", "plan", "--only", "a, b", "--only", "c", "-e", "@given.yml", "-J", "-K"]
    deployment = cli.deployment_of(cli.parse([*argv, "-e", '{"x": [1]}', "-e", "y=2", "--vault-id", "one@given.yml"]))
    assert deployment.only == ("a", "b", "c")
    assert deployment.variables == {"x": [1], "y": 2}
    assert deployment.arguments == [
        "--check", "--diff", "-e", f"@{tmp_path}/given.yml", "--vault-id", "one@given.yml", "-vvv",
        "--ask-vault-pass", "--ask-become-pass", "--tags", "plan",
    ]  # fmt: skip
    assert list(deployment.passwords.values()) == ["answer to Vault password: ", "answer to BECOME password: "]
