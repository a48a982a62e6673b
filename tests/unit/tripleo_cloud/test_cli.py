# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

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
