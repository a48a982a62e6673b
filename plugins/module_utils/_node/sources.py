# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""os-collect-config's sources that need no account: files, config drive, EC2 metadata service, one URL."""

from __future__ import annotations

import calendar
import json
import logging
import os
import stat
import time
from collections.abc import Iterable
from typing import Any, Optional

from . import config_drive, metadata
from .errors import NodeError
from .fetch import FetchError, fetch
from .options import Settings

Source = list[tuple[str, Any]]
NOT_MODIFIED = 304
_GROUPS = ("os-apply-config", "Heat::Ungrouped")

_log = logging.getLogger("os_collect_config")


class Unavailable(Exception):
    """The source has nothing now. What was wrong has been logged."""


class NotConfigured(Unavailable):
    """The settings do not name the source."""


def explode(content: Any, keys: Iterable[str], name: str) -> Source:
    """The document under its collector's name, and after it each deployment that os-apply-config should see."""
    if not isinstance(content, dict):
        raise _unavailable(f"Source [{name}] is not a JSON object")
    found: Source = [(name, content)]
    for key in keys:
        if key not in content:
            continue
        if not isinstance(content[key], list):
            _log.warning("Deployment-key %s was found but does not contain a list.", key)
            continue
        for deployment in content[key]:
            if not isinstance(deployment, dict) or "name" not in deployment:
                _log.warning("No name found for a deployment under %s.", key)
            elif deployment.get("group", _GROUPS[1]) in _GROUPS:
                if "config" not in deployment:
                    raise _unavailable(f"Deployment {deployment['name']} of source [{name}] has no config")
                found.append((str(deployment["name"]), deployment["config"]))
    return found


def parse(text: str) -> Any:
    """The JSON document in text. Raises ValueError, also for one that is nested too deeply."""
    try:
        value = json.loads(text)
        metadata.check_depth(value, "the document")
    except (RecursionError, NodeError) as error:
        raise ValueError(f"nested more than {metadata.MAX_DEPTH} levels deep") from error
    return value


def _unavailable(cause: object) -> Unavailable:
    _log.warning("%s", cause)
    return Unavailable()


def heat_local(settings: Settings) -> Source:
    """The first levels of JSON files, later files over earlier ones."""
    content: Any = None
    for path in settings["heat_local.path"]:
        if not os.path.exists(path):
            continue
        try:
            value = _load(path)
        except ValueError as error:
            _log.info("%s is not valid JSON (%s)", path, error)
            continue
        if content and not (isinstance(content, dict) and isinstance(value, dict)):
            raise _unavailable(f"{path} cannot be merged: not a JSON object")
        content = {**content, **value} if content else value
    if not content:
        _log.info("Local metadata not found (%s)", settings["heat_local.path"])
        raise Unavailable()
    return [("heat_local", content)]


def local(settings: Settings) -> Source:
    """Each file of the given folders under its own name; nothing at all when one of them is not to be trusted."""
    content: Source = []
    for folder in settings["local.path"]:
        try:
            status = os.stat(folder)
        except OSError:
            _log.warning("%s not found. Skipping", folder)
            continue
        if _insecure(folder, status):
            raise Unavailable()
        for name in os.listdir(folder):
            path = os.path.join(folder, name)
            if name.startswith(".") or os.path.isdir(path):
                continue
            try:
                if os.stat(path).st_mode & stat.S_IWOTH:
                    _log.error("%s is world writable. This is a security risk.", path)
                    raise Unavailable()
                content.append((name, _load(path)))
            except OSError as error:
                raise _unavailable(f"{path} cannot be read: {error.strerror}") from error
            except ValueError as error:
                _log.error("%s is not valid JSON (%s)", path, error)
                raise Unavailable() from error
    if not content:
        _log.info("No local metadata found (%s)", settings["local.path"])
    return sorted(content, key=lambda entry: os.fsencode(entry[0]))


def _insecure(folder: str, status: os.stat_result) -> bool:
    foreign = status.st_uid != os.getuid()
    if foreign:
        _log.error("%s is owned by another user. This is a security risk.", folder)
    if status.st_mode & stat.S_IWOTH:
        _log.error("%s is world writable. This is a security risk.", folder)
    return foreign or bool(status.st_mode & stat.S_IWOTH)


def _load(path: str) -> Any:
    with open(path, "rb") as stream:
        text = stream.read(metadata.MAX_BYTES + 1)
    if len(text) > metadata.MAX_BYTES:
        raise ValueError(f"larger than {metadata.MAX_BYTES} bytes")
    return parse(text.decode("utf-8"))


def ec2(settings: Settings) -> Source:
    """What was collected once, for ever; else the config drive; else the metadata service."""
    cached = os.path.join(settings["cachedir"], "ec2.json")
    if os.path.exists(cached):
        try:
            known = _load(cached)
        except ValueError as error:
            _log.warning("%s", error)
            known = None
        if known:
            return [("ec2", known)]
    found = config_drive.ec2_metadata()
    if found:
        return [("ec2", found)]
    try:
        return [("ec2", _tree(f"{settings['ec2.metadata_url']}/", settings["ec2.timeout"]))]
    except FetchError as error:
        raise _unavailable(error) from error


def _tree(url: str, seconds: float, depth: int = 0) -> Any:
    answer = fetch(url, seconds)
    answer.check()
    if not url.endswith("/"):
        return answer.text
    if depth > metadata.MAX_DEPTH:
        raise FetchError(f"{url} is nested more than {metadata.MAX_DEPTH} levels deep")
    content = {}
    for line in answer.text.split("\n"):
        key = line.split("=", 1)[0] + "/" if "=" in line else line
        if key:
            content[key[:-1] if key.endswith("/") else key] = _tree(url + key, seconds, depth + 1)
    return content


class Request:
    """One document at one URL.

    It is fetched again only when it has another ETag, or a later Last-Modified, than what is known. ``known`` may be
    kept and given to another process.
    """

    def __init__(self, known: Optional[dict[str, Any]] = None) -> None:
        self.known = known or {}

    def __call__(self, settings: Settings) -> Source:
        """Collect once."""
        url = settings["request.metadata_url"]
        if url is None:
            _log.info("No metadata_url configured.")
            raise Unavailable()
        if self.known.get("url") != url:
            self.known = {"url": url}
        try:
            self._fetch(url, settings["request.timeout"])
        except FetchError as error:
            raise _unavailable(error) from error
        except ValueError as error:
            raise _unavailable(f"Failed to parse as json. ({error})") from error
        return explode(self.known["content"], settings["deployment_key"], "request")

    def _fetch(self, url: str, seconds: float) -> None:
        tag, modified = self.known.get("etag"), None
        if not tag:
            head = fetch(url, seconds, "HEAD", redirects=False)
            modified, before = _time(head.headers.get("last-modified")), self.known.get("modified")
            if modified is not None and before is not None and modified <= before:
                return
        answer = fetch(url, seconds, headers={"If-None-Match": tag} if tag else None)
        if tag and answer.status == NOT_MODIFIED:
            return
        answer.check()
        value = parse(answer.text)
        if not isinstance(value, dict):
            raise _unavailable("The document is not a JSON object")
        self.known = {"url": url, "etag": answer.headers.get("etag"), "modified": modified, "content": value}


def _time(text: Optional[str]) -> Optional[int]:
    try:
        return calendar.timegm(time.strptime(text or "", "%a, %d %b %Y %H:%M:%S %Z"))
    except ValueError:
        return None
