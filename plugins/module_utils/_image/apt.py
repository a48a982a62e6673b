# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Package mirrors from the host's own apt configuration: only Debian's archives, only one release."""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from .errors import ImageError

DEBIAN_COMPONENTS = frozenset({"main", "contrib", "non-free", "non-free-firmware"})
# Options that hold inside an image too; key rings and architectures of the host do not.
_KEPT_OPTIONS = ("trusted", "check-valid-until")
_KEYRING_RE = re.compile(r"/usr/share/keyrings/debian-[a-z0-9.-]+\Z")
_LINE_RE = re.compile(r"deb\s+(?:\[(?P<options>[^\]]*)\]\s+)?(?P<uri>\S+)\s+(?P<suite>\S+)\s+(?P<components>[^#]+)")


@dataclass(frozen=True)
class Source:
    """One archive: ``options`` are apt's, with names in lower case."""

    uri: str
    suite: str
    components: tuple[str, ...]
    options: tuple[tuple[str, str], ...] = ()

    def line(self) -> str:
        """As a line of sources.list for an image."""
        kept = " ".join(f"{name}={value}" for name, value in self.options if name in _KEPT_OPTIONS)
        prefix = f"deb [{kept}]" if kept else "deb"
        return f"{prefix} {self.uri} {self.suite} {' '.join(self.components)}"


def parse_list(text: str) -> Iterator[Source]:
    """The binary archives of a one-line style file (``.list``)."""
    for line in text.splitlines():
        match = _LINE_RE.match(line.strip())
        if match:
            pairs = (option.partition("=") for option in (match["options"] or "").split())
            options = tuple((name.lower(), value) for name, _operator, value in pairs)
            yield Source(match["uri"], match["suite"], tuple(match["components"].split()), options)


def parse_sources(text: str) -> Iterator[Source]:
    """The binary archives of a deb822 style file (``.sources``)."""
    for stanza in re.split(r"\n[ \t]*\n", text):
        fields = _fields(stanza)
        if "deb" not in fields.get("types", "").split() or fields.get("enabled", "yes").lower() in ("no", "false"):
            continue
        options = tuple(sorted((n, v) for n, v in fields.items() if n not in ("types", "uris", "suites", "components")))
        for uri in fields.get("uris", "").split():
            for suite in fields.get("suites", "").split():
                yield Source(uri, suite, tuple(fields.get("components", "").split()), options)


def _fields(stanza: str) -> dict[str, str]:
    fields: dict[str, str] = {}
    name = ""
    for line in stanza.splitlines():
        if line.startswith("#"):
            continue
        if line[:1] in " \t" and name:
            fields[name] += f" {line.strip()}"
        elif ":" in line:
            name, _separator, value = line.partition(":")
            name = name.strip().lower()
            fields[name] = value.strip()
    return fields


def of_release(sources: Iterable[Source], release: str) -> tuple[str, ...]:
    """Lines for an image: what is of this Debian release, each once, in order.

    An archive of somebody else with a suite of the same name is told by its components or its key ring.
    """
    lines: dict[str, None] = {}
    for source in sources:
        options = dict(source.options)
        keyring = options.get("signed-by", "")
        if (
            (source.suite == release or source.suite.startswith(f"{release}-"))
            and source.uri.startswith(("http://", "https://"))
            and source.components
            and DEBIAN_COMPONENTS.issuperset(source.components)
            and (not keyring or _KEYRING_RE.match(keyring))
        ):
            lines[source.line()] = None
    return tuple(lines)


def without_password(lines: Iterable[str]) -> tuple[str, ...]:
    """The same lines; raises ImageError for one with a password, which every image built from it would hold."""
    checked = tuple(lines)
    for number, line in enumerate(checked, 1):
        if re.search(r"://[^/\s]*@", line):
            raise ImageError(
                f"the archive of apt line {number} has a user name or a password in its URL",
                operation="build images",
                next_step="Put a mirror that needs none before the archive: the line is kept in images and logs.",
            )
    return checked


def host_lines(release: str, root: str = "/etc/apt") -> tuple[str, ...]:
    """The host's mirrors of a release; raises ImageError when it has none.

    root: folder of apt's configuration.
    """
    sources: list[Source] = []
    for path in (os.path.join(root, "sources.list"), *sorted(glob.glob(os.path.join(root, "sources.list.d", "*")))):
        if os.path.isfile(path) and path.endswith((".list", ".sources")):
            with open(path, encoding="utf-8", errors="replace") as stream:
                text = stream.read()
            sources.extend(parse_sources(text) if path.endswith(".sources") else parse_list(text))
    lines = of_release(sources, release)
    if not any(f" {release} " in line for line in lines):
        raise ImageError(
            f"the host's apt configuration has no Debian archive of {release}",
            operation="build images",
            next_step="give the lines of sources.list in the variable tripleo_apt_lines",
        )
    return lines
