# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The agent as it ships: the zipapp, run by the system's Python without any library beside it."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest
from agent_node import SYSTEM_PYTHON, Node
from ansible_collections.tripleo.cloud.plugins.module_utils import _node_zipapp
from ansible_collections.tripleo.cloud.plugins.module_utils._errors import TripleoError
from ansible_collections.tripleo.cloud.plugins.module_utils._node.mask import MASK

DOCUMENT = {"mysql": {"root-password": "Heifs23jk3"}, "on": True, "count": 7, "list": [{"a": 1}]}


@pytest.fixture(scope="module")
def zipapp(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("agent") / "node-agent.pyz"
    _node_zipapp.build_zipapp(str(path))
    return path


@pytest.fixture
def node(tmp_path: Path, zipapp: Path) -> Node:
    return Node(tmp_path, zipapp)


def test_equal_inputs_give_equal_bytes(zipapp: Path, tmp_path: Path) -> None:
    _node_zipapp.build_zipapp(str(tmp_path / "again"))
    assert (tmp_path / "again").read_bytes() == zipapp.read_bytes()
    assert os.access(zipapp, os.X_OK)


def test_a_folder_without_an_agent_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TripleoError, match="holds no node agent"):
        _node_zipapp.build_zipapp(str(tmp_path / "x"), str(tmp_path))


def test_a_push_from_nothing_to_healthy_and_again(node: Node) -> None:
    assert node.status() == {
        "digest": "", "documents": [], "stage": "booted", "step": "", "cause": "", "drift": [], "services": {},
        "generation": 0, "rolled_back": False, "healthy": False,
        "progress": {
            "stage": "booted", "step": "metadata", "detail": "waiting for documents", "cause": "", "running": False,
            "seconds": 0.0,
        },
    }  # fmt: skip
    script = 'os-apply-config --key count --type int > "$NODE_AGENT_STATE/count"\ncat "$NODE_AGENT_CHANGED"'
    node.write("phases/post-configure.d/50-a", f"#!/bin/bash -eu\n{script}\n", 0o755)
    node.write("phases/health.d/app", "#!/bin/sh\nexit 0\n", 0o755)
    code, lines = node.push(DOCUMENT)
    assert code == 0
    result = {
        "changed": True,
        "digest": "d1",
        "healthy": True,
        "services": {"app": True},
        "failed": None,
        "outputs": {},
        "generation": 1,
        "rolled_back": False,
    }
    assert lines[-1] == {"result": result}
    assert [line.get("script") for line in lines[:-1] if line["status"] == "done"] == [
        None, None, "50-a", None, "app", None,
    ]  # fmt: skip
    assert (node.folder / "root/etc/app.conf").read_text() == "password = Heifs23jk3\n"
    assert (node.folder / "state/count").read_text() == "7\n"
    assert f"{node.folder}/root/etc/app.conf" in (node.folder / "log").read_text()
    assert (node.folder / "state/changed").read_text() == ""
    for path in ("metadata.json", "all.json", "all.json.last", "all.json.orig", "os_config_files.json"):
        assert (node.folder / "cache" / path).stat().st_mode & 0o777 == 0o600
    assert json.loads((node.folder / "cache/os_config_files.json").read_text()) == [
        f"{node.folder}/cache/metadata.json",
        f"{node.folder}/cache/all.json",
    ]
    status = node.status()
    assert (status["digest"], status["stage"], status["healthy"]) == ("d1", "healthy", True)
    assert node.push(DOCUMENT)[1][-1]["result"]["changed"] is False


def test_status_sees_drift_a_sick_service_and_documents_that_were_touched(node: Node) -> None:
    check = node.write("phases/health.d/app", "#!/bin/sh\nexit 0\n", 0o755)
    node.push(DOCUMENT)
    file = node.folder / "root/etc/app.conf"
    file.write_text("changed by hand\n")
    assert (node.status()["drift"], node.status()["healthy"]) == ([str(file)], False)
    assert node.push(DOCUMENT)[1][-1]["result"]["changed"] is True
    check.write_text("#!/bin/sh\nexit 1\n")
    assert (node.status()["services"], node.status()["healthy"]) == ({"app": False}, False)
    (node.folder / "cache/all.json").write_text("{}")
    assert node.status()["digest"] == ""


def test_a_failing_script_is_told_with_its_output_but_without_secrets(node: Node) -> None:
    node.write("phases/post-configure.d/50-a", "#!/bin/sh\necho because Heifs23jk3 >&2\nexit 3\n", 0o755)
    code, lines = node.push(DOCUMENT)
    result = lines[-1]["result"]
    assert code == 1 and result["healthy"] is False
    assert result["failed"]["step"] == "post-configure.d/50-a"
    assert "status 3: because" in result["failed"]["cause"]
    assert "Heifs23jk3" not in json.dumps(lines) and MASK in json.dumps(lines)
    status = node.status()
    assert (status["stage"], status["healthy"], status["step"]) == ("booted", False, "post-configure.d/50-a")
    assert str(node.folder / "root/etc/app.conf") in (node.folder / "state/changed").read_text()


