# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""os-collect-config's options: command line, environment and configuration files, with oslo.config's rules."""

from __future__ import annotations

import argparse
import glob
import os
import string
import urllib.parse
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Callable, Optional

from .errors import NodeError

PROGRAM = "os-collect-config"
COLLECTORS = ("heat_local", "ec2", "cfn", "heat", "request", "local", "zaqar")
VERSION = "14.1.0"
_TRUE = ("true", "1", "on", "yes")
_FALSE = ("false", "0", "off", "no")


def _boolean(text: str) -> bool:
    if text.lower() not in _TRUE + _FALSE:
        raise ValueError(text)
    return text.lower() in _TRUE


def _uri(text: str) -> str:
    parts = urllib.parse.urlsplit(text)
    if not parts.scheme or not parts.hostname or any(letter <= " " for letter in text):
        raise ValueError(text)
    return text


_KINDS = {str: "String", float: "Float", int: "Integer", _boolean: "Boolean", _uri: "URI"}


@dataclass(frozen=True)
class Option:
    """One option. ``group`` is a section of a configuration file; ``key`` is the name there."""

    name: str
    kind: Callable[[str], Any] = str
    default: Any = None
    group: str = "DEFAULT"
    multi: bool = False
    flags: tuple[str, ...] = ()
    dest: str = ""

    @property
    def key(self) -> str:
        return self.dest or self.name.replace("-", "_")

    @property
    def attribute(self) -> str:
        """Where it lies in a namespace, and how Settings name it."""
        return self.key if self.group == "DEFAULT" else f"{self.group}.{self.key}"


def _grouped(group: str, *options: Option) -> tuple[Option, ...]:
    return tuple(
        Option(option.name, option.kind, option.default, group, option.multi, option.flags) for option in options
    )


_SESSION = (Option("user-id"), Option("password"), Option("project-id"), Option("auth-url", _uri))
OPTIONS = (
    Option("command", flags=("-c",)),
    Option("cachedir", default="/var/lib/os-collect-config"),
    Option("backup-cachedir", default="/var/run/os-collect-config"),
    Option("collectors", default=list(COLLECTORS), multi=True),
    Option("one-time", _boolean, False),
    Option("min-polling-interval", float, 1.0),
    Option("polling-interval", float, 30.0, flags=("-i",)),
    Option("print-cachedir", _boolean, False),
    Option("force", _boolean, False),
    Option("print", _boolean, False, dest="print_only"),
    Option("deployment-key", default=["deployments"], multi=True),
    Option("splay", float, 0.0),
    Option("debug", _boolean, False, flags=("-d",)),
    Option("log-file", flags=("--logfile",)),
    Option("log-dir", flags=("--logdir",)),
    Option("log-config-append", flags=("--log-config", "--log_config")),
    Option("log-date-format", default="%Y-%m-%d %H:%M:%S"),
    Option("syslog-log-facility", default="LOG_USER"),
    Option("use-syslog", _boolean, False),
    Option("use-journal", _boolean, False),
    Option("use-json", _boolean, False),
    Option("use-stderr", _boolean, False),
    *_grouped(
        "ec2",
        Option("metadata-url", _uri, "http://169.254.169.254/latest/meta-data"),
        Option("timeout", float, 10.0),
    ),
    *_grouped(
        "cfn",
        Option("metadata-url", _uri),
        Option("heat-metadata-hint", default="/var/lib/heat-cfntools/cfn-metadata-server"),
        Option("ca_certificate"),
        Option("stack-name"),
        Option("path", multi=True),
        Option("secret-access-key"),
        Option("access-key-id"),
        Option("deployment-key", default=["deployments"], multi=True),
        Option("timeout", float, 10.0),
    ),
    *_grouped("heat_local", Option("path", default=["/var/lib/heat-cfntools/cfn-init-data"], multi=True)),
    *_grouped("local", Option("path", default=["/var/lib/os-collect-config/local-data"], multi=True)),
    *_grouped("heat", *_SESSION, Option("stack-id"), Option("resource-name"), Option("region-name")),
    *_grouped("request", Option("metadata-url", _uri), Option("timeout", float, 10.0)),
    *_grouped("node_agent", Option("polling", _boolean, False), Option("longest-pause", float, 3600.0)),
    *_grouped("keystone", Option("cache_dir"), Option("cache_ttl", int, 1800)),
    *_grouped(
        "zaqar",
        *_SESSION,
        Option("queue-id"),
        Option("use-websockets", _boolean, False),
        Option("region-name"),
        Option("ssl-certificate-validation", _boolean, False),
        Option("ca-file"),
    ),
)
_FILE_ONLY = ("use_stderr",)
_BY_ATTRIBUTE = {option.attribute: option for option in OPTIONS}


