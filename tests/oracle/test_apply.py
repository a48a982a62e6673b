# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""os-apply-config beside ours: control files, what is written and how, executable templates, options, documents."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest
from side_by_side import Machine, Pair, Result

pytestmark = pytest.mark.slow
APPLY = ("os-apply-config", "-t", "/mnt/t", "-o", "/mnt/o", "-m", "/mnt/m.json")
CONTROLS = [
    "", "# nothing\n", "---\n", "{}", "mode: 0600", "mode: 0o600", "mode: 600", "mode: '0600'", 'mode: "0600"',
    "mode: 384",
    "mode: 0x180", "mode: 0b110000000", "mode: 0755 # note", "mode: 0777", "mode: 01000", "mode: -1", "mode: 0",
    "mode: 00",
    "mode:", "mode: ~", "mode: null", "mode: yes", "mode: 6_00", "mode: 0_6_0_0", "mode: 0600.0", "mode:0600",
    "mode : 0600",
    '"mode": 0600', "'mode': 0640", "mode:   0640   ", "---\nmode: 0640\n", "---\nmode: 0640\n...\n",
    "mode: 0600\nmode: 0644",
    "{mode: 0600}", '{"mode": 384}', "{mode: 0600, owner: daemon}",
    '{"mode": 384, "allow_empty": false, "group": "daemon"}',
    "{\n  mode: 0600,\n  owner: 1\n}", "{mode: 0600,}", "{'owner': 'daemon', \"group\": \"daemon\"}", "{mode}",
    "{mode:0600}", '{"mode":384}', "{mode: 0600, nothing: 1}", "{mode: {}}", "{mode: [1]}", "# c\n---\n{mode: 0600}",
    "  mode: 0600\n  owner: 1", "  mode: 0600\nowner: 1",
    "mode: 0600\n...\nowner: 1", "{mode: 0600} x", "{owner: 'dae,mon'}",
    "{mode: 0600",
    "- mode: 0600", "mode", "a string", "[]", "[mode]", "1", "mode: [0600]", "mode: {a: 1}", "  mode: 0600",
    "\tmode: 0600",
    "mode: 0600\n  owner: 1", "mode: >\n  0600", "mode: *a",
    "owner: daemon", "owner: 1", "owner: 0", "owner: '1'", "owner: no-such-user", "owner: 65533", "owner: -1",
    "owner: 4294967296",
    "owner: true", "owner: null", "owner: [1]", "owner: 1.5", "owner: ''", "group: daemon", "group: 1",
    "group: no-such-group",
    "group: 99999", "group: -1", "group: off", "owner: daemon\ngroup: daemon\nmode: 0640\nallow_empty: no\n",
    "allow_empty: no", "allow_empty: false", "allow_empty: False", "allow_empty: FALSE", "allow_empty: off",
    "allow_empty: n",
    "allow_empty: 'no'", "allow_empty: 0", "allow_empty: null", "allow_empty: yes", "allow_empty: fAlse",
    "owner: daemon # x",
    "owner: 'daemon' # x", "owner: dae mon", "nothing: 1", "Mode: 0600", "mode: 0600\r\n", "1: 2",
    "mode: 0600\n---\nmode: 0644",
    "# c\n\nmode: 0600\n\n# d\n", "mode: +0600",
    "mode: 0600\nowner", "owner: @daemon", "owner: daemon: x", "owner: 'dae''mon'", "mode: 08", "mode: 0o17",
    "owner: \"daemon",
]  # fmt: skip


@pytest.mark.parametrize("there", [False, True])
@pytest.mark.parametrize("body", ["", "text\n"])
def test_control_files(pair: Pair, there: bool, body: str) -> None:
    def scenario(machine: Machine, control: str) -> None:
        machine.document("/mnt/m.json", {})
        machine.write("/mnt/t/f", body)
        machine.write("/mnt/t/f.oac", control)
        if there:
            machine.write("/mnt/o/f", "old", 0o640, owner=(2, 2))
        machine.run(*APPLY)
        machine.snapshot("/mnt/o")

    different = [control for control in CONTROLS if not _holds(pair, partial(scenario, control=control))]
    assert not different, "\n".join(map(repr, different))