def test_what_changed_is_still_told_after_a_run_that_failed(node: Node) -> None:
    script = node.write("phases/post-configure.d/50-a", "#!/bin/sh\nexit 3\n", 0o755)
    node.push(DOCUMENT)
    script.write_text('#!/bin/sh\ncp "$NODE_AGENT_CHANGED" "$NODE_AGENT_STATE/seen"\n')
    assert node.push(DOCUMENT)[0] == 0
    assert (node.folder / "state/seen").read_text() == f"{node.folder}/root/etc/app.conf\n"


def test_a_service_that_does_not_become_healthy(node: Node) -> None:
    node.write("phases/health.d/app", "#!/bin/sh\necho not yet\nexit 1\n", 0o755)
    code, lines = node.push(DOCUMENT, health=0.1)
    assert code == 1
    assert lines[-2]["output"] == "not yet\n"
    cause = "health checks fail: app; no earlier generation was good, so its files stay"
    assert lines[-1]["result"]["failed"] == {"step": "health", "cause": cause}
    assert (node.status()["stage"], node.status()["digest"]) == ("configured", "d1")


def test_a_broken_template_leaves_the_old_file(node: Node) -> None:
    node.push(DOCUMENT)
    node.write("templates/etc/broken", "{{#a}}{{/b}}")
    code, lines = node.push({**DOCUMENT, "mysql": {"root-password": "another1"}}, "d2")
    assert code == 1
    assert "etc/broken" in lines[-1]["result"]["failed"]["cause"]
    assert (node.folder / "root/etc/app.conf").read_text() == "password = Heifs23jk3\n"


@pytest.mark.parametrize("name", ["../x", "a/b", ".hidden", "", "a\nb", "x" * 300])
def test_names_that_cannot_be_files_are_refused(node: Node, name: str) -> None:
    done = node.run("push", given=json.dumps({"documents": [[name, {}]], "digest": "d"}))
    assert done.returncode == 1
    assert "cannot be a file name" in done.stdout
    assert not (node.folder / "cache").exists()


@pytest.mark.parametrize("given", ["", "{", "[]", '{"documents": 7}', '{"documents": []}', "[" * 100000])
def test_payloads_that_are_none(node: Node, given: str) -> None:
    done = node.run("push", given=given)
    assert done.returncode == 1
    assert done.stderr.startswith("node-agent: ") and "Traceback" not in done.stderr


