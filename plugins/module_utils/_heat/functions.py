# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The functions that need nothing but their arguments."""

from __future__ import annotations

import hashlib
import itertools
import json
import re
import urllib.parse
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from .errors import Fault

GIVEN = re.compile(r"%\{given:")


def text_of(value: Any) -> str:
    """A value inside a text: maps and lists as JSON, null as nothing."""
    if value is None:
        return ""
    return json.dumps(value) if isinstance(value, (dict, list, tuple)) else str(value)


def need_text(value: Any, what: str) -> str:
    """The value when it is a text, else a Fault."""
    if isinstance(value, str):
        return value
    raise Fault(f"{what} must be a text, not {type(value).__name__}")


def need_list(value: Any, what: str) -> list[Any]:
    """The value when it is a list, else a Fault."""
    if isinstance(value, (list, tuple)):
        return list(value)
    raise Fault(f"{what} must be a list, not {type(value).__name__}")


def need_map(value: Any, what: str) -> dict[Any, Any]:
    """The value when it is a map, else a Fault."""
    if isinstance(value, Mapping):
        return dict(value)
    raise Fault(f"{what} must be a map, not {type(value).__name__}")


def list_join(arguments: Any) -> str:
    parts = need_list(arguments, "list_join's argument")
    if len(parts) < 2:
        raise Fault("list_join needs a delimiter and a list")
    delimiter, lists = need_text(parts[0], "list_join's delimiter"), parts[1:]
    items = itertools.chain.from_iterable(need_list([] if part is None else part, "list_join's list") for part in lists)
    return delimiter.join(
        text_of(item) if item is None or isinstance(item, (dict, list)) else need_text(item, "an item of list_join")
        for item in items
    )


def str_replace(arguments: Any, strict: bool = False, no_empty: bool = False) -> str:
    given = need_map(arguments, "str_replace's argument")
    if set(given) != {"template", "params"}:
        raise Fault("str_replace needs 'template' and 'params'")
    template = need_text(given["template"], "str_replace's template")
    params = need_map(given["params"], "str_replace's params")
    if "" in params:
        raise Fault("str_replace cannot replace an empty text")
    missing = [str(key) for key in params if str(key) not in template] if strict else []
    if missing:
        raise Fault(f"str_replace_strict: {', '.join(missing)} not found in the template")
    if no_empty and any(value in (None, "") for value in params.values()):
        raise Fault("str_replace_vstrict: a value is empty")
    # Longest key first, and never inside what was put in already: as Heat does.
    keys = sorted(map(str, params), key=lambda key: (-len(key), key))
    return _replace(template, keys, {str(key): text_of(value) for key, value in params.items()})


def _replace(text: str, keys: Sequence[str], values: Mapping[str, str]) -> str:
    if not keys or not text:
        return text
    first, rest = keys[0], keys[1:]
    return values[first].join(_replace(part, rest, values) for part in text.split(first))


def str_split(arguments: Any) -> Any:
    parts = need_list(arguments, "str_split's argument")
    if len(parts) not in (2, 3):
        raise Fault("str_split needs a delimiter, a text and perhaps an index")
    delimiter = need_text(parts[0], "str_split's delimiter")
    if not delimiter:
        raise Fault("str_split's delimiter is empty")
    if parts[1] is None:
        return None
    split = need_text(parts[1], "str_split's second argument").split(delimiter)
    if len(parts) == 2:
        return split
    try:
        return split[int(parts[2])]
    except (TypeError, ValueError, IndexError) as error:
        raise Fault(f"str_split has no item {parts[2]!r}") from error


def digest(arguments: Any) -> str:
    parts = need_list(arguments, "digest's argument")
    if len(parts) != 2 or str(parts[0]) not in hashlib.algorithms_available:
        raise Fault("digest needs an algorithm and a text")
    return hashlib.new(str(parts[0]), need_text(parts[1], "digest's text").encode()).hexdigest()


def map_merge(arguments: Any) -> dict[Any, Any]:
    merged: dict[Any, Any] = {}
    for part in need_list(arguments, "map_merge's argument"):
        merged.update(need_map({} if part is None else part, "map_merge's item"))
    return merged