REFUSED = [
    "mode:\n  0600", "mode: &a 0600", "mode: !!int 0600", "? mode\n: 0600", "mode: 1:30", "%YAML 1.1\n---\nmode: 0600",
    'owner: "dae\\x6don"',
]  # fmt: skip


@pytest.mark.parametrize("control", REFUSED)
def test_other_forms_of_yaml_are_refused(pair: Pair, control: str) -> None:
    def prepare(machine: Machine) -> None:
        machine.write("/mnt/t/etc/a/f.oac", control)

    original, ours = pair.differ("control-yaml", partial(_writes, prepare=prepare))
    assert (original[0].status, ours[0].status) == (0, 1)
    assert "/mnt/t/etc/a/f.oac" in ours[0].errors and ours[1] == {}


def _holds(pair: Pair, scenario: Callable[[Machine], None]) -> bool:
    try:
        pair.same(scenario, "control files", errors="none")
    except AssertionError:
        return False
    return True


def _writes(machine: Machine, prepare: Callable[[Machine], None], *options: str, runs: int = 1) -> None:
    machine.document("/mnt/m.json", {"a": "value"})
    machine.write("/mnt/t/etc/a/f", "a = {{a}}\n")
    prepare(machine)
    for _run in range(runs):
        machine.run(*APPLY, *options)
    machine.snapshot("/mnt/o")