def test_a_run_goes_on_when_its_caller_goes_away(node: Node) -> None:
    node.write("phases/configure.d/10-a", "#!/bin/sh\nsleep 0.5\n", 0o755)
    command = [SYSTEM_PYTHON, "-IS", str(node.zipapp), "push"]
    process = subprocess.Popen(command, env=node.environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdin and process.stdout
    process.stdin.write(json.dumps({"documents": [["all", DOCUMENT]], "digest": "d1"}))
    process.stdin.close()
    process.stdout.readline()
    process.stdout.close()
    assert process.wait() == 0
    assert node.status()["healthy"] is True


def test_os_apply_config(node: Node) -> None:
    document = node.write("m.json", json.dumps(DOCUMENT))
    cases: list[tuple[list[str], int, str]] = [
        (["--key", "count"], 0, "7\n"),
        (["--key", "list"], 1, ""),
        (["--key", "list", "--type", "raw"], 0, '[{"a": 1}]\n'),
        (["--key", "list.0.a", "--type", "int"], 0, "1\n"),
        (["--key", "no"], 1, ""),
        (["--key", "no", "--key-default", ""], 0, "\n"),
        (["--key", ""], 2, ""),
        (["--boolean-key", "on"], 0, ""),
        (["--boolean-key", "count"], 255, ""),
        (["--print-templates"], 0, f"{node.folder}/templates\n"),
        (["--validate"], 0, ""),
    ]
    for arguments, code, output in cases:
        done = node.run("os-apply-config", "-m", str(document), *arguments)
        assert (done.returncode, done.stdout) == (code, output), arguments
    assert not (node.folder / "root").exists()
    assert node.run("os-apply-config", "-m", str(document)).returncode == 0
    assert (node.folder / "root/etc/app.conf").read_text() == "password = Heifs23jk3\n"


def test_a_link_named_os_apply_config_is_that_program(node: Node) -> None:
    (node.folder / "os-apply-config").symlink_to(node.zipapp)
    command = [str(node.folder / "os-apply-config"), "--print-templates"]
    done = subprocess.run(command, env=node.environment, capture_output=True, text=True, check=True)
    assert done.stdout == f"{node.folder}/templates\n"


def test_the_first_boot_settles_tells_systemd_and_goes_on_without_a_deployment_cloud(node: Node) -> None:
    base = node.folder / "drive/openstack/latest"
    base.mkdir(parents=True)
    (base / "meta_data.json").write_text(json.dumps({"uuid": "u", "public_keys": {"a": "ssh-ed25519 AA"}}))
    node.environment["NODE_AGENT_CONFIG_DRIVE"] = str(node.folder / "drive")
    done = node.run("boot")
    assert (done.returncode, done.stderr) == (0, "")
    assert (node.folder / "root/root/.ssh/authorized_keys").read_text() == "ssh-ed25519 AA\n"


def test_usage(node: Node) -> None:
    for arguments in ([], ["nonsense"], ["push", "extra"]):
        done = node.run(*arguments)
        assert done.returncode == 2 and done.stderr.startswith("usage: node-agent")


def test_the_last_good_files_come_back_with_the_documents_of_then(node: Node) -> None:
    look = "os-apply-config --key count --type int --key-default none"
    node.write("phases/post-configure.d/50-a", f'#!/bin/bash -eu\n{look} >> "$NODE_AGENT_STATE/told"\n', 0o755)
    node.write("phases/migration.d/10-db", "#!/bin/sh\n", 0o755)
    healthy = f'[ "$({look})" = 7 ] && grep -q Heifs {node.folder}/root/etc/app.conf'
    node.write("phases/health.d/app", f"#!/bin/sh\n{healthy}\n", 0o755)
    node.write("templates/etc/added", "{{added}}")
    file, told = node.folder / "root/etc/app.conf", node.folder / "state/told"
    assert node.push(DOCUMENT)[0] == 0

    code, lines = node.push({"mysql": {"root-password": "broken99"}, "added": "x"}, "d2", health=0.1)
    result = lines[-1]["result"]
    assert (code, result["healthy"], result["rolled_back"], result["generation"]) == (1, False, True, 1)
    assert result["failed"] == {
        "step": "health",
        "cause": "health checks fail: app; the files of generation 1 are back; what cannot go back: migration.d/10-db",
    }
    assert file.read_text() == "password = Heifs23jk3\n" and (node.folder / "root/etc/added").read_text() == ""
    assert told.read_text() == "7\nnone\n7\n"
    assert (node.folder / "state/changed").read_text() == ""
    assert "broken99" not in json.dumps(lines)
    status = node.status()
    assert (status["rolled_back"], status["generation"], status["healthy"], status["drift"]) == (True, 1, False, [])
    file.write_text("by hand\n")
    assert node.status()["drift"] == [str(file)]

    # A run that does not come to the swap does not forget it, and one that does is a new generation.
    node.write("templates/etc/bad", "{{#a}}{{/b}}")
    assert node.push(DOCUMENT, "d3")[0] == 1
    assert (node.status()["rolled_back"], node.status()["generation"]) == (True, 1)
    (node.folder / "templates/etc/bad").unlink()
    result = node.push(DOCUMENT, "d3")[1][-1]["result"]
    assert (result["healthy"], result["rolled_back"], result["generation"]) == (True, False, 3)


def test_a_failing_script_after_the_swap_brings_the_files_back_and_one_before_it_leaves_them(node: Node) -> None:
    node.write("phases/post-configure.d/50-a", f"#!/bin/sh\ngrep -q Heifs {node.folder}/root/etc/app.conf\n", 0o755)
    node.push(DOCUMENT)
    result = node.push({"mysql": {"root-password": "broken99"}}, "d2")[1][-1]["result"]
    assert result["failed"]["cause"].endswith("; the files of generation 1 are back")
    node.write("phases/pre-configure.d/50-a", "#!/bin/sh\nexit 1\n", 0o755)
    result = node.push({"mysql": {"root-password": "broken98"}}, "d3")[1][-1]["result"]
    assert "are back" not in result["failed"]["cause"] and result["rolled_back"] is True
    assert (node.folder / "root/etc/app.conf").read_text() == "password = Heifs23jk3\n"


def test_files_that_do_not_pass_their_check_are_not_swapped_in(node: Node) -> None:
    node.push(DOCUMENT)
    check = node.write("templates/etc/app.conf.check", '#!/bin/sh\ngrep Heifs "$1" || { cat "$1"; exit 4; }\n', 0o755)
    result = node.push({"mysql": {"root-password": "broken99"}}, "d2")[1][-1]["result"]
    assert f"etc/app.conf does not pass its check ({check}): status 4: password = " in result["failed"]["cause"]
    assert "broken99" not in json.dumps(result) and result["rolled_back"] is False
    assert (node.folder / "root/etc/app.conf").read_text() == "password = Heifs23jk3\n"


def test_the_limit_of_a_health_check(node: Node) -> None:
    node.write("phases/health.d/app", "#!/bin/sh\nsleep 30\n", 0o755)
    limit = node.write("phases/health.d/app.yaml", "timeout: 1\n")
    lines = node.push(DOCUMENT, health=0.1)[1]
    assert lines[-2]["output"].startswith("killed at the time limit")
    limit.write_text("timeout: soon\n")
    cause = node.push(DOCUMENT, health=0.1)[1][-1]["result"]["failed"]["cause"]
    assert "app.yaml: timeout 'soon' is not a number of seconds" in cause
