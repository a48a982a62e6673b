#!/usr/bin/python
# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: apply_config
short_description: Render configuration files from metadata documents
version_added: 0.1.0
description:
  - Merges metadata documents and renders a tree of mustache templates, which mirrors the root file system, the way
    C(os-apply-config) does. The node agent in golden images does the same with the same code.
  - Every template is rendered before anything is written. One that cannot be rendered leaves every file untouched.
  - A file that is as it should be is not touched. One that differs is replaced atomically and flushed to the disk.
    Its mode and owner are kept unless a control file, C(<template>.oac), says otherwise.
  - An executable template gets the merged metadata as JSON on standard input, and what it prints is the file. It is
    executed in check mode too.
  - What changes is validated before it is swapped in. A check is an executable C(<template>.check) beside the template,
    or a line of C(checks.yaml) beside the tree, which gives a command for a glob. The guide has a page on it.
  - All files are swapped in as one, by a journal. What a killed run leaves is undone or finished by the next one.
  - The last generations of the files are kept and can come back.
options:
  state:
    description:
      - V(applied) renders the templates and writes what differs.
      - V(rolled_back) brings the files of the last good generation before the current one back. Nothing changes where
        the current generation is not the newest any more.
      - V(drift) changes nothing and returns what differs from the files as they were applied last.
    type: str
    choices: [applied, rolled_back, drift]
    default: applied
  generation:
    description: With O(state=rolled_back), the number of the generation that shall come back.
    type: int
  generations:
    description: How many generations are kept.
    type: int
    default: 5
  validate:
    description: Whether the checks are run.
    type: bool
    default: true
  state_dir:
    description: Folder on the host for generations and journal. The node agent's by default.
    type: path
    default: /var/lib/node-agent
  documents:
    description:
      - Metadata documents, lowest priority first. Dictionaries are merged deeply, anything else is replaced.
      - They come after those of O(files).
    type: list
    elements: dict
    default: []
  files:
    description:
      - Files on the host with a metadata document each, in JSON, lowest priority first. Missing files are skipped.
    type: list
    elements: path
    default: []
  subhash:
    description: A dotted key. The dictionary that it leads to is the whole context of the templates.
    type: str
  templates:
    description: Folder with the tree of templates.
    type: path
    default: /usr/libexec/os-apply-config/templates
  output:
    description: The root below which files are written.
    type: path
    default: /
  strict:
    description:
      - Whether a variable without a value is an error, which names the template and the key.
      - A section on a missing key is none, it is how a template asks whether there is one.
    type: bool
    default: false
extends_documentation_fragment:
  - tripleo.cloud.attributes
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
    details: Values of keys that are named like secrets are masked. Other states than V(applied) mask whole contents.
  idempotent:
    support: full
requirements:
  - pystache
seealso:
  - module: tripleo.cloud.metadata_push
author:
  - The tripleo.cloud authors (@tripleo)
"""

EXAMPLES = r"""
- name: Write the configuration of the database client
  tripleo.cloud.apply_config:
    templates: /opt/elements/mysql-common/os-apply-config
    documents:
      - mysql:
          root-password: "{{ mysql_root_password }}"
  notify: Restart what uses it

- name: Apply what os-collect-config has collected, and refuse missing keys
  tripleo.cloud.apply_config:
    files:
      - /var/lib/os-collect-config/ec2.json
      - /var/lib/os-collect-config/local.json
    strict: true

- name: See what was changed by hand since
  tripleo.cloud.apply_config:
    state: drift
  register: drift

- name: Bring the last good files back
  tripleo.cloud.apply_config:
    state: rolled_back
"""

RETURN = r"""
generation:
  description: Number of the generation whose files lie on the disk; 0 for none. In check mode, that of before.
  returned: success
  type: int
  sample: 3
missing_keys:
  description: Variables of templates that have no value.
  returned: with O(state=applied)
  type: list
  elements: dict
  sample: [{template: /usr/libexec/os-apply-config/templates/etc/app.conf, key: app.port}]