TARGET = "/mnt/o/etc/a/f"
PLACES: dict[str, Callable[[Machine], None]] = {
    "absent": lambda machine: None,
    "folder there": lambda machine: machine.write("/mnt/o/etc/a", kind="folder", mode=0o711, owner=(3, 3)),
    "mode kept": lambda machine: machine.write(TARGET, "old", 0o600),
    "no bits": lambda machine: machine.write(TARGET, "old", 0),
    "owner kept": lambda machine: machine.write(TARGET, "old", 0o644, owner=(12, 34)),
    "set-uid lost": lambda machine: machine.write(TARGET, "old", 0o4755),
    "set-gid lost": lambda machine: machine.write(TARGET, "old", 0o2755),
    "sticky kept": lambda machine: machine.write(TARGET, "old", 0o1755),
    "set-uid of the same lost": lambda machine: machine.write(TARGET, "a = value\n", 0o4755),
    "link": lambda machine: (machine.write("/mnt/o/x", "x", 0o750), machine.write(TARGET, "/mnt/o/x", kind="link")),
    "relative link": lambda machine: (machine.write("/mnt/o/x", "x"), machine.write(TARGET, "../../x", kind="link")),
    "link to the same": lambda machine: (
        machine.write("/mnt/o/x", "a = value\n", 0o600), machine.write(TARGET, "/mnt/o/x", kind="link")
    ),
    "dangling link": lambda machine: machine.write(TARGET, "/mnt/nothing", kind="link"),
    "link to itself": lambda machine: machine.write(TARGET, TARGET, kind="link"),
    "link to a device": lambda machine: machine.write(TARGET, "/dev/null", kind="link"),
    "linked folder": lambda machine: (
        machine.write("/mnt/o/real", kind="folder"), machine.write("/mnt/o/etc", "real", kind="link")
    ),
    "dangling folder": lambda machine: machine.write("/mnt/o/etc", "/mnt/nothing", kind="link"),
    "fifo": lambda machine: machine.write(TARGET, kind="fifo", mode=0o600),
    "file as folder": lambda machine: machine.write("/mnt/o/etc", "x"),
    "empty file": lambda machine: machine.write("/mnt/t/etc/a/f", ""),
    "deep": lambda machine: machine.write("/mnt/t/a/b/c/d/e", "{{a}}"),
    "dot files": lambda machine: (machine.write("/mnt/t/.x", "1"), machine.write("/mnt/t/.y/f~", "{{a}}")),
    "empty folder": lambda machine: machine.write("/mnt/t/none", kind="folder"),
    "linked template": lambda machine: machine.write("/mnt/t/l", "/mnt/t/etc/a/f", kind="link"),
    "linked folder of templates": lambda machine: machine.write("/mnt/t/l", "/mnt/t/etc", kind="link"),
    "linked template that hangs": lambda machine: machine.write("/mnt/t/l", "/mnt/nothing", kind="link"),
    "control alone": lambda machine: machine.write("/mnt/t/x.oac", "mode: 0600"),
    "control that is a folder": lambda machine: machine.write("/mnt/t/etc/a/f.oac", kind="folder"),
    "linked control": lambda machine: (
        machine.write("/mnt/c", "mode: 0600"), machine.write("/mnt/t/etc/a/f.oac", "/mnt/c", kind="link")
    ),
    "not UTF-8": lambda machine: machine.write("/mnt/t/x", b"\xff{{a}}"),
    "BOM": lambda machine: machine.write("/mnt/t/x", b"\xef\xbb\xbf{{a}}"),
    "CR": lambda machine: machine.write("/mnt/t/x", b"a\rb\r\nc\n\r{{a}}\r"),
    "NUL": lambda machine: machine.write("/mnt/t/x", b"\0{{a}}\0"),
    "vanished template": lambda machine: machine.write("/mnt/o/old", "stays"),
    "file that must go": lambda machine: (
        machine.write("/mnt/t/g", "{{none}}"), machine.write("/mnt/t/g.oac", "allow_empty: no"),
        machine.write("/mnt/o/g")
    ),
    "file that must not come": lambda machine: (
        machine.write("/mnt/t/g", "{{none}}"), machine.write("/mnt/t/g.oac", "allow_empty: no")
    ),
    "blank is content": lambda machine: (
        machine.write("/mnt/t/g", "{{none}} "), machine.write("/mnt/t/g.oac", "allow_empty: no")
    ),
    "link that must go": lambda machine: (
        machine.write("/mnt/t/g", ""), machine.write("/mnt/t/g.oac", "allow_empty: no"), machine.write("/mnt/o/x", "x"),
        machine.write("/mnt/o/g", "x", kind="link"),
    ),
    "dangling link that must go": lambda machine: (
        machine.write("/mnt/t/g", ""), machine.write("/mnt/t/g.oac", "allow_empty: no"),
        machine.write("/mnt/o/g", "x", kind="link"),
    ),
    "executable": lambda machine: machine.script("/mnt/t/x", "tr a-z A-Z"),
    "executable by its group": lambda machine: machine.script("/mnt/t/x", "echo ran", 0o610),
    "executable that fails": lambda machine: machine.script("/mnt/t/x", "echo out; echo err >&2; exit 3"),
    "executable that talks": lambda machine: machine.script("/mnt/t/x", "echo out; echo err >&2"),
    "executable that reads nothing": lambda machine: (
        machine.document("/mnt/m.json", {"a": "x" * 300_000}), machine.script("/mnt/t/x", "exec 0<&-; echo {{a}}")
    ),
    "executable that is killed": lambda machine: machine.script("/mnt/t/x", "kill -9 $$"),
    "executable that prints no text": lambda machine: machine.script("/mnt/t/x", r"printf '\xff'"),
    "executable without interpreter": lambda machine: machine.write("/mnt/t/x", "echo x", 0o755),
    "executable of another world": lambda machine: machine.write("/mnt/t/x", "#!/no/such/program\n", 0o755),
    "executable with CR": lambda machine: machine.script("/mnt/t/x", r"printf 'a\r\nb'"),
    "executable that is empty": lambda machine: (
        machine.script("/mnt/t/x", "true"), machine.write("/mnt/t/x.oac", "allow_empty: false")
    ),
    "executable that looks round": lambda machine: machine.script("/mnt/t/x", "pwd; echo $HOME; env | grep -c ."),
    "nothing to render": lambda machine: machine.remove("/mnt/t"),
    "templates are a file": lambda machine: (machine.remove("/mnt/t"), machine.write("/mnt/t", "x")),
}  # fmt: skip


@pytest.mark.parametrize("place", PLACES)
def test_places(pair: Pair, place: str) -> None:
    pair.same(partial(_writes, prepare=PLACES[place]), "places of files")


def test_an_error_in_one_template_leaves_every_file(pair: Pair) -> None:
    def prepare(machine: Machine) -> None:
        machine.write(TARGET, "old")
        machine.write("/mnt/t/zz", "{{#a}}{{/b}}")

    [result, files] = pair.same(partial(_writes, prepare=prepare), "places of files")
    assert result.status == 1 and files[TARGET][3] == b"old"


