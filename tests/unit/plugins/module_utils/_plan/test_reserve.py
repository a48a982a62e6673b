# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import itertools
import random
from typing import Any

import pytest
from ansible_collections.tripleo.cloud.plugins.module_utils._plan.errors import PlanError
from ansible_collections.tripleo.cloud.plugins.module_utils._plan.flavors import (
    Flavor,
    parse_flavors,
    rejections,
    satisfies,
)
from ansible_collections.tripleo.cloud.plugins.module_utils._plan.reserve import Request, _match, natural, reserve


def hardware(profile: str = "", cpus: int = 4, memory: int = 4096, disk: int = 40) -> dict[str, Any]:
    capabilities = {"profile": profile} if profile else {}
    return {"cpus": cpus, "memory": memory, "disk": disk, "arch": "amd64", "capabilities": capabilities}


ANY = Flavor("any")
CONTROL = Flavor("control", extra_specs={"capabilities:profile": "control"})


@pytest.mark.parametrize(
    ("value", "wanted", "expected"),
    [
        ("control", "control", True),
        ("control", "compute", False),
        (None, "control", False),
        ("8", ">= 4", True),
        ("2", ">= 4", False),
        ("4", "= 4", True),
        ("x", ">= 4", False),
        ("abc", "s== abc", True),
        ("abc", "s!= abc", False),
        ("b", "s>= a", True),
        ("b", "<or> a <or> b", True),
        ("c", "<or> a <or> b", False),
        ("abc", "<in> b", True),
        ("abc", "<all-in> a c", True),
        ("abc", "<all-in> a d", False),
    ],
)
def test_capabilities_are_compared_with_novas_operators(value: str | None, wanted: str, expected: bool) -> None:
    assert satisfies(value, wanted) is expected


@pytest.mark.parametrize(
    ("flavor", "expected"),
    [
        (Flavor("f", 4, 4096, 40), []),
        (Flavor("f", 5, 4096, 40), ["cpus 4 is less than 5"]),
        (Flavor("f", 1, 4097, 41), ["memory 4096 MiB is less than 4097 MiB", "disk 40 GiB is less than 41 GiB"]),
        (Flavor("f", extra_specs={"capabilities:profile": "x"}), ["capability profile=(none) is not x"]),
        (Flavor("f", extra_specs={"cpu_arch": "x86_64"}), []),
        (Flavor("f", extra_specs={"cpu_arch": "arm64"}), ["arch amd64 is not arm64"]),
        (Flavor("f", extra_specs={"trait:HW_X": "required"}), ["trait HW_X is missing"]),
        (Flavor("f", extra_specs={"trait:HW_X": "forbidden"}), []),
    ],
)
def test_a_node_is_rejected_with_every_reason(flavor: Flavor, expected: list[str]) -> None:
    assert list(rejections(flavor, hardware())) == expected


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        ([], "must be a mapping"),
        ({"a": 1}, "flavor a is no mapping"),
        ({"a": {"vcpu": 1}}, "flavor a has no key 'vcpu'"),
        ({"a": {"ram": 0}}, "flavor a: ram must be a whole number above 0"),
    ],
)
def test_wrong_flavors_are_refused(data: Any, problem: str) -> None:
    with pytest.raises(PlanError, match=problem):
        parse_flavors(data)


def test_an_any_does_not_starve_a_picky_request() -> None:
    nodes = {"n1": hardware("control"), "n2": hardware()}
    requests = [Request("A", "a", ANY), Request("B", "b", CONTROL)]
    assert reserve(requests, nodes, {}, {}) == {"A": "n2", "B": "n1"}


def test_what_is_held_is_kept_and_names_sort_naturally() -> None:
    nodes = {f"n{number}": hardware() for number in (1, 2, 10)}
    requests = [Request(path, path, ANY) for path in "ABC"]
    assert reserve(requests[:2], nodes, {}, {}) == {"A": "n1", "B": "n2"}
    assert reserve(requests[:2], nodes, {"A": "n10"}, {}) == {"A": "n10", "B": "n1"}
    assert reserve(requests[:1], nodes, {"A": "gone"}, {}) == {"A": "n1"}
    assert sorted(["n10", "n2"], key=natural) == ["n2", "n10"]


def test_a_shortage_names_what_is_missing() -> None:
    nodes = {"n1": hardware("control"), "n2": hardware("control"), "n3": hardware("compute", cpus=1)}
    requests = [Request(f"C.{n}", f"c{n}", CONTROL, "Controller") for n in range(3)]
    with pytest.raises(PlanError) as raised:
        reserve(requests, nodes, {}, {"n2": "is reserved by stack other"})
    text = str(raised.value)
    assert "Controller wants 3 with flavor control (profile=control); 1 fit" in text
    assert "1 more would fit but are not free: n2 is reserved by stack other" in text
    assert "1 because capability profile=compute is not control" in text
    assert "Nothing was reserved" in text


