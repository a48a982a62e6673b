# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The part of keystone, version 3, that the collectors need: a token for a project, and where a service is."""

from __future__ import annotations

import json
from typing import Any, Optional

from .fetch import Answer, FetchError, fetch
from .options import Settings
from .sources import parse

SECONDS = 60.0


def log_in(settings: Settings, group: str) -> tuple[str, Any]:
    """Token and catalog for the user in a group of the settings. Raises FetchError, and others for strange answers."""
    user = {"id": settings[f"{group}.user_id"], "password": settings[f"{group}.password"]}
    identity = {"methods": ["password"], "password": {"user": user}}
    body = {"auth": {"identity": identity, "scope": {"project": {"id": settings[f"{group}.project_id"]}}}}
    url = f"{_identity_url(settings[f'{group}.auth_url']).rstrip('/')}/auth/tokens"
    headers = {"Content-Type": "application/json", "Accept": "application/json"}
    answer = fetch(url, SECONDS, "POST", headers, json.dumps(body).encode())
    return str(content(answer) and answer.headers["X-Subject-Token"]), content(answer)["token"]["catalog"]


def _identity_url(url: str) -> str:
    try:
        found = content(fetch(url.replace("/v2.0", "/"), SECONDS, headers={"Accept": "application/json"}))
        versions = found["versions"]["values"] if "versions" in found else [found["version"]]
        for version in versions:
            if str(version["id"]).startswith("v3"):
                return str(next(link["href"] for link in version["links"] if link["rel"] == "self"))
    except (FetchError, ValueError, LookupError, TypeError, StopIteration):
        return url.replace("/v2.0", "/v3")
    return url


def endpoint(catalog: Any, kind: str, region: Optional[str]) -> str:
    """URL of a service's public endpoint. Raises ValueError when the catalog has none."""
    for service in catalog:
        for found in service["endpoints"] if service["type"] == kind else ():
            regions = (found.get("region_id"), found.get("region"))
            if found["interface"] == "public" and (not region or region in regions):
                return str(found["url"])
    raise ValueError(f"public endpoint for {kind} service" + (f" in {region} region" if region else "") + " not found")


def content(answer: Answer) -> Any:
    """The JSON of an answer that is a success."""
    answer.check()
    return parse(answer.text)