def map_replace(arguments: Any) -> dict[Any, Any]:
    parts = need_list(arguments, "map_replace's argument")
    if len(parts) != 2:
        raise Fault("map_replace needs a map and a map with 'keys' and 'values'")
    changes = need_map(parts[1], "map_replace's second argument")
    keys = need_map(changes.get("keys") or {}, "map_replace's keys")
    values = need_map(changes.get("values") or {}, "map_replace's values")
    replaced: dict[Any, Any] = {}
    for key, value in need_map(parts[0], "map_replace's first argument").items():
        new = keys.get(key, key)
        if isinstance(new, (dict, list)):
            raise Fault("map_replace's keys must become plain values")
        if new in replaced:
            raise Fault(f"map_replace makes the key {new!r} twice")
        replaced[new] = values.get(value, value) if isinstance(value, (str, int, float, bool)) else value
    return replaced


def list_concat(arguments: Any, unique: bool = False) -> list[Any]:
    joined: list[Any] = []
    for part in need_list(arguments, "list_concat's argument"):
        for item in need_list([] if part is None else part, "list_concat's item"):
            if not unique or item not in joined:
                joined.append(item)
    return joined


def contains(arguments: Any) -> bool:
    parts = need_list(arguments, "contains' argument")
    if len(parts) != 2 or not isinstance(parts[1], (str, list)):
        raise Fault("contains needs a value and a list or text")
    return (need_text(parts[0], "contains' value") if isinstance(parts[1], str) else parts[0]) in parts[1]


def filter_out(arguments: Any) -> list[Any]:
    parts = need_list(arguments, "filter's argument")
    if len(parts) != 2:
        raise Fault("filter needs the values to take away and a list")
    unwanted = need_list(parts[0], "filter's values")
    return [item for item in need_list(parts[1], "filter's list") if item not in unwanted]


def make_url(arguments: Any) -> str:
    given = need_map(arguments, "make_url's argument")
    texts = ("scheme", "username", "password", "host", "path", "fragment")
    unknown = set(given) - {*texts, "port", "query"}
    if unknown:
        raise Fault(f"make_url has no {', '.join(sorted(map(str, unknown)))}")
    scheme, user, password, host, path, fragment = (need_text(given.get(key, ""), f"make_url's {key}") for key in texts)
    if ":" in scheme:
        raise Fault("make_url's scheme must not contain ':'")
    place = _quoted(user, "") + (f":{_quoted(password, '')}" if password else "") + ("@" if user or password else "")
    host = _quoted(host[1:-1] if host.startswith("[") and host.endswith("]") else host, ":")
    place += f"[{host}]" if ":" in host else host
    if "port" in given:
        place += f":{_port(given['port'])}"
    query = "&".join(
        f"{_quoted(text_of(key), ' /')}={_quoted(text_of(value), ' /')}"
        for key, value in need_map(given.get("query") or {}, "make_url's query").items()
    )
    parts = (scheme, place, _quoted(path, "/"), query.replace(" ", "+"), _quoted(fragment, "/"))
    return urllib.parse.urlunsplit(parts)


def _port(port: Any) -> int:
    try:
        number = int(port)
    except (TypeError, ValueError):
        number = 0
    if not 0 < number <= 65535:
        raise Fault(f"make_url's port must be a number between 1 and 65535, not {port!r}")
    return number


def _quoted(text: str, safe: str) -> str:
    """A text for a URL. What stands for a generated secret stays: those consist of letters and digits."""
    if GIVEN.search(text):
        raise Fault("function make_url on a given secret is not supported yet")
    parts = re.split(r"(%\{secret:[^{}%]+\})", text)
    return "".join(part if number % 2 else urllib.parse.quote(part, safe=safe) for number, part in enumerate(parts))


SIMPLE: dict[str, Callable[[Any], Any]] = {
    "list_join": list_join,
    "str_replace": str_replace,
    "str_replace_strict": lambda arguments: str_replace(arguments, strict=True),
    "str_replace_vstrict": lambda arguments: str_replace(arguments, strict=True, no_empty=True),
    "str_split": str_split,
    "digest": digest,
    "map_merge": map_merge,
    "map_replace": map_replace,
    "list_concat": list_concat,
    "list_concat_unique": lambda arguments: list_concat(arguments, unique=True),
    "contains": contains,
    "filter": filter_out,
    "make_url": make_url,
}

# A stand-in is not the secret: these would compute with the wrong value.
NEEDS_THE_VALUE = frozenset({"digest", "str_split", "contains", "filter", "map_replace"})