class _Template(string.Template):
    idpattern = r"[_a-z][\._a-z0-9]*"


class Settings:
    """The values that hold, by ``key`` or ``group.key``. ``files`` are the configuration files that were read."""

    def __init__(self, raw: Mapping[str, Any], files: Sequence[str]) -> None:
        self._raw = raw
        self.files = list(files)

    def __getitem__(self, attribute: str) -> Any:
        """Raises NodeError when the value is not of its type, or refers to what is no option."""
        option = _BY_ATTRIBUTE[attribute]
        value = self._raw.get(attribute, option.default)
        try:
            if isinstance(value, list):
                return [option.kind(self._substitute(entry, option)) for entry in value]
            return option.kind(self._substitute(value, option)) if isinstance(value, str) else value
        except ValueError as error:
            raise NodeError(f"argument --{option.key}: Invalid {_KINDS[option.kind]} value: {value}") from error

    def _substitute(self, text: str, option: Option) -> str:
        settings = self

        class Values(dict[str, str]):
            def __missing__(self, name: str) -> str:
                for attribute in (name, f"{option.group}.{name}"):
                    if attribute in _BY_ATTRIBUTE:
                        value = settings[attribute]
                        return "" if value is None else str(value)
                raise NodeError(f"no such option {name} in group [{option.group}]; write $$ for a dollar sign")

        return _Template(text.replace(r"\$", "$$")).safe_substitute(Values())

    def over(self, defaults: Mapping[str, Any]) -> Settings:
        """These settings, with other values where none is given. Raises NodeError when one is not of its type."""
        settings = Settings({**defaults, **self._raw}, self.files)
        settings.check()
        return settings

    def check(self) -> None:
        """Raise NodeError when any value is not of its type."""
        for attribute in _BY_ATTRIBUTE:
            self[attribute]


def parse(arguments: Sequence[str], environment: Mapping[str, str]) -> Settings:
    """The settings of a command line. Raises SystemExit as argparse does, and NodeError for files and values."""
    reader = _Files()
    namespace = argparse.Namespace()
    if not any(argument.split("=", 1)[0] == "--config-file" for argument in arguments):
        for path in _default("", environment):
            reader.read(path, namespace)
    if not any(argument.split("=", 1)[0] == "--config-dir" for argument in arguments):
        for folder in _default(".d", environment):
            reader.read_folder(folder, namespace)
    _parser(reader).parse_args(arguments, namespace)
    if reader.missing:
        raise NodeError(f"Failed to find some config files: {','.join(reader.missing)}")
    raw = {}
    for option in OPTIONS:
        value = getattr(namespace, option.attribute, None)
        in_file = option.attribute in reader.values
        if option.attribute == "collectors" and not value:
            value = reader.values.get("collectors")
        given = environment.get(f"OS_{option.group.upper()}__{option.key.upper()}")
        if given is not None and (in_file or value is None):
            value = [given] if option.multi else given
        if value is not None:
            raw[option.attribute] = value
    settings = Settings(raw, reader.files)
    settings.check()
    return settings


def _default(suffix: str, environment: Mapping[str, str]) -> list[str]:
    places = (os.path.join(folder, f"{PROGRAM}.conf{suffix}") for folder in (environment.get("HOME") or "/", "/etc"))
    return [path for path in places if os.path.exists(path)][:1]


