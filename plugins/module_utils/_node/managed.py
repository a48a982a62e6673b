# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A tree of templates and the files that it makes below one output root: read, check, swap in, go back, compare."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Optional

from . import checks
from .errors import NodeError
from .files import Change, differing, survey
from .generations import KEEP, Generation, Generations
from .tree import Rendered, render_tree


class Survey(NamedTuple):
    """The rendered tree, and each of its files as it is and as it shall be."""

    rendered: Sequence[Rendered]
    files: Sequence[Change]

    @property
    def changes(self) -> list[Change]:
        """The files that differ."""
        return differing(self.files)

    @property
    def missing(self) -> list[dict[str, str]]:
        """Variables without a value: template and key."""
        return [{"template": item.template, "key": key} for item in self.rendered for key in item.missing]


class Managed:
    """Generations are kept below the state folder, for each pair of templates and output root."""

    def __init__(self, templates: str, output: str, state: str, keep: int = KEEP) -> None:
        self.templates = os.path.abspath(templates)
        self.output = os.path.abspath(output)
        name = hashlib.sha256(f"{self.templates}\0{self.output}".encode()).hexdigest()[:16]
        self.generations = Generations(os.path.join(state, "generations", name), keep)

    def survey(self, context: dict[str, Any], strict: bool = False) -> Survey:
        """Render all. Raises NodeError; nothing is written."""
        rendered = render_tree(self.templates, context, strict, confined=True)
        inside = os.path.join(os.path.realpath(self.output), "")
        for item in rendered:
            path = os.path.join(self.output, item.path)
            if not os.path.join(os.path.realpath(os.path.dirname(path)), "").startswith(inside):
                raise NodeError(f"{path} leads out of {self.output}")
        return Survey(rendered, survey(rendered, self.output))

    def check(self, survey: Survey, environment: Mapping[str, str]) -> int:
        """Run the checks of what changes; their number. Raises NodeError; nothing is swapped in."""
        changes = survey.changes
        wanted = checks.wanted_checks(self.templates, self.output, survey.rendered, changes)
        checks.run_checks(wanted, changes, self.output, environment)
        return len(wanted)

    def swap(self, survey: Survey) -> Generation:
        """Make the files what they shall be. Raises NodeError."""
        return self.generations.put(survey.files, time.time())

    def roll_back(self, number: Optional[int], check: bool) -> list[Change]:
        """Bring a generation's files back: the given one's, else the last good one's before the current.

        Nothing to do where it is the current one, or, without a number, where the current one is not the newest. Raises
        NodeError when there is none.
        """
        kept = self.generations
        current = kept.current()
        if current is None:
            raise NodeError(f"there is no generation of the files below {self.output}")
        if number is None and current.number < kept.newest():
            return []
        target = kept.good_before(current.number) if number is None else kept.load(number)
        if target is None:
            wanted = "good generation before" if number is None else f"generation {number} besides"
            raise NodeError(f"there is no {wanted} generation {current.number}; kept are {kept.numbers()}")
        changes = kept.way_back(current, target)
        if not check:
            kept.go_back(changes, target)
            # Who names a generation says that it is good.
            kept.mark_good(target)
        return changes
