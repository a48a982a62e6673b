# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What os-apply-config's command line does: print one key, or apply a template tree."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any, Callable, Optional

from . import checks, files, metadata, store, tree, values
from .atomic import sweep
from .errors import NodeError
from .unchanged import ACCOUNTS, Record, has_account

FALLBACK = (
    "/var/cache/heat-cfntools/last_metadata",
    "/var/lib/heat-cfntools/cfn-init-data",
    "/var/lib/cloud/data/cfn-init-data",
)
TEMPLATES = "/usr/libexec/os-apply-config/templates"
OLD_TEMPLATES = ("/opt/stack/os-apply-config/templates", "/opt/stack/os-config-applier/templates")
LIST = "/var/lib/os-collect-config/os_config_files.json"
OLD_LIST = "/var/run/os-collect-config/os_config_files.json"

Warn = Callable[[str], None]


def default_templates(environment: Mapping[str, str], warn: Warn) -> str:
    """The template root; an old place counts when it exists and the new one does not."""
    given = environment.get("OS_CONFIG_APPLIER_TEMPLATES")
    if given is not None:
        return given
    for old in OLD_TEMPLATES:
        if os.path.isdir(old) and not os.path.isdir(TEMPLATES):
            warn(f"Template directory {old} is deprecated.  The recommended location for template files is {TEMPLATES}")
            return old
    return TEMPLATES


def metadata_files(
    given: Sequence[str], environment: Mapping[str, str], list_file: str, default_list: str, warn: Warn
) -> list[str]:
    """The documents to read, lowest priority first: the given ones, else OS_CONFIG_FILES, else the list's."""
    if given:
        return list(given)
    if "OS_CONFIG_FILES" in environment:
        return environment["OS_CONFIG_FILES"].split(":")
    listed = store.load_list(list_file)
    if not listed and list_file == default_list:
        warn(f"DEPRECATED: falling back to {OLD_LIST}")
        return store.load_list(OLD_LIST)
    return listed


def key_text(paths: Sequence[str], fallback: Sequence[str], key: str, type_name: str, default: Optional[str]) -> str:
    """The text to print for a key. Raises NodeError when it is missing without a default, or of another type."""
    value = metadata.lookup(_merged(paths, fallback), key)
    if value is not None:
        return values.format_value(value, type_name)
    if default is None:
        raise NodeError(f"key {key} does not exist in {list(paths)}")
    return default


def boolean_status(paths: Sequence[str], fallback: Sequence[str], key: str) -> int:
    """Exit status for a boolean key: 0 true, 1 false, 255 for anything else."""
    value = metadata.lookup(_merged(paths, fallback), key)
    return int(not value) if isinstance(value, bool) else 255


def render(
    paths: Sequence[str], fallback: Sequence[str], templates: str, subhash: Optional[str]
) -> list[tree.Rendered]:
    """The whole tree of templates, rendered with the merged documents."""
    return tree.render_tree(templates, metadata.subhash(_merged(paths, fallback), subhash))


def write(
    rendered: Sequence[tree.Rendered],
    templates: str,
    output: str,
    environment: Mapping[str, str],
    tell: Callable[[str], None],
) -> None:
    """Check what differs below output, write it, and tell what is done to each file before it is."""
    sweep(os.path.join(output, item.path) for item in rendered)
    changes = {change.path: change for change in files.compare(rendered, output)}
    wanted = checks.wanted_checks(templates, output, rendered, list(changes.values()))
    checks.run_checks(wanted, list(changes.values()), output, environment)
    for item in rendered:
        path = os.path.join(output, item.path)
        change = changes.get(path)
        if change:
            tell(f"deleting {path}" if change.kind == "delete" else f"writing {path}")
            files.write([change])
        elif _unwanted(item):
            tell(f"not creating empty {path}")


def record(recorded: Record, rendered: Sequence[tree.Rendered], output: str) -> None:
    """Remember an application that has ended, unless the next one may render something else from the same files."""
    if any(os.access(item.template, os.X_OK) for item in rendered):
        return
    _switch, users, groups = ACCOUNTS
    for item in rendered:
        if not has_account(users, item.control.uid) or not has_account(groups, item.control.gid):
            return
    targets = {item: os.path.join(output, item.path) for item in rendered}
    absent = [f"not creating empty {path}" for item, path in targets.items() if _unwanted(item)]
    recorded.save(list(targets.values()), [*absent, "success"], lambda: not files.compare(rendered, output))


def _unwanted(item: tree.Rendered) -> bool:
    return not item.body and not item.control.allow_empty


def _merged(paths: Sequence[str], fallback: Sequence[str]) -> dict[str, Any]:
    return metadata.merge(metadata.read_files([*fallback, *paths]))
