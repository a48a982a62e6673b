# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Keystone is brought to what is wanted, from every state that it can be found in."""

from __future__ import annotations

import dataclasses
import itertools
import json
import os
import stat
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from ansible_collections.tripleo.cloud.plugins.module_utils._cloud import clouds, proof
from ansible_collections.tripleo.cloud.plugins.module_utils._cloud.errors import CloudError
from ansible_collections.tripleo.cloud.plugins.module_utils._cloud.model import Service, User, host_in_url
from ansible_collections.tripleo.cloud.plugins.module_utils._cloud.services import services
from ansible_collections.tripleo.cloud.plugins.module_utils._cloud.session import CloudSession
from ansible_collections.tripleo.cloud.plugins.module_utils._cloud.setup import Request, set_up

ADMIN = User("admin", "admin-secret", "admin", "admin", domain_role=True)
GLANCE = services({"glance": {"password": "glance-secret"}})
REQUEST = Request(
    scheme="http", host="10.1.2.20", region="RegionOne", admin=ADMIN, service_project="service",
    roles=("admin", "member"), services=GLANCE, timeout=1, check=False,
)  # fmt: skip


class Keystone:
    """The part of Keystone 30's identity API that is used, as answered by the real one; starts as bootstrap left it."""

    def __init__(self) -> None:
        self.numbers = itertools.count(1)
        self.objects: dict[str, list[dict[str, Any]]] = {
            kind: [] for kind in ("projects", "roles", "users", "services", "endpoints")
        }
        self.grants: set[tuple[str, str, str, str]] = set()
        self.passwords: dict[str, str] = {}
        self.writes: list[str] = []
        project = self.add("projects", name="admin", enabled=True)
        roles = [self.add("roles", name=name) for name in ("admin", "member", "reader")]
        user = self.add("users", name="admin", enabled=True, password="admin-secret")
        self.grants.add((user["id"], roles[0]["id"], "project", project["id"]))
        service = self.add("services", name="keystone", type="identity", enabled=True)
        for interface in ("public", "internal", "admin"):
            self.add("endpoints", service_id=service["id"], interface=interface, region_id="RegionOne",
                     url="http://10.1.2.20:5000/v3", enabled=True)  # fmt: skip

    def add(self, kind: str, **fields: Any) -> dict[str, Any]:
        entry = {"id": f"{kind}-{next(self.numbers)}", **fields}
        if "password" in entry:
            self.passwords[entry["name"]] = entry.pop("password")
        self.objects[kind].append(entry)
        return entry

    def named(self, kind: str, name: str) -> dict[str, Any]:
        return next(entry for entry in self.objects[kind] if entry["name"] == name)

    def urls(self, kind: str) -> list[str]:
        service = next(entry for entry in self.objects["services"] if entry["type"] == kind)
        return [entry["url"] for entry in self.objects["endpoints"] if entry["service_id"] == service["id"]]

    def session(self, user: str, password: str, _project: str) -> Any:
        return SimpleNamespace(
            wait=lambda _timeout: None, login=lambda: self.passwords.get(user) == password, call=self.call
        )

    def call(self, method: str, url: str, body: Any = None, *, data: Any = None, allow: Any = ()) -> Any:
        parts = urlsplit(url)
        assert f"{parts.scheme}://{parts.netloc}" == "http://10.1.2.20:5000"
        path = parts.path.removeprefix("/v3/").split("/")
        if method != "GET":
            self.writes.append(f"{method} {path[0]}")
        answer: Any = {}
        if path == ["role_assignments"]:
            answer = {"role_assignments": [
                {"user": {"id": user}, "role": {"id": role}, "scope": {scope: {"id": target}}}
                for user, role, scope, target in self.grants
            ]}  # fmt: skip
        elif method == "GET":
            assert parse_qs(parts.query).get("domain_id", ["default"]) == ["default"]
            answer = {path[0]: [dict(entry) for entry in self.objects[path[0]]]}
        elif method == "POST":
            single = path[0][:-1]
            answer = {single: self.add(path[0], **body[single])}
        elif method == "PATCH":
            entry = next(entry for entry in self.objects[path[0]] if entry["id"] == path[1])
            fields = dict(body[path[0][:-1]])
            if "password" in fields:
                self.passwords[entry["name"]] = fields.pop("password")
            entry.update(fields)
        elif method == "PUT":
            self.grants.add((path[3], path[5], path[0][:-1], path[1]))
        else:
            self.objects[path[0]] = [entry for entry in self.objects[path[0]] if entry["id"] != path[1]]
        return SimpleNamespace(status_code=200, reason="OK", content=b"", json=lambda: answer)


