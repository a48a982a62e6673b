# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Errors of the language: each fault has its file, line and resource path, several come at once."""

from __future__ import annotations

from collections.abc import Iterable

from .._errors import TripleoError


class HeatError(TripleoError):
    """A template or an environment is not valid. faults: one line each, with file and line."""

    def __init__(self, faults: Iterable[str]) -> None:
        self.faults = tuple(dict.fromkeys(faults))
        super().__init__(
            "; ".join(self.faults), operation="evaluate the template", next_step="Correct the template or environment."
        )


class Fault(Exception):
    """One fault, without its place; the evaluator adds file, line and path and goes on to find more."""