@pytest.mark.parametrize("umask", ["000", "022", "077", "777"])
def test_umask(pair: Pair, umask: str) -> None:
    def scenario(machine: Machine) -> None:
        machine.document("/mnt/m.json", {"a": 1})
        machine.write("/mnt/t/new/folder/f", "{{a}}")
        machine.run("/bin/sh", "-c", f'umask {umask}; exec "$@"', "sh", *APPLY)
        machine.snapshot("/mnt/o")

    pair.same(scenario, "places of files")


OPTIONS = [
    ["--print-templates"], ["--print-templates", "-t", "/x"], ["--print-templates", "--key", "a"], ["--version"],
    ["-v"],
    ["--validate"], ["-s", "d"], ["-s", "d.e"], ["-s", "d.none"], ["-s", "l.0"], ["-s", "a"], ["-s", ""],
    ["-s", "d", "--key", "e"],
    ["--key", "a", "--boolean-key", "t"], ["--boolean-key", "t"], ["--boolean-key", "f"], ["--boolean-key", "a"],
    ["--boolean-key", "none"], ["--boolean-key", "zero"], ["--boolean-key", "word"], ["--boolean-key", "nil"],
    ["--key", "nil"], ["--key", "nil", "--key-default", ""], ["--key", "l.-1"], ["--key", "l.9"], ["--key", "l.x"],
    ["--key", "d"],
    ["--key", "d", "--type", "raw"], ["--key", "l", "--type", "raw"], ["--key", "t"], ["--key", "."],
    ["--key", "d."], ["--key", ".d"],
    ["--key", "a", "--type", "int"], ["--key", "none", "--type", "nope", "--key-default", "x"],
    ["--key", "a", "--type", "nope"],
    ["--no-such-option"], ["positional"], ["--key"], ["--ke", "a"], ["--boolean", "t"], ["--templ", "/mnt/t"],
    ["--o", "/mnt/x"],
    ["-o", "relative"], ["-o", "/mnt/new/root"], ["-t", "/mnt/t/"], ["-t", "../t"], ["-t", "/none"],
    ["--fallback-metadata", "/mnt/low.json", "--key", "low"], ["--fallback-metadata", "/mnt/low.json", "--key", "a"],
    ["--os-config-files", "/mnt/m.json", "--key", "a"],
]  # fmt: skip


def test_options(pair: Pair) -> None:
    def scenario(machine: Machine, options: list[str]) -> None:
        content = {"a": "x", "d": {"e": {"f": 1}, "e2": "text"}, "l": [1, {"m": 2}], "t": True, "f": False, "zero": 0}
        machine.document("/mnt/m.json", {**content, "word": "true", "nil": None})
        machine.document("/mnt/low.json", {"low": "1", "a": "lowest"})
        machine.write("/mnt/t/f", "{{a}}{{e2}}{{f}}\n")
        machine.run("os-apply-config", "-t", "/mnt/t", "-o", "/mnt/o", "-m", "/mnt/m.json", *options)
        machine.snapshot("/mnt")

    for options in OPTIONS:
        pair.same(partial(scenario, options=options), "options")


DOCUMENTS: list[str | bytes] = [
    "{}", "[]", "null", '""', "0", "1", "true", '"text"', '[{"a": 1}]', "", " ", "{", "{'a': 1}", '{"a": 1,}',
    '{"a": NaN}',
    '{"a": Infinity, "b": -Infinity}', '{"a": 1, "a": 2}', b"\xef\xbb\xbf{}", b'{"a": "\xff"}',
    '{"a": "\\ud83d\\ude00"}',
    '{"a": "\\u0000"}', '{"a": 1e400}', '{"a": 123456789012345678901234567890}', '{"a": 0.1e1}', '{"a": -0}',
    '{"a": "x"} trailing',
    '\r\n{"a":\r\n1}\r\n', '{"a": "tab\there"}', '{"a": 1 /* no */}', "{\"a\": {\"b\": null}}",
    '{"\\u00fc": "\\u00fc"}',
]  # fmt: skip


def test_documents(pair: Pair) -> None:
    def scenario(machine: Machine, text: str | bytes) -> None:
        machine.write("/mnt/t/f", "{{.}} {{a}} {{a.b}} {{ü}}\n")
        machine.script("/mnt/t/g", "cat")
        machine.write("/mnt/m.json", text)
        machine.document("/mnt/n.json", {"n": 1})
        machine.run(*APPLY, "/mnt/n.json")
        machine.snapshot("/mnt/o")
        for name in ("raw", "default"):
            machine.run("os-apply-config", "-m", "/mnt/m.json", "--key", "a", "--type", name)

    for text in DOCUMENTS:
        pair.same(partial(scenario, text=text), "documents")


