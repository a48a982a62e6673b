# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Secrets of a stack: stand-ins in everything that is stored or shown. `_state.secrets` keeps their values."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import re
import secrets as random
import string
import urllib.parse
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from .errors import PlanError

# What a preview says of what only an earlier phase's real run makes.
UNKNOWN = "known after prepare"
STAND_IN = re.compile(rf"%\{{(?P<kind>secret|given):(?P<name>[^#{{}}%]+)#(?P<version>[0-9a-f]+|{UNKNOWN})\}}")

CLASSES = {
    "lettersdigits": string.ascii_letters + string.digits,
    "letters": string.ascii_letters,
    "lowercase": string.ascii_lowercase,
    "uppercase": string.ascii_uppercase,
    "digits": string.digits,
    "hexdigits": string.digits + "ABCDEF",
    "octdigits": string.octdigits,
}


def generated(name: str, version: int = 1) -> str:
    """Stand-in of a generated secret."""
    return f"%{{secret:{name}#{version}}}"


def given(name: str, value: str, key: bytes | None) -> str:
    """Stand-in of a secret that the user gave: a keyed digest, so that another value is another stand-in.

    Without a key the version is `UNKNOWN`: a digest that everybody can make would give a weak secret away.
    """
    digest = hmac.new(key, f"{name}\0{value}".encode(), hashlib.sha256).hexdigest()[:16] if key else UNKNOWN
    return f"%{{given:{name}#{digest}}}"


def stand_ins(value: Any) -> Iterator[str]:
    """Every stand-in in a document."""
    if isinstance(value, str):
        yield from (match.group(0) for match in STAND_IN.finditer(value))
    elif isinstance(value, (Mapping, list, tuple)):
        for part in value.values() if isinstance(value, Mapping) else value:
            yield from stand_ins(part)


def is_known(value: Any) -> bool:
    """No stand-in in a document waits for the key."""
    return not any(stand_in.endswith(f"#{UNKNOWN}}}") for stand_in in stand_ins(value))


def random_string(length: int = 32, kind: str = "lettersdigits") -> str:
    """A new random text of one of Heat's character classes."""
    alphabet = CLASSES[kind]
    return "".join(random.choice(alphabet) for _number in range(length))


def fill(value: Any, values: Mapping[str, str]) -> Any:
    """A document with every stand-in replaced by its value; PlanError names one that has none."""
    if isinstance(value, str):
        return STAND_IN.sub(lambda match: _value(match.group(0), values), value)
    if isinstance(value, Mapping):
        return {key: fill(part, values) for key, part in value.items()}
    if isinstance(value, list):
        return [fill(part, values) for part in value]
    return value


def _value(stand_in: str, values: Mapping[str, str]) -> str:
    if stand_in not in values:
        raise PlanError(
            f"there is no value for {stand_in} in the stack's secrets",
            operation="fill in secrets",
            next_step="Run the playbook tripleo.cloud.deploy again.",
        )
    return values[stand_in]


def redact(text: str, values: Mapping[str, str]) -> str:
    """A text without any of the values, as `redactor` says."""
    return redactor(values)(text)


def redactor(values: Mapping[str, str]) -> Callable[[str], str]:
    """Takes all values out of a text, as they are and as messages and URLs write them; stand-ins show instead."""
    written = {
        form: stand_in
        for stand_in, value in values.items()
        if len(value) >= 4
        for form in (
            value,
            json.dumps(value)[1:-1],
            repr(value)[1:-1],
            urllib.parse.quote(value, safe=""),
            urllib.parse.quote_plus(value),
            base64.b64encode(value.encode()).decode(),
        )
    }
    forms = sorted(written, key=len, reverse=True)

    def clean(text: str) -> str:
        for form in forms:
            text = text.replace(form, written[form])
        return text

    return clean