def test_what_is_set_aside_is_left_out_and_the_error_says_how_to_give_it_free() -> None:
    nodes = {name: hardware("control") for name in ("n1", "n2", "n10")} | {"n3": hardware()}
    aside = {"n10": "was set aside (no disk)", "n2": "is in maintenance", "n3": "was set aside (no answer)"}
    requests = [Request("C.0", "c0", CONTROL), Request("C.1", "c1", CONTROL)]
    assert reserve(requests[:1], nodes, {}, {}, aside) == {"C.0": "n1"}
    assert reserve(requests, nodes, {"C.0": "n2"}, {}, aside) == {"C.0": "n2", "C.1": "n1"}, "what is held is kept"
    with pytest.raises(PlanError) as raised:
        reserve(requests, nodes, {}, {}, aside)
    text = str(raised.value)
    assert "not free: n2 is in maintenance, n10 was set aside (no disk)" in text
    command = "ansible-playbook tripleo.cloud.maintenance -e names=n2,n10 -e maintenance=false"
    assert f"or give free what works again: {command}. Nothing was reserved" in text
    with pytest.raises(PlanError) as raised:
        reserve(requests, nodes, {}, {"n2": "is reserved by stack other", "n10": "is reserved by stack other"})
    assert "maintenance" not in str(raised.value)


def test_reservations_succeed_exactly_when_brute_force_does() -> None:
    source = random.Random(7)
    outcomes = set()
    for _number in range(400):
        nodes = {
            f"n{n}": hardware(source.choice(["a", "b", ""]), cpus=source.randint(1, 3))
            for n in range(source.randint(1, 5))
        }
        flavors = [
            Flavor(f"{cpus}{profile}", cpus, extra_specs={"capabilities:profile": profile} if profile else {})
            for cpus in (1, 2, 3)
            for profile in ("a", "b", "")
        ]
        requests = [Request(str(n), str(n), source.choice(flavors)) for n in range(source.randint(1, 4))]
        possible = any(
            all(not any(rejections(one.flavor, nodes[node])) for one, node in zip(requests, order, strict=True))
            for order in itertools.permutations(nodes, len(requests))
        )
        try:
            chosen = reserve(requests, nodes, {}, {})
        except PlanError:
            chosen = {}
        assert bool(chosen) == possible
        if chosen:
            assert len(set(chosen.values())) == len(requests)
            assert all(not any(rejections(one.flavor, nodes[chosen[one.path]])) for one in requests)
            assert reserve(requests, dict(reversed(nodes.items())), {}, {}) == chosen
        outcomes.add(possible)
    assert outcomes == {True, False}


def most(requests: list[Request], fitting: dict[str, list[str]]) -> int:
    """Size of a largest matching, one request after the other."""
    holder: dict[str, Request] = {}

    def place(request: Request, seen: set[str]) -> bool:
        for node in fitting[request.flavor.name]:
            if node not in seen:
                seen.add(node)
                if node not in holder or place(holder[node], seen):
                    holder[node] = request
                    return True
        return False

    return sum(place(request, set()) for request in requests)


def test_as_many_requests_as_possible_get_a_node() -> None:
    source = random.Random(8)
    full = 0
    for _number in range(200):
        nodes = [f"n{n}" for n in range(source.randint(1, 40))]
        flavors = [Flavor(f"f{n}") for n in range(source.randint(1, 6))]
        fitting = {
            flavor.name: [node for node in nodes if source.random() < source.choice((0.1, 0.4))] for flavor in flavors
        }
        requests = [Request(f"R.{n}", f"r{n}", source.choice(flavors)) for n in range(source.randint(1, 40))]
        matched = _match(requests, fitting)
        assert len(set(matched.values())) == len(matched) == most(requests, fitting)
        assert all(matched[one.path] in fitting[one.flavor.name] for one in requests if one.path in matched)
        full += len(matched) == len(requests)
    assert 0 < full < 200


def test_nodes_that_fit_few_flavors_go_first() -> None:
    nodes = {"n1": hardware("control"), "n2": hardware("control"), "n10": hardware(), "n3": hardware()}
    requests = [Request("C", "c", CONTROL), *(Request(f"A.{n}", f"a{n}", ANY) for n in range(2))]
    assert reserve(requests, nodes, {}, {}) == {"C": "n1", "A.0": "n3", "A.1": "n10"}