LISTS = [
    "[]", '["/mnt/m.json"]', '["/mnt/m.json", "/mnt/n.json"]', '["/none", null, "", 0, "/mnt/m.json"]', "{}", "",
    "null", '"x"',
    "[", '["/mnt"]', '["relative.json"]', "0", '["/mnt/bad.json"]',
]  # fmt: skip
PATHS = [
    None,
    "",
    "/mnt/m.json",
    "/mnt/m.json:/mnt/n.json",
    "/mnt/n.json:/none:/mnt/m.json",
    "/mnt",
    ":",
    "/mnt/bad.json",
]


def _found(
    machine: Machine, listed: str | None, old: str | None, environment: dict[str, str], options: list[str]
) -> None:
    machine.document("/mnt/m.json", {"a": "m"})
    machine.document("/mnt/n.json", {"a": "n"})
    machine.document("/mnt/home/relative.json", {"a": "relative"})
    machine.write("/mnt/bad.json", "{")
    for path, text in (("/var/lib", listed), ("/run", old)):
        if text is not None:
            machine.write(f"{path}/os-collect-config/os_config_files.json", text)
    machine.write("/mnt/t/f", "{{a}}")
    machine.write("/usr/libexec/os-apply-config/templates/f", "{{a}}{{a}}")
    machine.run("os-apply-config", "--key", "a", env=environment)
    machine.run("os-apply-config", "-o", "/mnt/o", *options, env=environment)
    machine.snapshot("/mnt/o")


def test_where_documents_come_from(pair: Pair) -> None:
    cases = [(listed, None, {}, []) for listed in LISTS]
    cases += [(None, listed, {}, []) for listed in [None, *LISTS]]
    cases += [("[]", '["/mnt/n.json"]', {}, []), ('["/mnt/m.json"]', '["/mnt/n.json"]', {}, [])]
    cases += [('["/mnt/m.json"]', None, {"OS_CONFIG_FILES": path}, []) for path in PATHS if path is not None]
    for path in ("", "/none", "/mnt/list.json"):
        cases.append(('["/mnt/m.json"]', '["/mnt/n.json"]', {"OS_CONFIG_FILES_PATH": path}, []))
    for given in (
        [],
        ["-m"],
        ["-m", "/mnt/n.json"],
        ["--os-config-files", "/var/lib/os-collect-config/os_config_files.json"],
    ):
        cases.append(('["/mnt/m.json"]', None, {}, given))
    for templates in ("", "/mnt/t", "/none"):
        cases.append(('["/mnt/m.json"]', None, {"OS_CONFIG_APPLIER_TEMPLATES": templates}, []))
    for listed, old, environment, options in cases:
        scenario = partial(_found, listed=listed, old=old, environment=environment, options=options)
        pair.same(scenario, "places of documents")


def test_old_folders_of_templates(pair: Pair) -> None:
    new = "/usr/libexec/os-apply-config/templates"
    old = ["/opt/stack/os-apply-config/templates", "/opt/stack/os-config-applier/templates"]

    def scenario(machine: Machine, folders: list[str]) -> None:
        for folder in folders:
            machine.write(f"{folder}/f", folder)
        machine.run("os-apply-config", "--print-templates")
        machine.run("os-apply-config", "-o", "/mnt/o", "-m", "/none")
        machine.snapshot("/mnt/o")

    for folders in ([], [new], [old[0]], [old[1]], old, [new, old[0]], [new, *old]):
        pair.same(partial(scenario, folders=folders), "places of templates")


def test_the_log_of_root(pair: Pair) -> None:
    def scenario(machine: Machine) -> None:
        machine.document("/mnt/m.json", {"a": 1})
        machine.write("/mnt/t/f", "{{a}}")
        machine.run(*APPLY)

    found = pair.same(scenario, "places of files")
    logs = [machine.read("/var/log/os-apply-config.log") for machine in (pair.original, pair.ours)]
    assert all(log and log.count(b"\n") == 2 for log in logs), logs
    assert isinstance(found[0], Result) and "writing /mnt/o/f" in found[0].errors
