# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""os-apply-config beside ours: generated metadata and templates, and look-ups of keys of every type."""

from __future__ import annotations

import random
from functools import partial

import pytest
from generate import KEYS, NAMES, document, template, value
from side_by_side import Machine, Pair, Result

TREES, TEMPLATES, WILD = 100, 40, 400
LOOKUPS = 1500
TYPES = ["int", "default", "netaddress", "netdevice", "dsn", "swiftdevices", "username", "raw", "no-such-type"]
VALUES = [
    "12", "0", "-1", "1.5", "", "a b", "a_b", "a-b", "10.0.0.1", "fe80::1", "eth0.12", "a\n", "12\n", "a\n\n", "ä",
    "a.b",
    "http://x:80/y", "mysql://u:p@h/db?charset=utf8", "sqlite:///x", "mysql://h", "rabbit://u@h:5672/", "://",
    "a://b@c",
    "r1z1-192.0.2.1:%PORT%/d1", "r1z1-192.0.2.1:%PORT%/d1,r1z2-h:%PORT%/d2,", "r1z1-a b:%PORT%/d", "r1z1-a/b:%PORT%/d",
    "mysql://u:p@ss@h/db", "user-1", "1user", "u@h", 0, 7, -7, 1.5, 1e22, True, False, None, [], [1], {},
    {"a": 1}, ["a b"],
]  # fmt: skip


def _tree(machine: Machine, context: object, templates: list[str]) -> None:
    machine.document("/mnt/m.json", context)
    for number, text in enumerate(templates):
        machine.write(f"/mnt/t/f{number}", text)
    machine.run("os-apply-config", "-t", "/mnt/t", "-o", "/mnt/o", "-m", "/mnt/m.json", "--fallback-metadata")
    machine.snapshot("/mnt/o")


def _compare_trees(pair: Pair, seed: int, trees: int) -> None:
    source = random.Random(seed)
    for _number in range(trees):
        context = document(source)
        templates = [template(source) for _template in range(TEMPLATES)]
        [result, files] = pair.same(partial(_tree, context=context, templates=templates), "trees of templates")
        assert result.status == 0 and len(files) == TEMPLATES
        pair.counts["pairs of metadata and template"] += TEMPLATES


def test_a_sample_of_generated_templates(pair: Pair) -> None:
    _compare_trees(pair, 1, 5)


@pytest.mark.slow
def test_generated_templates(pair: Pair) -> None:
    _compare_trees(pair, 2, TREES)


@pytest.mark.slow
def test_generated_wild_templates(pair: Pair) -> None:
    source = random.Random(5)
    refused = 0
    for _number in range(WILD):
        context, text = document(source), template(source, wild=True)
        [result, _files] = pair.same(partial(_tree, context=context, templates=[text]), "wild templates")
        refused += result.status
    assert WILD / 10 < refused < WILD


@pytest.mark.slow
def test_every_type_with_every_value(pair: Pair) -> None:
    def scenario(machine: Machine) -> None:
        machine.document("/mnt/m.json", {"v": {str(number): entry for number, entry in enumerate(VALUES)}})
        for number in range(len(VALUES)):
            for name in TYPES:
                machine.run("os-apply-config", "-m", "/mnt/m.json", "--key", f"v.{number}", "--type", name)
        for name in TYPES:
            machine.run("os-apply-config", "-m", "/mnt/m.json", "--key", "none", "--type", name, "--key-default", "a b")

    pair.same(scenario, "look-ups of keys")


def _look_up(machine: Machine, documents: list[object], options: list[list[str]]) -> None:
    for number, content in enumerate(documents):
        machine.document(f"/mnt/{number}", content)
    for chosen in options:
        machine.run("os-apply-config", *chosen, "-m", "/mnt/0", "/mnt/1", "/mnt/2")


@pytest.mark.slow
def test_generated_lookups(pair: Pair) -> None:
    source = random.Random(3)
    for _round in range(30):
        documents = [document(source) for _document in range(3)]
        options = []
        for _lookup in range(LOOKUPS // 30):
            key = source.choice([*NAMES, ".".join(source.choice([*KEYS, "0", "-1", "1"]) for _step in range(3))]) or "a"
            chosen = (
                ["--boolean-key", key] if source.random() < 0.2 else ["--key", key, "--type", source.choice(TYPES[:-1])]
            )
            default = source.choice([[], [], ["--key-default", ""], ["--key-default", "x y"]])
            options.append([*chosen, *default])

        pair.same(partial(_look_up, documents=documents, options=options), "look-ups of keys")


def _merge(machine: Machine, documents: list[object]) -> None:
    names = [f"/mnt/{number}" for number in range(len(documents))]
    machine.write("/mnt/t/all", "{{.}}")
    machine.write("/mnt/t/as-json", "#!/bin/sh\ncat\n", 0o755)
    for name, content in zip(names, documents, strict=True):
        machine.document(name, content)
    machine.run("os-apply-config", "-t", "/mnt/t", "-o", "/mnt/o", "-m", *names[1:], "--fallback-metadata", names[0])
    machine.snapshot("/mnt/o")
    machine.run("os-apply-config", "-t", "/mnt/t", "-o", "/mnt/p", "-s", "a", "-m", *names)
    machine.snapshot("/mnt/p")


@pytest.mark.slow
def test_generated_merges(pair: Pair) -> None:
    source = random.Random(4)
    for _round in range(60):
        documents = [value(source) for _document in range(4)]
        pair.same(partial(_merge, documents=documents), "merges of documents")


@pytest.mark.slow
def test_the_zipapp_itself(pair: Pair) -> None:
    """Real processes, not forks of a prepared one."""

    def scenario(machine: Machine) -> None:
        machine.document("/mnt/m.json", {"a": {"b": [1, "ü"]}})
        machine.write("/mnt/t/etc/x", "{{a.b}}\n")
        for arguments in (
            ["--key", "a.b.1", "--type", "raw"],
            ["--key", "none"],
            ["-t", "/mnt/t", "-o", "/mnt/o"],
            ["-x"],
        ):
            machine.run("/usr/bin/env", "os-apply-config", "-m", "/mnt/m.json", *arguments)
        machine.run("/usr/bin/env", "os-config-applier", "--print-templates")
        machine.snapshot("/mnt/o")

    found = pair.same(scenario, "real processes")
    assert isinstance(found[0], Result) and found[0].output == "ü\n".encode()
