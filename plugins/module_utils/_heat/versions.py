# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which functions each template version knows."""

from __future__ import annotations

_FIRST = {"get_param", "get_resource", "get_attr", "get_file", "str_replace"}
_OLD_ONLY = {"Fn::Select", "Fn::Join", "Fn::GetAZs", "Fn::Split", "Fn::Replace", "Fn::Base64", "Fn::MemberListToMap"}

# Version -> what it added. A key that is no function of a template's version is a plain map, as in Heat.
_ADDED = {
    "2013-05-23": {"resource_facade", "Ref", "Fn::ResourceFacade", "Fn::GetAtt"} | _OLD_ONLY,
    "2014-10-16": {"list_join"},
    "2015-04-30": {"repeat", "digest"},
    "2015-10-15": {"str_split"},
    "2016-04-08": {"map_merge"},
    "2016-10-14": {"yaql", "map_replace", "if", "equals", "not", "and", "or"},
    "2017-02-24": {"str_replace_strict", "filter"},
    "2017-09-01": {"make_url", "list_concat", "list_concat_unique", "str_replace_vstrict", "contains"},
    "2018-03-02": set(),
    "2018-08-31": set(),
    "2021-04-16": set(),
}
_NAMES = {
    "newton": "2016-10-14",
    "ocata": "2017-02-24",
    "pike": "2017-09-01",
    "queens": "2018-03-02",
    "rocky": "2018-08-31",
    "wallaby": "2021-04-16",
}


def functions(version: str) -> frozenset[str] | None:
    """Names of a version's functions, None for an unknown version."""
    date = _NAMES.get(version, version)
    if date not in _ADDED:
        return None
    known = set(_FIRST)
    for added, names in _ADDED.items():
        if added <= date:
            known |= names
    return frozenset(known - (_OLD_ONLY | {"Ref", "Fn::GetAtt"} if date > "2013-05-23" else set()))


def allows_short_if(version: str) -> bool:
    """The version knows ``if`` with two arguments."""
    return _NAMES.get(version, version) >= "2021-04-16"