changed_files:
  description:
    - What changed, or would change in check mode. With O(state=drift), what would make the files again what they were.
  returned: success
  type: list
  elements: dict
  contains:
    path:
      description: The file.
      type: str
    change:
      description: One of V(create), V(change), V(attributes) and V(delete).
      type: str
  sample: [{path: /root/.my.cnf, change: create}]
total:
  description: Number of templates.
  returned: with O(state=applied)
  type: int
  sample: 12
"""

import contextlib
import os
from typing import Any

from ansible.module_utils.basic import AnsibleModule, missing_required_lib
from ansible_collections.tripleo.cloud.plugins.module_utils._node import files, metadata, mustache
from ansible_collections.tripleo.cloud.plugins.module_utils._node.errors import NodeError
from ansible_collections.tripleo.cloud.plugins.module_utils._node.managed import Managed
from ansible_collections.tripleo.cloud.plugins.module_utils._node.mask import secrets_of


def apply_config(module: AnsibleModule) -> dict[str, Any]:
    """Carry the state out; the module's result."""
    given = module.params
    managed = Managed(given["templates"], given["output"], given["state_dir"], given["generations"])
    for number, document in enumerate(given["documents"], 1):
        metadata.check_depth(document, f"document {number}")
    merged = metadata.merge([*metadata.read_files(given["files"]), *given["documents"]])
    secrets = secrets_of(merged)
    # Ansible would mask every value of the documents, harmless words too; the secrets among them are enough.
    module.no_log_values = set(secrets)
    with contextlib.nullcontext() if module.check_mode or given["state"] == "drift" else managed.generations.held():
        result = _STATES[given["state"]](module, managed, metadata.subhash(merged, given["subhash"]))
        current = managed.generations.current()
    changes: list[files.Change] = result.pop("changes")
    if module._diff:
        # Kept files may hold the secrets of documents that are not at hand.
        result["diff"] = files.diff(changes, secrets if given["state"] == "applied" else None)
    return {
        "changed": bool(changes) and given["state"] != "drift",
        "changed_files": [{"path": change.path, "change": change.kind} for change in changes],
        "generation": current.number if current else 0,
        **result,
    }


def _applied(module: AnsibleModule, managed: Managed, context: dict[str, Any]) -> dict[str, Any]:
    survey = managed.survey(context, module.params["strict"])
    if module.params["validate"]:
        managed.check(survey, os.environ)
    if not module.check_mode:
        managed.generations.mark_good(managed.swap(survey))
    return {"changes": survey.changes, "missing_keys": survey.missing, "total": len(survey.rendered)}


def _rolled_back(module: AnsibleModule, managed: Managed, context: dict[str, Any]) -> dict[str, Any]:
    return {"changes": managed.roll_back(module.params["generation"], module.check_mode)}


def _drift(module: AnsibleModule, managed: Managed, context: dict[str, Any]) -> dict[str, Any]:
    return {"changes": managed.generations.drift()}


_STATES = {"applied": _applied, "rolled_back": _rolled_back, "drift": _drift}


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "state": {"type": "str", "choices": list(_STATES), "default": "applied"},
            "documents": {"type": "list", "elements": "dict", "default": [], "no_log": True},
            "files": {"type": "list", "elements": "path", "default": []},
            "subhash": {"type": "str"},
            "templates": {"type": "path", "default": "/usr/libexec/os-apply-config/templates"},
            "output": {"type": "path", "default": "/"},
            "strict": {"type": "bool", "default": False},
            "validate": {"type": "bool", "default": True},
            "generation": {"type": "int"},
            "generations": {"type": "int", "default": 5},
            "state_dir": {"type": "path", "default": "/var/lib/node-agent"},
        },
        supports_check_mode=True,
    )
    if not mustache.HAS_PYSTACHE:
        module.fail_json(msg=missing_required_lib("pystache"))
    try:
        result = apply_config(module)
    except NodeError as error:
        module.fail_json(msg=str(error))
    module.exit_json(**result)


if __name__ == "__main__":
    main()
