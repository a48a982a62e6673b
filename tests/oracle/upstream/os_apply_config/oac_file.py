# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Control files: a value that is set is parsed as that of a file."""

import json

from _node import control


class OacFile:
    def __init__(self, body, **values):
        self.__dict__.update(body=body, allow_empty=True, mode=None, owner=None, group=None)
        for key, value in values.items():
            setattr(self, key, value)

    def __setattr__(self, key, value):
        parsed = control.parse_control(f"{{{key}: {json.dumps(value)}}}", "control file")
        self.__dict__[key] = getattr(parsed, {"owner": "uid", "group": "gid"}.get(key, key))

    def set(self, key, value):
        setattr(self, key, value)
        return self

    def __eq__(self, other):
        return self.__dict__ == other.__dict__
