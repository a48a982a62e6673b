# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Plans a stack on the Deployment cloud: reads the state, plans, and stores plan, documents and secrets."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from .._image.store import ImageStore
from .._plan.flavors import parse_flavors
from .._plan.networks import parse_networks
from .._plan.plan import Before, ImageRef, Planned, Wanted, canonical, make_plan
from .._plan.preview import preview
from .._plan.secrets import random_string
from .._run import lease
from .._state.key import secret_key
from .._state.records import Aside, AsideKind
from .._state.secrets import SecretStore
from .._state.stages import Stage
from .._state.store import State, write_all_durably
from .errors import ProvisionError
from .hardware import renamed


def plan_stack(parameters: Mapping[str, Any], private: Mapping[str, Any], check: bool) -> dict[str, Any]:
    """The work of the module stack; its result."""
    state_dir, name, only = parameters["state_dir"], parameters["name"], parameters["only"]
    if not check:
        _need_prepared(state_dir)
    with State.open(state_dir, read_only=check) as state:
        registered: Mapping[str, Any] = parameters["registered"] if check else {}
        before = _before(state, name, registered)
        nodes = state.nodes()
        hardware = {node: record.hardware for node, record in nodes.items()}
        if check and (registered.get("changed") or not hardware):
            gone = renamed(private["hardware"], hardware, state.reservations())
            kept = {node: fields for node, fields in hardware.items() if node not in gone}
            hardware = {**kept, **private["hardware"]}
        wanted = Wanted(
            stack=name,
            template=private["template"],
            files=private["files"],
            environments=private["environments"],
            parameters=private["parameters"],
            generate_hidden=parameters["generate_hidden"],
            flavors=parse_flavors(parameters["flavors"]),
            networks=parse_networks(parameters["networks"]),
            hardware=hardware,
            facts={node: record.facts for node, record in nodes.items()},
            images=_images(state_dir, parameters["pending_images"]) if check else _built(state_dir),
            key=_key(state_dir, check),
        )
        planned = make_plan(wanted, before)
        due = chosen(planned, only)
        text = preview(planned, before.plan, lambda document: _document(state_dir, document), due)
        changed = bool(planned.is_new or due) if check else _store(state, planned, before)
    result = _result(planned, text, changed, due)
    if check and planned.is_new:
        result["planned"] = {"plan": planned.plan, "documents": planned.documents}
    return result


def _need_prepared(state_dir: str) -> None:
    """Refuse to make state where the phase before has made none."""
    with State.open(state_dir, read_only=True) as state:
        missing = "" if state.nodes() else "no hardware is registered"
    if not missing and not any(image.kind == "disk" for image in ImageStore(state_dir).images()):
        missing = "no image was built"
    if missing:
        raise ProvisionError(
            missing,
            operation="plan",
            next_step="Run the playbook tripleo.cloud.prepare, then this one. Nothing was touched.",
        )


def chosen(planned: Planned, only: Sequence[str]) -> tuple[str, ...]:
    """The servers that are to be booted now: all that are to do, or the named ones of them."""
    names = sorted(server["name"] for server in planned.plan["servers"].values())
    unknown = sorted(set(only) - set(names))
    if unknown:
        raise ProvisionError(
            f"the stack has no server {', '.join(unknown)}",
            operation="choose the servers",
            next_step=f"Name servers of the stack: {', '.join(names)}. Nothing was touched.",
        )
    return tuple(name for name in planned.to_do if not only or name in only)


def _aside(state: State, registered: Mapping[str, Any]) -> dict[str, Aside]:
    """Why nodes are set aside. registered: what the module node said in check mode, as if it had been done."""
    answering, dead = registered.get("bmc") or {}, registered.get("set_aside") or {}
    found = {node: Aside(AsideKind.REGISTRATION, cause, time.time()) for node, cause in dead.items()}
    for node, reasons in state.aside().items():
        left = [one for one in reasons if one.kind is not AsideKind.REGISTRATION or node not in answering]
        if left:
            found[node] = left[0]
    return found


def _before(state: State, stack: str, registered: Mapping[str, Any] | None = None) -> Before:
    plan = state.current_plan(stack)
    records = state.servers(stack)
    booted = frozenset(
        record.name
        for record in records.values()
        if plan and record.plan_hash == plan["hash"] and Stage(record.stage).is_booted
    )
    in_use = {records[name].node for name in booted}
    aside = _aside(state, registered or {})
    held, unavailable = {}, {}
    for node, (holder, path) in state.reservations().items():
        if holder != stack:
            unavailable[node] = f"is reserved by stack {holder}"
        elif node in in_use or node not in aside or aside[node].kind is not AsideKind.MAINTENANCE:
            held[path] = node
    addresses, foreign = {}, set()
    for (network, ip), (holder, path) in state.addresses().items():
        if holder == stack:
            addresses[(network, path)] = ip
        else:
            foreign.add((network, ip))
    reasons = {node: str(reason) for node, reason in aside.items()}
    return Before(plan, booted, held, addresses, frozenset(foreign), unavailable, reasons)


