# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Types of values; an unknown one was a ValueError."""

from _node import values


def ensure_type(text, name="default"):
    if name not in values.TYPES:
        raise ValueError(name)
    return values.format_value(text, name)