class _Files:
    """Reads configuration files in the order in which the command line names them; later values win."""

    def __init__(self) -> None:
        self.values: dict[str, Any] = {}
        self.files: list[str] = []
        self.missing: list[str] = []

    def read(self, path: str, namespace: argparse.Namespace) -> None:
        self.files.append(path)
        self._read(path, namespace)

    def read_folder(self, folder: str, namespace: argparse.Namespace) -> None:
        if not os.path.isdir(folder):
            raise NodeError(f"Failed to read config file directory: {folder}")
        for path in sorted(glob.glob(os.path.join(glob.escape(folder), "*.conf"))):
            self._read(path, namespace)

    def _read(self, path: str, namespace: argparse.Namespace) -> None:
        path = os.path.abspath(os.path.expanduser(path))
        try:
            with open(path, encoding="utf-8") as stream:
                lines = stream.read().split("\n")
        except FileNotFoundError:
            self.missing.append(path)
            return
        except (OSError, UnicodeError) as error:
            raise NodeError(f"{path} cannot be read: {error}") from error
        for group, key, value in _assignments(lines, path):
            attribute = key if group == "DEFAULT" else f"{group.lower()}.{key}"
            option = _BY_ATTRIBUTE.get(attribute)
            if option is None:
                continue
            if option.multi:
                self.values[attribute] = [*self.values.get(attribute, []), value]
                setattr(namespace, attribute, [*(getattr(namespace, attribute, None) or []), value])
            else:
                self.values[attribute] = value
                setattr(namespace, attribute, value)


def _assignments(lines: Sequence[str], path: str) -> Iterator[tuple[str, str, str]]:
    """Section, key and value of each assignment of an ini file; an indented line goes on with the one above."""
    section, key, value = "", "", [""]
    for number, full in enumerate([*lines, ""], 1):
        line = full.rstrip()
        if line.startswith((" ", "\t")) and key:
            value.append(line.lstrip())
            continue
        if key:
            if not section:
                raise NodeError(f"Failed to parse {path}: at line {number}, Section must be started before assignment")
            yield section, key, "\n".join(value)
            key = ""
        if not line or line.startswith(("#", ";")):
            continue
        if line.startswith((" ", "\t")):
            raise NodeError(f"Failed to parse {path}: at line {number}, Unexpected continuation line: {line!r}")
        if line.startswith("["):
            if not line.endswith("]") or len(line) <= 2:
                raise NodeError(f"Failed to parse {path}: at line {number}, Invalid section: {line!r}")
            section = line[1:-1]
            continue
        places = [place for place in (line.find(":"), line.find("=")) if place >= 0]
        if not places or not line[: min(places)].strip():
            raise NodeError(f"Failed to parse {path}: at line {number}, not an assignment: {line!r}")
        key, text = line[: min(places)].strip(), line[min(places) + 1 :].strip()
        value = [text[1:-1] if text and text[0] == text[-1] and text[0] in "\"'" else text]


def _parser(reader: _Files) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=PROGRAM, argument_default=argparse.SUPPRESS)
    parser.add_argument("--version", action="version", version=VERSION)
    parser.add_argument("--config-file", action=_reading(reader.read), metavar="PATH", help="may be repeated")
    parser.add_argument("--config-dir", action=_reading(reader.read_folder), metavar="DIR", help="reads its *.conf")
    parser.add_argument("collectors", nargs="*", help=f"the sources, in their order (default: {' '.join(COLLECTORS)})")
    for option in OPTIONS:
        prefix = "" if option.group == "DEFAULT" else f"{option.group}-"
        names = (f"--{prefix}{option.name}", *option.flags)
        if option.attribute == "collectors" or option.key in _FILE_ONLY:
            continue
        if option.kind is _boolean:
            parser.add_argument(*names, dest=option.attribute, action="store_const", const="true")
            parser.add_argument(
                f"--{prefix}no{option.name}", dest=option.attribute, action="store_const", const="false"
            )
        else:
            action = "append" if option.multi else "store"
            parser.add_argument(*names, dest=option.attribute, action=action, metavar=option.key.upper())
    return parser


def _reading(read: Callable[[str, argparse.Namespace], None]) -> type[argparse.Action]:
    class Read(argparse.Action):
        def __call__(
            self,
            parser: argparse.ArgumentParser,
            namespace: argparse.Namespace,
            values: Any,
            option_string: Optional[str] = None,
        ) -> None:
            read(str(values), namespace)

    return Read
