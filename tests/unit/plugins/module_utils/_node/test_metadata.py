# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documents: reading, merging, look-ups, digests, limits."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.tripleo.cloud.plugins.module_utils._node import apply, metadata, values
from ansible_collections.tripleo.cloud.plugins.module_utils._node.errors import NodeError

MERGES = [
    ([{"a": 1}, {"b": 2}], {"a": 1, "b": 2}),
    ([{"a": {"b": 1, "c": 2}}, {"a": {"c": 3}}], {"a": {"b": 1, "c": 3}}),
    ([{"a": {"b": 1}}, {"a": 2}], {"a": 2}),
    ([{"a": 1}, {"a": {"b": 2}}], {"a": {"b": 2}}),
    ([{"a": [1, 2]}, {"a": [3]}], {"a": [3]}),
    ([{"a": {"b": 1}}, {"a": None}], {"a": None}),
    ([{"a": 1}, [], "", None, 7, ["x"], "text"], {"a": 1}),
    ([], {}),
]


@pytest.mark.parametrize(("documents", "expected"), MERGES)
def test_merge(documents: list[Any], expected: dict[str, Any]) -> None:
    assert metadata.merge(documents) == expected


def test_merge_leaves_its_documents_and_the_order_of_keys() -> None:
    first, second = {"z": {"a": 1}}, {"b": 1, "z": {"c": 2}}
    assert json.dumps(metadata.merge([first, second])) == '{"z": {"a": 1, "c": 2}, "b": 1}'
    assert first == {"z": {"a": 1}}


LOOKUPS = [
    ("a.b", 1),
    ("l.0", "x"),
    ("l.-1", "y"),
    ("l.2", None),
    ("l.x", None),
    ("n", None),
    ("n.a", None),
    ("s.a", None),
    ("", None),
    ("a..b", None),
    ("d.e", None),
]


@pytest.mark.parametrize(("key", "expected"), LOOKUPS)
def test_lookup(key: str, expected: Any) -> None:
    document = {"a": {"b": 1}, "l": ["x", "y"], "n": None, "s": "text", "d.e": 1}
    assert metadata.lookup(document, key) == expected


TYPES = [
    ("int", "123", True),
    ("int", "-1", False),
    ("int", "1.5", False),
    ("int", "", False),
    ("int", "12\n", True),
    ("default", "foo_1", True),
    ("default", "foo-1", False),
    ("default", "", True),
    ("netaddress", "sqlite:///x", True),
    ("netaddress", "192.0.2.1", True),
    ("netaddress", "a b", False),
    ("dsn", "mysql://root:pw@host/db?x=y", True),
    ("dsn", "sqlite:///blah", True),
    ("dsn", "lorem", False),
    ("swiftdevices", "r1z1-192.0.2.1:%PORT%/d1,r1z2-192.0.2.2:%PORT%/d2", True),
    ("swiftdevices", "", False),
    ("username", "guest-1", True),
    ("username", "a b", False),
    ("raw", "any thing", True),
    ("default", True, True),
    ("default", [1], False),
]


@pytest.mark.parametrize(("type_name", "value", "accepted"), TYPES)
def test_types(type_name: str, value: Any, accepted: bool) -> None:
    if accepted:
        values.format_value(value, type_name)
    else:
        with pytest.raises(NodeError, match="cannot interpret"):
            values.format_value(value, type_name)


@pytest.mark.parametrize(
    ("value", "text"),
    [({"a": "é"}, '{"a": "\\u00e9"}'), ([1, True], "[1, true]"), (False, "false"), ("é", "é"), (7, "7")],
)
def test_how_a_value_is_printed(value: Any, text: str) -> None:
    assert values.format_value(value, "raw") == text


def test_unknown_type() -> None:
    with pytest.raises(NodeError, match="unknown type: x"):
        values.format_value("a", "x")


BAD_DOCUMENTS = [
    (b"", "not valid JSON"),
    (b"{", "not valid JSON"),
    (b"\xef\xbb\xbf{}", "not valid JSON"),
    (b'{"a": "\xff"}', "not UTF-8"),
    (b"[" * 101 + b"]" * 101, "100 levels"),
    (b"[" * 100000 + b"]" * 100000, "100 levels"),
]


@pytest.mark.parametrize(("text", "message"), BAD_DOCUMENTS)
def test_bad_documents_name_their_file(tmp_path: Path, text: bytes, message: str) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(text)
    with pytest.raises(NodeError, match=message) as caught:
        metadata.read_files([str(path)])
    assert str(path) in str(caught.value)


def test_a_document_at_the_limit_of_depth() -> None:
    metadata.parse(b"[" * 100 + b"7" + b"]" * 100, "x")


def test_a_document_beyond_the_limit_of_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metadata, "MAX_BYTES", 10)
    (tmp_path / "a.json").write_text('{"a": "0123456789"}')
    with pytest.raises(NodeError, match="limit of a document is 10"):
        metadata.read_files([str(tmp_path / "a.json")])


def test_missing_files_and_odd_entries_are_skipped_and_folders_are_errors(tmp_path: Path) -> None:
    assert metadata.read_files([str(tmp_path / "none"), "", None, 7]) == []
    with pytest.raises(NodeError, match="cannot be read"):
        metadata.read_files([str(tmp_path)])


def test_which_files_are_read(tmp_path: Path) -> None:
    listed = tmp_path / "list.json"
    listed.write_text('["/l1", null, "/l2"]')
    cases: list[tuple[list[str], dict[str, str], list[str]]] = [
        (["/m"], {"OS_CONFIG_FILES": "/a"}, ["/m"]),
        ([], {"OS_CONFIG_FILES": "/a:/b"}, ["/a", "/b"]),
        ([], {"OS_CONFIG_FILES": ""}, [""]),
        ([], {}, ["/l1", "/l2"]),
    ]
    for given, environment, expected in cases:
        assert apply.metadata_files(given, environment, str(listed), "/other", pytest.fail) == expected
    listed.write_text("{}")
    with pytest.raises(NodeError, match="No list defined"):
        apply.metadata_files([], {}, str(listed), "/other", pytest.fail)


def test_subhash() -> None:
    assert metadata.subhash({"a": {"b": {"c": 1}}}, "a.b") == {"c": 1}
    assert metadata.subhash({"a": 1}, "") == {"a": 1}
    for path in ("a", "a.b", "l.0"):
        with pytest.raises(NodeError, match="does not correspond to a hash"):
            metadata.subhash({"a": 1, "l": [{}]}, path)


def test_digest_does_not_depend_on_the_order_of_keys() -> None:
    assert metadata.digest([["m", {"a": 1, "b": 2}]]) == metadata.digest([["m", {"b": 2, "a": 1}]])
    assert metadata.digest([["m", {"a": 1}]]) != metadata.digest([["m", {"a": True}]])
    assert metadata.digest([["m", {"a": 1}]]) != metadata.digest([["m", {"a": 1.0}]])
