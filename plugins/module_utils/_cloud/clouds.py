# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The operator's clouds.yaml."""

from __future__ import annotations

import os
import tempfile
from typing import Any

from .errors import CloudError
from .model import User

MISSING = ""
try:
    import yaml
except ImportError as error:
    MISSING = str(error)


def clouds_yaml(cloud: str, auth_url: str, user: User, region: str, cacert: str) -> str:
    """Text of a clouds.yaml with one cloud in it."""
    if MISSING:
        raise CloudError(f"the Python library PyYAML is missing here: {MISSING}", operation="write clouds.yaml")
    entry = {
        "auth": {
            "auth_url": auth_url,
            "username": user.name,
            "password": user.password,
            "project_name": user.project,
            "user_domain_name": "Default",
            "project_domain_name": "Default",
        },
        "region_name": region,
        "interface": "public",
        "identity_api_version": 3,
    }
    if cacert:
        entry["cacert"] = cacert
    return str(yaml.safe_dump({"clouds": {cloud: entry}}, sort_keys=False))


def read_clouds(path: str, cloud: str) -> dict[str, Any]:
    """One cloud of a clouds.yaml; CloudError when it is not there."""
    if MISSING:
        raise CloudError(f"the Python library PyYAML is missing here: {MISSING}", operation="read clouds.yaml")
    try:
        with open(path, encoding="utf-8") as stream:
            entry: dict[str, Any] = yaml.safe_load(stream)["clouds"][cloud]
    except (OSError, KeyError, TypeError, yaml.YAMLError) as error:
        # PyYAML's own words quote lines of the file, which holds a password.
        cause = error.strerror if isinstance(error, OSError) else "it is damaged, or made for another stack"
        raise CloudError(
            f"{path} has no cloud {cloud}: {cause}",
            operation="read clouds.yaml",
            next_step="Run the playbook tripleo.cloud.initialize.",
        ) from None
    return entry


def write_secret(path: str, text: str, *, check: bool) -> bool:
    """Bring a file of mode 0600 to hold text; whether it was, or would be, changed."""
    try:
        with open(path, encoding="utf-8") as stream:
            if stream.read() == text and os.stat(path).st_mode & 0o777 == 0o600:
                return False
    except FileNotFoundError:
        pass
    if not check:
        os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
        descriptor, temporary = tempfile.mkstemp(dir=os.path.dirname(path), prefix=".writing-")
        with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
            stream.write(text)
        os.replace(temporary, path)
    return True
