# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The program: its command line, and the steps of an application."""

import logging
import os
import tempfile

import command_apply
from _node import apply, metadata, mustache, store, tree
from _node.errors import NodeError

from os_apply_config import oac_file

TEMPLATES_DIR = apply.TEMPLATES


def main(argv):
    status = command_apply.main(argv[1:])
    return -1 if status == 255 else status


def templates_dir():
    return apply.default_templates(os.environ, logging.warning)


def install_config(paths, templates, output, validate, subhash=None, fallback=None):
    rendered = apply.render(paths, fallback or [], templates, subhash)
    if not validate:
        apply.write(rendered, output, logging.info)


def template_paths(root):
    return [(os.path.join(root, path), f"/{path}") for path in tree.template_paths(root)]


def build_tree(templates, context):
    [root] = {path.removesuffix(relative) for path, relative in templates}
    found = {}
    for item in tree.render_tree(root, context):
        file = found[f"/{item.path}"] = oac_file.OacFile(item.body.decode())
        chosen = item.control
        file.__dict__.update(allow_empty=chosen.allow_empty, mode=chosen.mode, owner=chosen.uid, group=chosen.gid)
    return found


def render_template(path, context):
    """A tree of one template, which is a link to the given one."""
    with tempfile.TemporaryDirectory() as folder:
        os.symlink(path, os.path.join(folder, "template"))
        try:
            [item] = tree.render_tree(folder, context)
        except NodeError as error:
            # Where the words are asserted: the original logs the cause and raises the rest.
            logging.getLogger("os-apply-config").error("%s", error)
            raise NodeError(f"could not render moustache template {path}") from error
    return item.body.decode()


render_executable = render_template
render_moustache = mustache.render
strip_hash = metadata.subhash


def load_list_from_json(path):
    try:
        return store.load_list(path)
    except NodeError as error:
        raise ValueError(str(error)) from error