def run(keystone: Keystone, **changes: Any) -> list[str]:
    steps = set_up(dataclasses.replace(REQUEST, **changes), keystone.session)
    return [f"{step.kind} {step.before} -> {step.after}" for step in steps]


def test_a_bootstrapped_keystone_gets_what_is_missing_once() -> None:
    keystone = Keystone()
    predicted = run(keystone, check=True)
    assert not keystone.writes
    done = run(keystone)
    assert done == predicted
    assert len(done) == 8
    assert keystone.urls("image") == ["http://10.1.2.20:9292"] * 3
    assert keystone.passwords["glance"] == "glance-secret"
    keystone.writes.clear()
    assert run(keystone) == []
    assert not keystone.writes


def test_an_altered_endpoint_is_corrected() -> None:
    keystone = Keystone()
    run(keystone)
    keystone.objects["endpoints"][-1]["url"] = "http://10.9.9.9:9292"
    assert run(keystone) == [
        "update endpoint image admin in RegionOne: http://10.9.9.9:9292 -> "
        "endpoint image admin in RegionOne: http://10.1.2.20:9292"
    ]
    assert run(keystone) == []


def test_a_second_endpoint_of_the_same_place_goes_and_the_right_one_stays() -> None:
    keystone = Keystone()
    run(keystone)
    wrong = {**keystone.objects["endpoints"][-1], "id": "a", "url": "http://10.9.9.9:9292"}
    keystone.objects["endpoints"].insert(0, wrong)
    assert len(run(keystone)) == 1
    assert keystone.urls("image") == ["http://10.1.2.20:9292"] * 3


def test_other_regions_and_objects_are_left_alone() -> None:
    keystone = Keystone()
    run(keystone)
    image = next(entry for entry in keystone.objects["services"] if entry["type"] == "image")
    keystone.add("endpoints", service_id=image["id"], interface="public", region_id="Two", url="http://x", enabled=True)
    keystone.add("projects", name="demo", enabled=False)
    keystone.add("users", name="alice", enabled=True, password="p")
    assert run(keystone) == []


@pytest.mark.parametrize("kind", ["projects", "users", "services"])
def test_what_was_disabled_is_enabled(kind: str) -> None:
    keystone = Keystone()
    run(keystone)
    keystone.objects[kind][-1]["enabled"] = False
    assert len(run(keystone)) == 1
    assert keystone.objects[kind][-1]["enabled"]
    assert run(keystone) == []


def test_a_lost_role_is_given_again() -> None:
    keystone = Keystone()
    run(keystone)
    user = keystone.named("users", "glance")["id"]
    keystone.grants = {grant for grant in keystone.grants if grant[0] != user}
    assert run(keystone, check=True) == ["grant  -> role admin of user glance in project service"]
    assert run(keystone) == ["grant  -> role admin of user glance in project service"]
    assert run(keystone) == []


def test_a_password_is_only_set_again_when_keystone_refuses_it() -> None:
    keystone = Keystone()
    run(keystone)
    keystone.passwords["glance"] = "another"
    assert run(keystone, check=True) == ["update user glance: another password -> user glance: its password"]
    assert keystone.passwords["glance"] == "another"
    assert len(run(keystone)) == 1
    assert keystone.passwords["glance"] == "glance-secret"
    assert run(keystone) == []


def test_names_are_options() -> None:
    keystone = Keystone()
    run(keystone, service_project="services", roles=("admin", "tenant"), region="Two")
    assert keystone.named("projects", "services")
    assert keystone.named("roles", "tenant")
    assert {entry["region_id"] for entry in keystone.objects["endpoints"]} == {"RegionOne", "Two"}


def test_a_refused_administrator_is_told_without_a_password() -> None:
    keystone = Keystone()
    keystone.passwords["admin"] = "x"
    with pytest.raises(CloudError, match=r"refuses the password of admin.*tripleo\.cloud\.setup") as caught:
        run(keystone)
    assert "admin-secret" not in str(caught.value)


def test_two_services_of_a_type_are_an_error() -> None:
    keystone = Keystone()
    run(keystone)
    keystone.add("services", name="glance2", type="image", enabled=True)
    with pytest.raises(CloudError, match="2 services of type image: glance"):
        run(keystone)


def test_no_password_shows_in_a_step_or_a_user() -> None:
    keystone = Keystone()
    steps = set_up(REQUEST, keystone.session)
    assert "glance-secret" not in repr(steps)
    assert "admin-secret" not in repr(REQUEST)


