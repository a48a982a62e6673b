# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a node says of offered documents: what it has, what it lacks, and whether it has to run."""

from __future__ import annotations

import hashlib
import io
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.tripleo.cloud.plugins.module_utils._node import offer
from ansible_collections.tripleo.cloud.plugins.module_utils._node.errors import NodeError
from ansible_collections.tripleo.cloud.plugins.module_utils._node.metadata import MAX_BYTES
from ansible_collections.tripleo.cloud.plugins.module_utils._node.paths import Paths


def entry(name: str, text: bytes) -> offer.Entry:
    return offer.Entry(name, hashlib.sha256(text).hexdigest(), len(text))


ONE, TWO = b'{"a":1}', b'{"b":22}'


def test_what_lies_in_the_cache_is_not_asked_for(tmp_path: Path) -> None:
    paths = Paths(cache=str(tmp_path))
    entries = [entry("one", ONE), entry("two", TWO), entry("again", TWO)]
    assert offer.held(Paths(cache=str(tmp_path / "none")), entries) == {}
    assert [one.name for one in offer.lacking(entries, {})] == ["one", "again"]
    (tmp_path / "other-name.json.last").write_bytes(ONE)
    (tmp_path / "two.json").write_bytes(b'{"b":23}')
    (tmp_path / "folder").mkdir()
    known = offer.held(paths, entries)
    assert known == {entries[0].sha256: ONE}
    assert offer.lacking(entries, known) == [entries[2]]


def test_a_link_in_the_cache_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").write_bytes(ONE)
    cache = tmp_path / "cache"
    cache.mkdir()
    (cache / "one.json").symlink_to(tmp_path / "elsewhere")
    assert offer.held(Paths(cache=str(cache)), [entry("one", ONE)]) == {}


def test_what_arrives_is_compared_with_the_offer() -> None:
    entries = [entry("one", ONE), entry("two", TWO)]
    assert list(offer.receive(io.BytesIO(ONE + TWO), entries).values()) == [ONE, TWO]
    for sent in (ONE, ONE + TWO[:-1], TWO + ONE, b""):
        with pytest.raises(NodeError, match="did not arrive as it was sent"):
            offer.receive(io.BytesIO(sent), entries)


@pytest.mark.parametrize(
    ("payload", "message"),
    [
        ({"offer": [["a", "b"]], "digest": "d"}, "the payload is not"),
        ({"offer": [["a", "b", "x"]], "digest": "d"}, "the payload is not"),
        ({"offer": 7, "digest": "d"}, "the payload is not"),
        ({"offer": []}, "the payload is not"),
        ({"offer": [["a", "b", MAX_BYTES + 1]], "digest": "d"}, "the limit of a document"),
        ({"offer": [["a", "b", -1]], "digest": "d"}, "the limit of a document"),
    ],
)
def test_offers_that_are_refused(payload: dict[str, Any], message: str) -> None:
    with pytest.raises(NodeError, match=message):
        offer.parse(payload)


@pytest.mark.parametrize(
    ("status", "force", "expected"),
    [
        ({"digest": ""}, False, "it was never configured"),
        ({"digest": "other", "healthy": True}, False, "its documents differ"),
        ({"digest": "d", "healthy": False, "drift": ["/etc/a", "/b"]}, True, "files differ: /etc/a, /b"),
        ({"digest": "d", "healthy": False, "services": {"a": True, "b": False}}, True, "not healthy: b"),
        ({"digest": "d", "healthy": False}, False, "its last run did not end well"),
        ({"digest": "d", "healthy": True}, True, "force"),
        ({"digest": "d", "healthy": True}, False, ""),
    ],
)
def test_why_a_node_has_to_run(status: dict[str, Any], force: bool, expected: str) -> None:
    assert offer.reason(status, "d", force) == expected
