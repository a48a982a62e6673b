# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which servers of a stored plan are configured, with which documents, and at which address."""

from __future__ import annotations

import functools
import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from hashlib import sha256 as hashed
from typing import Any, Callable, Optional

from .._node.metadata import digest
from .._state.records import ServerRecord
from .._state.stages import Stage
from .errors import PushError

FIRST_DOCUMENT = "metadata"
PREFERRED_NETWORK = "ctlplane"
Loader = Callable[[str, str], Any]


@dataclass(frozen=True)
class Target:
    """A server of the plan.

    documents: name and document, with the placeholders of secrets in them; the same object where servers share one.
    digest: of these; a placeholder changes when its secret does, so a digest tells two configurations apart and says
    nothing about a secret.
    known_digest: of the documents that it was healthy with last; None when it never was.
    """

    server: str
    node: str
    stage: str
    address: str
    documents: tuple[tuple[str, Any], ...]
    digest: str
    known_digest: Optional[str]

    @property
    def booted(self) -> bool:
        """Its operating system has reported under this plan."""
        return self.stage in (Stage.BOOTED.value, Stage.CONFIGURED.value, Stage.HEALTHY.value)


def targets(
    state_dir: str, plan: Mapping[str, Any], records: Mapping[str, ServerRecord], only: Iterable[str]
) -> list[Target]:
    """The servers of a plan, or the named ones only, sorted by name. Raises PushError for unknown names."""
    entries = {str(entry["name"]): entry for entry in plan["servers"].values()}
    load = functools.lru_cache(maxsize=None)(functools.partial(load_document, state_dir))
    return [_target(load, str(plan["hash"]), entries[name], records.get(name)) for name in chosen(plan, only)]


def chosen(plan: Mapping[str, Any], only: Iterable[str]) -> list[str]:
    """Names of the servers of a plan, or the given ones, sorted. Raises PushError for unknown names."""
    names = {str(entry["name"]) for entry in plan["servers"].values()}
    unknown = sorted(set(only) - names)
    if unknown:
        raise PushError(
            f"the plan has no server {', '.join(unknown)}",
            operation="choose the servers",
            next_step=f"name servers of the plan: {', '.join(sorted(names))}",
        )
    return sorted(set(only) or names)


def _target(load: Loader, plan: str, entry: Mapping[str, Any], record: Optional[ServerRecord]) -> Target:
    current = record if record is not None and record.plan_hash == plan else None
    stage = str(getattr(current.stage, "value", current.stage)) if current else Stage.RESERVED.value
    return Target(
        server=str(entry["name"]),
        node=str(entry["node"]),
        stage=stage,
        address=_address(entry),
        documents=tuple((name, load(name, sha256)) for name, sha256 in _listed(entry)),
        digest=documents_digest(entry),
        known_digest=current.config_digest if current else None,
    )


def documents_digest(entry: Mapping[str, Any]) -> str:
    """Digest of the documents of a plan's server."""
    return digest(_listed(entry))


def _listed(entry: Mapping[str, Any]) -> list[tuple[str, str]]:
    listed = [[FIRST_DOCUMENT, entry["metadata"]], *entry["documents"]]
    return [(str(name), str(sha256)) for name, sha256 in listed if sha256]


def _address(entry: Mapping[str, Any]) -> str:
    networks = entry["networks"]
    addresses: list[str] = networks.get(PREFERRED_NETWORK) or next(iter(networks.values()), [])
    if not addresses:
        raise PushError("it has no address", node=str(entry["name"]), operation="find its address")
    return str(addresses[0])


def read_document(state_dir: str, sha256: str) -> Any:
    """A document of the content-addressed store; None when it is not there as it was written."""
    try:
        return load_document(state_dir, sha256, sha256)
    except PushError:
        return None


def load_document(state_dir: str, name: str, sha256: str) -> Any:
    """A document of the content-addressed store. Raises PushError when it is missing or not what its name says."""
    wanted = sha256.split(":")[-1]
    path = os.path.join(state_dir, "documents", f"{wanted}.json")
    try:
        with open(path, "rb") as stream:
            content = stream.read()
    except OSError as error:
        raise PushError(f"document {name}: {path}: {error.strerror}", operation="read the documents") from error
    if hashed(content).hexdigest() != wanted:
        raise PushError(
            f"document {name}: {path} was changed after it was written",
            operation="read the documents",
            next_step="run tripleo.cloud.deploy, which writes the plan's documents",
        )
    return json.loads(content)