@pytest.mark.parametrize(
    ("layers", "expected"),
    [
        ([{"glance": {"password": "p"}}], [("glance", "image", 9292)]),
        ([{"glance": {"password": "p"}}, {"glance": {"port": "9393"}}], [("glance", "image", 9393)]),
        ([{"own": {"type": "x", "port": 1, "user": False}}], [("own", "x", 1)]),
        ([{"heat": {"password": "p"}, "heat-cfn": {}}],
         [("heat", "orchestration", 8004), ("heat-cfn", "cloudformation", 8000)]),
    ],
)  # fmt: skip
def test_services_in_layers(layers: list[Any], expected: list[Any]) -> None:
    assert [(service.name, service.type, service.port) for service in services(*layers)] == expected


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        ({"glance": {}}, "no password"),
        ({"own": {"password": "p"}}, "needs a type and a port"),
        ({"own": {"type": "x", "port": 70000, "password": "p"}}, "needs a type and a port"),
        ({"glance": {"colour": "red"}}, "unknown fields colour"),
    ],
)
def test_malformed_services_are_named(layer: Any, message: str) -> None:
    with pytest.raises(CloudError, match=message):
        services(layer)


@pytest.mark.parametrize(
    ("address", "host"), [("10.1.2.20", "10.1.2.20"), ("fd00::20", "[fd00::20]"), ("cloud.example", "cloud.example")]
)
def test_ipv6_literals_get_brackets(address: str, host: str) -> None:
    assert host_in_url(address) == host
    url = Service("swift", "object-store", 8080, path="/v1/AUTH", admin_path="/v1")
    assert url.url("public", "http", address) == f"http://{host}:8080/v1/AUTH"
    assert url.url("admin", "http", address) == f"http://{host}:8080/v1"


def test_clouds_yaml_is_private_and_reads_back(tmp_path: Path) -> None:
    path = os.fspath(tmp_path / "secrets" / "clouds.yaml")
    text = clouds.clouds_yaml("workload-cloud", "http://10.1.2.20:5000/v3", ADMIN, "RegionOne", "")
    assert clouds.write_secret(path, text, check=True)
    assert not os.path.exists(path)
    assert clouds.write_secret(path, text, check=False)
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
    assert not clouds.write_secret(path, text, check=False)
    os.chmod(path, 0o644)
    assert clouds.write_secret(path, text, check=False)
    assert clouds.read_clouds(path, "workload-cloud")["auth"]["password"] == "admin-secret"
    with pytest.raises(CloudError, match="no cloud other"):
        clouds.read_clouds(path, "other")


class Glance:
    """Answers as Glance does; `spoils` what it keeps, and is `starting` for so many requests."""

    def __init__(self, spoils: bool = False, starting: int = 0) -> None:
        self.spoils = spoils
        self.starting = starting
        self.content = b""
        self.images: list[str] = []

    def call(self, method: str, url: str, body: Any = None, *, data: Any = None, allow: Any = ()) -> Any:
        status, content, answer = 200, b"", {}
        if method == "POST" and self.starting:
            self.starting -= 1
            status = 503
        elif method == "POST":
            assert json.dumps(body)
            self.images.append("i1")
            answer = {"id": "i1"}
        elif method == "PUT":
            self.content = data[:-1] if self.spoils else data
        elif method == "GET":
            content = self.content
        else:
            self.images.remove("i1")
        return SimpleNamespace(status_code=status, reason="Unavailable", content=content, json=lambda: answer)


def test_an_image_goes_up_and_comes_down(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proof, "PAUSE", 0)
    glance = Glance(starting=2)
    assert len(proof.prove_images(glance, "http://x", timeout=60, size=1000)["sha256"]) == 64
    assert not glance.images


def test_a_spoiled_image_is_an_error_and_is_removed() -> None:
    glance = Glance(spoils=True)
    with pytest.raises(CloudError, match="1000 bytes came down as 999"):
        proof.prove_images(glance, "http://x", timeout=1, size=1000)
    assert not glance.images


def test_a_glance_that_never_starts_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proof, "PAUSE", 0)
    with pytest.raises(CloudError, match="still answers 503"):
        proof.prove_images(Glance(starting=10**9), "http://x", timeout=0.01)


@pytest.mark.parametrize("step", ["wait", "login", "call"])
def test_nothing_is_asked_of_the_cloud_after_the_loss_of_the_lease(step: str) -> None:
    def alive() -> None:
        raise CloudError("the lease is lost")

    session = CloudSession("http://127.0.0.1:9/v3", "admin", "secret", "admin", alive=alive)
    steps = {"wait": lambda: session.wait(5), "login": session.login, "call": lambda: session.call("GET", "http://x")}
    with pytest.raises(CloudError, match="the lease is lost"):
        steps[step]()
