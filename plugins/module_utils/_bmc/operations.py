# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Operations on one open session: read, plan, apply, confirm."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

from .errors import BmcError, Cause
from .model import Action, BootOverride, Command, Power
from .plan import boot_matches, plan_power
from .protocol import Bmc, Operation

# The first look comes early, then the pauses grow to two seconds: a rack of thousands is not polled in step.
FIRST_PAUSE = 0.2
LONGEST_PAUSE = 2.0


@dataclass(frozen=True)
class PowerReport:
    """before and after: power. command: what was sent, or would have been in check mode."""

    before: Power
    after: Power
    command: Command | None

    @property
    def changed(self) -> bool:
        """Whether something was or would be done."""
        return self.command is not None

    def as_result(self) -> dict[str, Any]:
        """For a module's result."""
        return {"before": self.before.value, "after": self.after.value, "changed": self.changed}


@dataclass(frozen=True)
class BootReport:
    """before and after: the override. changed: whether it was or would be set."""

    before: BootOverride
    after: BootOverride
    changed: bool

    def as_result(self) -> dict[str, Any]:
        """For a module's result."""
        return {"before": str(self.before), "after": str(self.after), "changed": self.changed}


def change_power(wanted: Power | Action, *, timeout: float, check: bool = False) -> Operation[PowerReport]:
    """An operation that brings a machine to a state, or does an action, and waits until its power is confirmed.

    timeout: seconds to wait for the confirmation. check: only say what would be done.
    """

    async def operation(bmc: Bmc) -> PowerReport:
        before = await bmc.power()
        plan = plan_power(wanted, before)
        if plan.command is not None and not check:
            await bmc.send(plan.command)
            await wait_for_power(bmc, plan.after, timeout)
        return PowerReport(before, plan.after, plan.command)

    return operation


async def wait_for_power(bmc: Bmc, wanted: Power, timeout: float) -> None:
    """Read the power until it is as wanted; BmcError after timeout seconds."""
    clock = asyncio.get_running_loop().time
    end = clock() + timeout
    pause = FIRST_PAUSE
    while await bmc.power() is not wanted:
        if clock() >= end:
            raise BmcError(
                f"the machine did not turn {wanted.value} within {timeout:g} s, though the BMC took the command",
                Cause.UNCONFIRMED,
            )
        await asyncio.sleep(pause)
        pause = min(pause * 1.5, LONGEST_PAUSE)


def change_boot(wanted: BootOverride, *, check: bool = False) -> Operation[BootReport]:
    """An operation that sets where the next boot comes from, and reads it back."""

    async def operation(bmc: Bmc) -> BootReport:
        before = await bmc.boot_override()
        if boot_matches(wanted, before):
            return BootReport(before, before, False)
        if check:
            return BootReport(before, wanted, True)
        await bmc.set_boot_override(wanted)
        after = await bmc.boot_override()
        if not boot_matches(wanted, after):
            raise BmcError(
                f"the BMC took the boot device {wanted} but reads back {after}",
                Cause.UNCONFIRMED,
                next_step="Update the BMC's firmware, or set persistent to what it supports.",
            )
        return BootReport(before, after, True)

    return operation
