# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""os-collect-config's sources that ask OpenStack: Heat's two APIs, one with signed requests, and a queue of zaqar."""

from __future__ import annotations

import base64
import hashlib
import hmac
import logging
import os
import urllib.parse
from collections.abc import Mapping
from typing import Any, Optional
from xml.etree import ElementTree

from . import keystone
from .fetch import FetchError, fetch
from .options import Settings
from .sources import NotConfigured, Source, Unavailable, explode, parse

SECONDS = keystone.SECONDS
# Any UUID does; it keeps a client from reading its own messages, and this one sends none.
CLIENT_ID = "5e0f3a2c-0d5f-4f4b-9d64-6b6f64652d61"

_log = logging.getLogger("os_collect_config")


def cfn(settings: Settings) -> Source:
    """The JSON below each given path of resources' fields, the first levels merged."""
    url = settings["cfn.metadata_url"] or _hint(settings["cfn.heat_metadata_hint"])
    for value, name in (
        (url, "metadata_url"),
        (settings["cfn.access_key_id"], "Access Key ID"),
        (settings["cfn.secret_access_key"], "Secret Access Key"),
    ):
        if value is None:
            _log.info("No %s configured.", name)
            raise NotConfigured()
    if settings["cfn.path"] is None:
        _log.info("No path configured")
        raise NotConfigured()
    content: dict[str, Any] = {}
    for path in settings["cfn.path"]:
        if "." not in path:
            _log.error("Path not in format resource.field[.x.y] (%s)", path)
            raise NotConfigured()
        try:
            content.update(_field(settings, str(url), path))
        except (FetchError, ValueError) as error:
            _log.warning("%s", error)
            raise Unavailable() from error
    return explode(content, settings["cfn.deployment_key"], "cfn")


def _hint(path: Optional[str]) -> Optional[str]:
    if not path or not os.path.exists(path):
        return None
    with open(path, encoding="utf-8") as stream:
        return f"{stream.read().strip()}/v1/"


def _field(settings: Settings, url: str, path: str) -> dict[str, Any]:
    resource, field, *keys = path.split(".")
    query = {
        "Action": "DescribeStackResource",
        "StackName": settings["cfn.stack_name"],
        "LogicalResourceId": resource,
        "AWSAccessKeyId": settings["cfn.access_key_id"],
        "SignatureVersion": "2",
        "SignatureMethod": "HmacSHA256",
    }
    query["Signature"] = signature(settings["cfn.secret_access_key"], "GET", url, query)
    sent = urllib.parse.urlencode({name: value for name, value in query.items() if value is not None})
    answer = fetch(
        f"{url}{'&' if '?' in url else '?'}{sent}",
        settings["cfn.timeout"],
        headers={"Content-Type": "application/json"},
        ca_file=settings["cfn.ca_certificate"],
    )
    answer.check()
    try:
        found = ElementTree.fromstring(answer.body)
    except ElementTree.ParseError as error:
        raise ValueError(f"The answer for path {path} is not XML: {error}") from error
    element = found.find(f"DescribeStackResourceResult/StackResourceDetail/{field}")
    if element is None:
        raise ValueError(f"Path {path} does not exist.")
    try:
        value = parse(element.text or "")
    except ValueError as error:
        raise ValueError(f"Path {path} failed to parse as json. ({error})") from error
    for key in keys:
        if not isinstance(value, dict) or key not in value:
            raise ValueError(f"Sub-key {key} does not exist. ({path})")
        value = value[key]
    if not isinstance(value, dict):
        raise ValueError(f"Path {path} is not a JSON object")
    return value


def signature(secret: str, verb: str, url: str, query: Mapping[str, Any]) -> str:
    """EC2's signature, version 2, of a request."""
    parts = urllib.parse.urlsplit(url)
    pairs = (f"{name}={urllib.parse.quote(str(query[name]), safe='-_~')}" for name in sorted(query))
    text = "\n".join((verb, parts.netloc, parts.path, "&".join(pairs)))
    return base64.b64encode(hmac.new(secret.encode(), text.encode(), hashlib.sha256).digest()).decode()


def heat(settings: Settings) -> Source:
    """The metadata of one resource of a stack, as the user that the settings name."""
    for name in ("auth_url", "password", "project_id", "user_id", "stack_id", "resource_name"):
        if settings[f"heat.{name}"] is None:
            _log.info("No %s configured.", name)
            raise NotConfigured()
    try:
        content = _resource_metadata(settings)
    except (FetchError, ValueError, LookupError, TypeError, AttributeError) as error:
        _log.warning("%s", error)
        raise Unavailable() from error
    return explode(content, settings["deployment_key"], "heat")


def _resource_metadata(settings: Settings) -> Any:
    token, catalog = keystone.log_in(settings, "heat")
    endpoint = keystone.endpoint(catalog, "orchestration", settings["heat.region_name"]).rstrip("/")
    headers = {"X-Auth-Token": token, "Accept": "application/json"}
    stack = settings["heat.stack_id"]
    if "/" not in stack[1:]:
        answer = fetch(f"{endpoint}/stacks/{stack}", SECONDS, headers=headers, redirects=False)
        answer.check()
        place = urllib.parse.urlsplit(answer.headers.get("location") or "").path
        stack = urllib.parse.unquote(place.partition("/stacks/")[2])
        if not stack:
            raise ValueError("Location not returned with redirect")
    name = urllib.parse.quote(settings["heat.resource_name"])
    url = f"{endpoint}/stacks/{urllib.parse.quote(stack)}/resources/{name}/metadata"
    return keystone.content(fetch(url, SECONDS, headers=headers))["metadata"]


def zaqar(settings: Settings) -> Source:
    """The next message of a queue, which is taken out of it, as the user that the settings name."""
    for name in ("auth_url", "password", "project_id", "user_id", "queue_id"):
        if settings[f"zaqar.{name}"] is None:
            _log.warning("No %s configured.", name)
            raise NotConfigured()
    if settings["zaqar.ssl_certificate_validation"] and settings["zaqar.ca_file"] is None:
        _log.warning("No CA file configured when flag ssl certificate validation is on.")
        raise NotConfigured()
    if settings["zaqar.use_websockets"]:
        _log.warning("This agent does not read zaqar's queues by websockets.")
        raise Unavailable()
    try:
        content = _message(settings)
    except (FetchError, ValueError, LookupError, TypeError, AttributeError) as error:
        _log.warning("%s", error)
        raise Unavailable() from error
    return explode(content, settings["deployment_key"], "zaqar")


def _message(settings: Settings) -> Any:
    ca_file = settings["zaqar.ca_file"]
    token, catalog = keystone.log_in(settings, "zaqar")
    endpoint = keystone.endpoint(catalog, "messaging", settings["zaqar.region_name"]).rstrip("/")
    headers = {
        "Accept": "application/json",
        "Client-ID": CLIENT_ID,
        "X-Auth-Token": token,
        "X-Project-ID": settings["zaqar.project_id"],
    }
    queue = urllib.parse.quote(settings["zaqar.queue_id"])
    url = f"{endpoint}/v2/queues/{queue}/messages?pop=1"
    messages = keystone.content(fetch(url, SECONDS, "DELETE", headers, ca_file=ca_file))["messages"]
    if not messages:
        raise ValueError(f"The queue {settings['zaqar.queue_id']} has no message")
    return messages[0]["body"]
