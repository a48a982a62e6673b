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
options:
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
    details: Values of keys that are named like secrets are masked.
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
"""

RETURN = r"""
changed_files:
  description: What changed, or would change in check mode.
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
  returned: success
  type: int
  sample: 12
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule, missing_required_lib
from ansible_collections.tripleo.cloud.plugins.module_utils._node import files, metadata, mustache, tree
from ansible_collections.tripleo.cloud.plugins.module_utils._node.errors import NodeError
from ansible_collections.tripleo.cloud.plugins.module_utils._node.mask import secrets_of


def apply_config(module: AnsibleModule) -> dict[str, Any]:
    """Render and, outside check mode, write."""
    given = module.params
    for number, document in enumerate(given["documents"], 1):
        metadata.check_depth(document, f"document {number}")
    merged = metadata.merge([*metadata.read_files(given["files"]), *given["documents"]])
    secrets = secrets_of(merged)
    # Ansible would mask every value of the documents, harmless words too; the secrets among them are enough.
    module.no_log_values = set(secrets)
    rendered = tree.render_tree(given["templates"], metadata.subhash(merged, given["subhash"]), given["strict"])
    changes = files.compare(rendered, given["output"])
    if not module.check_mode:
        files.write(changes)
    result: dict[str, Any] = {
        "changed": bool(changes),
        "changed_files": [{"path": change.path, "change": change.kind} for change in changes],
        "total": len(rendered),
    }
    if module._diff:
        result["diff"] = files.diff(changes, secrets)
    return result


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "documents": {"type": "list", "elements": "dict", "default": [], "no_log": True},
            "files": {"type": "list", "elements": "path", "default": []},
            "subhash": {"type": "str"},
            "templates": {"type": "path", "default": "/usr/libexec/os-apply-config/templates"},
            "output": {"type": "path", "default": "/"},
            "strict": {"type": "bool", "default": False},
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
