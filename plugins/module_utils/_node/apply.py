# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What os-apply-config's command line does: print one key, or apply a template tree."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Optional

from . import files, metadata, store, tree, values
from .errors import NodeError
from .paths import Paths

FALLBACK = (
    "/var/cache/heat-cfntools/last_metadata",
    "/var/lib/heat-cfntools/cfn-init-data",
    "/var/lib/cloud/data/cfn-init-data",
)


def metadata_files(
    given: Sequence[str], environment: Mapping[str, str], list_file: str, fallback: Sequence[str] = FALLBACK
) -> list[str]:
    """The documents to read, lowest priority first: fallback, then given ones, else OS_CONFIG_FILES, else the list."""
    if given:
        return [*fallback, *given]
    if "OS_CONFIG_FILES" in environment:
        return [*fallback, *environment["OS_CONFIG_FILES"].split(":")]
    return [*fallback, *store.load_list(list_file)]


def key_text(paths: Sequence[str], key: str, type_name: str, default: Optional[str]) -> str:
    """The text to print for a key. Raises NodeError when it is missing without a default, or of another type."""
    value = metadata.lookup(_merged(paths), key)
    if value is not None:
        return values.format_value(value, type_name)
    if default is None:
        raise NodeError(f"key {key} does not exist in {list(paths)}")
    return default


def boolean_status(paths: Sequence[str], key: str) -> int:
    """Exit status for a boolean key: 0 true, 1 false, 255 for anything else."""
    value = metadata.lookup(_merged(paths), key)
    return int(not value) if isinstance(value, bool) else 255


def apply(paths: Sequence[str], templates: str, output: str, subhash: Optional[str], validate: bool) -> list[str]:
    """Render templates below output; return the paths that changed. validate writes nothing."""
    context = metadata.subhash(_merged(paths), subhash)
    rendered = tree.render_tree(templates, context)
    if validate:
        return []
    changes = files.compare(rendered, output)
    files.write(changes)
    return [change.path for change in changes]


def default_list(paths: Paths, environment: Mapping[str, str]) -> str:
    """Where the list of documents lies."""
    return environment.get("OS_CONFIG_FILES_PATH") or paths.config_files


def _merged(paths: Sequence[str]) -> dict[str, Any]:
    return metadata.merge(metadata.read_files(paths))
