# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documents: reading and merging."""

from _node import metadata


def read_configs(paths):
    return metadata.read_files(paths)


def parse_configs(pairs):
    return [metadata.parse(text.encode(), path) for text, path in pairs]


def merge_configs(documents):
    return metadata.merge(documents)


def collect_config(paths, fallback=None):
    return metadata.merge(metadata.read_files([*(fallback or []), *paths]))
