# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Batches, canaries and the border of the stop-loss, as tables."""

from __future__ import annotations

import pytest
from ansible_collections.tripleo.cloud.plugins.module_utils._push.batches import Batch, Rollout, batches
from ansible_collections.tripleo.cloud.plugins.module_utils._push.errors import PushError

SERVERS = [f"s{number}" for number in range(10)]


@pytest.mark.parametrize(
    ("serial", "sizes"),
    [
        ((), [10]),
        (("0",), [10]),
        (("3",), [3, 3, 3, 1]),
        (("1", "3", "50%"), [1, 3, 5, 1]),
        (("25%",), [2, 2, 2, 2, 2]),
        (("1%",), [1] * 10),
        (("100%",), [10]),
        (("99",), [10]),
        (("4", "0"), [4, 6]),
    ],
)
def test_the_sizes_of_batches(serial: tuple[str, ...], sizes: list[int]) -> None:
    made = batches(SERVERS, [], Rollout(serial))
    assert [len(batch.servers) for batch in made] == sizes
    assert [name for batch in made for name in batch.servers] == SERVERS


@pytest.mark.parametrize(
    ("canary", "due", "expected"),
    [
        (("1",), [], ["s0"]),
        (("2",), ["s7"], ["s0", "s7"]),
        (("1",), ["s7", "s8"], ["s7"]),
        (("20%",), ["s7", "s8"], ["s7", "s8"]),
        (("99",), [], SERVERS),
        (("s4", "s1"), ["s7"], ["s1", "s4"]),
        (("0",), ["s7"], []),
        ((), ["s7"], []),
    ],
)
def test_who_goes_first(canary: tuple[str, ...], due: list[str], expected: list[str]) -> None:
    made = batches(SERVERS, due, Rollout(canary=canary, most_failed=30.0))
    alone = made[0].servers if made[0].title == "canary" else []
    assert alone == expected
    assert sorted(name for batch in made for name in batch.servers) == SERVERS
    assert [batch.most_failed for batch in made] == [0.0] * bool(expected) + [30.0] * (len(expected) < len(SERVERS))


@pytest.mark.parametrize(
    ("most", "size", "failed", "lost"),
    [
        (None, 4, 3, False),
        (None, 4, 4, True),
        (0.0, 4, 0, False),
        (0.0, 4, 1, True),
        (50.0, 4, 2, False),
        (49.9, 4, 2, True),
        (50.0, 4, 3, True),
        (33.0, 3, 1, True),
        (33.4, 3, 1, False),
        (29.0, 100, 29, False),
        (29.0, 100, 30, True),
        (100.0, 4, 4, False),
    ],
)
def test_the_border_of_the_stop_loss(most: float | None, size: int, failed: int, lost: bool) -> None:
    assert Batch("batch 1 of 1", SERVERS[:1] * size, most).lost(failed) is lost


@pytest.mark.parametrize(
    ("rollout", "message"),
    [
        (Rollout(("x",)), "'x' is neither"),
        (Rollout(("-1",)), "'-1' is neither"),
        (Rollout(("101%",)), "'101%' is neither"),
        (Rollout(canary=("nobody", "s1")), "no server nobody"),
        (Rollout(canary=("1", "s1")), "no server 1"),
        (Rollout(most_failed=101.0), "max_fail_percentage is 101"),
        (Rollout(most_failed=-1.0), "max_fail_percentage is -1"),
        (Rollout(most_failed=float("nan")), "max_fail_percentage is nan"),
    ],
)
def test_what_is_refused(rollout: Rollout, message: str) -> None:
    with pytest.raises(PushError, match=message):
        batches(SERVERS, [], rollout)
