# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Decision tables: what was read and what is wanted give what is done. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Union

from .errors import BmcError, Cause
from .model import Action, BootOverride, Command, Device, Power


@dataclass(frozen=True)
class PowerPlan:
    """command: what is sent, None when nothing is. after: the power that is waited for."""

    command: Command | None
    after: Power


_POWER: dict[tuple[Union[Power, Action], Power], PowerPlan] = {
    (Power.ON, Power.ON): PowerPlan(None, Power.ON),
    (Power.ON, Power.OFF): PowerPlan(Command.ON, Power.ON),
    (Power.OFF, Power.ON): PowerPlan(Command.OFF, Power.OFF),
    (Power.OFF, Power.OFF): PowerPlan(None, Power.OFF),
    (Action.RESET, Power.ON): PowerPlan(Command.RESET, Power.ON),
    (Action.CYCLE, Power.ON): PowerPlan(Command.CYCLE, Power.ON),
    (Action.CYCLE, Power.OFF): PowerPlan(Command.ON, Power.ON),
    (Action.SOFT, Power.ON): PowerPlan(Command.SOFT, Power.OFF),
    (Action.SOFT, Power.OFF): PowerPlan(None, Power.OFF),
}


def plan_power(wanted: Power | Action, before: Power) -> PowerPlan:
    """What brings a machine from before to wanted; a reset of a machine that is off is a BmcError."""
    try:
        return _POWER[(wanted, before)]
    except KeyError:
        raise BmcError(
            f"the machine is {before.value}, only a running one can be reset",
            Cause.REFUSED,
            next_step="Turn it on with state=on, or use action=cycle.",
        ) from None


def boot_matches(wanted: BootOverride, before: BootOverride) -> bool:
    """Whether before already is what is wanted. A UEFI flag that nobody asked for does not count."""
    if wanted.device is Device.NONE:
        return before.device is Device.NONE
    return (
        before.device is wanted.device and before.persistent == wanted.persistent and (before.uefi or not wanted.uefi)
    )