def _built(state_dir: str) -> dict[str, ImageRef]:
    """Newest build of each disk image."""
    found = [image for image in ImageStore(state_dir).images() if image.kind == "disk"]
    return {
        image.name: ImageRef(image.name, image.manifest["sha256"], image.manifest_sha256, image.build_id)
        for image in found
    }


def _images(state_dir: str, pending: Iterable[str]) -> dict[str, ImageRef] | None:
    """The same as a preview knows it. pending: names of images that `prepare` builds first. None when none is known."""
    return {**_built(state_dir), **{name: ImageRef(name) for name in pending}} or None


def _key(state_dir: str, check: bool) -> bytes | None:
    """The key; a preview must not make it."""
    if check and not os.path.exists(os.path.join(state_dir, "key")):
        return None
    return secret_key(state_dir)


def _store(state: State, planned: Planned, before: Before) -> bool:
    """Store what is new, or was lost; True when something was."""
    stack, state_dir = planned.plan["stack"], state.state_dir
    store = SecretStore(state_dir, stack)
    missing = {stand_in for stand_in in planned.to_make if stand_in not in store.values()}
    if not planned.is_new:
        if missing:
            raise ProvisionError(
                f"{store.path} has lost the value of {sorted(missing)[0]}",
                operation="read the stack's secrets",
                next_step="Bring the file back from a backup; new values would not fit the deployed servers.",
            )
        # What was lost and follows from the template, like a document or a given secret, is simply written again.
        lost = _missing_documents(state_dir, planned)
        write_all_durably(lost)
        return store.store(planned.given) or bool(lost)
    with lease.unheld(state_dir, stack):
        now = _before(state, stack)
        if (now.plan, now.booted) != (before.plan, before.booted):
            # A run that has ended just now may have booted servers that this plan would write again.
            raise ProvisionError(
                f"stack {stack} was changed by another run while this one planned",
                operation="store the plan",
                next_step="Look at the preview again, then run the same command again.",
            )
        # Secrets and documents first: a stored plan never names what is not there.
        store.store({**planned.given, **{name: random_string(*planned.to_make[name]) for name in missing}})
        write_all_durably(_missing_documents(state_dir, planned))
        serial = int(before.plan["serial"]) if before.plan else 0
        state.store_plan(planned.plan, serial, planned.addresses)
    return True


def _document_path(state_dir: str, name: str) -> str:
    return os.path.join(state_dir, "documents", f"{name.partition(':')[2]}.json")


def _document(state_dir: str, name: str) -> Any:
    """A stored document by its name; None when it is lost."""
    try:
        with open(_document_path(state_dir, name), encoding="utf-8") as stream:
            return json.load(stream)
    except (OSError, ValueError):
        return None


def _missing_documents(state_dir: str, planned: Planned) -> dict[str, str]:
    """Content of the plan's documents that are not stored, or not as they should be, by path."""
    texts = {_document_path(state_dir, name): canonical(document) for name, document in planned.documents.items()}
    return {path: text for path, text in texts.items() if not _is(path, text)}


def _is(path: str, text: str) -> bool:
    try:
        with open(path, "rb") as stream:
            return stream.read() == text.encode()
    except OSError:
        return False


def _result(planned: Planned, text: str, changed: bool, due: Sequence[str]) -> dict[str, Any]:
    plan = planned.plan
    return {
        "changed": changed,
        "plan": {"hash": plan["hash"], "serial": plan["serial"], "stack": plan["stack"]},
        "servers": {
            server["name"]: {"node": server["node"], "image": server["image"], "networks": server["networks"]}
            for server in plan["servers"].values()
        },
        "outputs": json.loads(json.dumps(plan["outputs"])),
        "to_do": list(due),
        "preview": text,
    }


def stack_report(state_dir: str, name: str) -> dict[str, Any]:
    """The work of the module stack_info: stored plan and stages of one stack, or of all for an empty name."""
    with State.open(state_dir, read_only=True) as state:
        names = [name] if name else state.stacks()
        found = []
        for one in names:
            plan = state.current_plan(one)
            if plan is not None:
                records = state.servers(one)
                servers: dict[str, dict[str, Any]] = {
                    record.name: {"node": record.node, "stage": record.stage, "cause": record.cause}
                    for record in records.values()
                }
                for server in plan["servers"].values():
                    servers.setdefault(server["name"], {})["networks"] = server["networks"]
                for server, reports in state.deployments(one).items():
                    servers.setdefault(server, {})["deployments"] = reports
                found.append(
                    {
                        "name": one,
                        "plan": {"hash": plan["hash"], "serial": plan["serial"]},
                        "servers": servers,
                        "ports": plan["ports"],
                        "outputs": plan["outputs"],
                    }
                )
    return {"changed": False, "stacks": found}
