# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which functions each template version knows."""

from __future__ import annotations

# Every version names these: the first one had them, the later ones refuse them.
_OLD = {
    *("Ref", "Fn::Base64", "Fn::GetAZs", "Fn::Join", "Fn::MemberListToMap", "Fn::Replace", "Fn::ResourceFacade"),
    *("Fn::Select", "Fn::Split"),
}
# Functions of conditions; elsewhere they are plain maps.
_OF_CONDITIONS = {"equals", "not", "and", "or"}

# Version -> what it added. A key that is no function of a template's version is a plain map, as in Heat.
_ADDED = {
    "2013-05-23": {"get_param", "get_resource", "get_attr", "get_file", "str_replace", "list_join", "resource_facade"},
    "2014-10-16": set(),
    "2015-04-30": {"repeat", "digest"},
    "2015-10-15": {"str_split"},
    "2016-04-08": {"map_merge"},
    "2016-10-14": {"yaql", "map_replace", "if"},
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
    """Names of a version's functions in values, None for an unknown version."""
    date = _NAMES.get(version, version)
    if date not in _ADDED:
        return None
    return frozenset(_OLD).union(*(names for added, names in _ADDED.items() if added <= date))


def condition_functions(version: str) -> frozenset[str]:
    """Names of a version's functions in conditions."""
    date = _NAMES.get(version, version)
    if date not in _ADDED or date < "2016-10-14":
        return frozenset()
    return frozenset(_OF_CONDITIONS | {"get_param"} | ({"contains", "yaql"} if date >= "2017-09-01" else set()))


def takes_json(version: str) -> bool:
    """The version puts maps and lists into texts, and joins several lists."""
    return _NAMES.get(version, version) >= "2015-10-15"


def allows_short_if(version: str) -> bool:
    """The version knows ``if`` with two arguments."""
    return _NAMES.get(version, version) >= "2021-04-16"
