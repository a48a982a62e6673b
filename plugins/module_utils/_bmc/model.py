# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is said about a BMC and its machine, free of any protocol."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from .errors import BmcError, Cause

ADDRESS = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9.:-]{0,252}[A-Za-z0-9])?|::1?")


class Power(str, Enum):
    """Power of a machine: a state that can be reached and kept."""

    ON = "on"
    OFF = "off"


class Action(str, Enum):
    """Something done to a machine once; never idempotent."""

    RESET = "reset"
    CYCLE = "cycle"
    SOFT = "soft"


class Command(str, Enum):
    """What is sent to a BMC."""

    ON = "power on"
    OFF = "power off"
    RESET = "reset"
    CYCLE = "power cycle"
    SOFT = "soft shutdown"


class Device(str, Enum):
    """Where the firmware is told to boot from; NONE is no override, the firmware's own order."""

    NONE = "none"
    NETWORK = "network"
    DISK = "disk"
    CDROM = "cdrom"
    SETUP = "setup"


@dataclass(frozen=True)
class BootOverride:
    """The BMC's word on the next boots. persistent: not only for one. uefi: ask for a UEFI boot."""

    device: Device
    persistent: bool = False
    uefi: bool = False

    def __str__(self) -> str:
        if self.device is Device.NONE:
            return "none"
        words = [self.device.value, "persistent" if self.persistent else "next", *(["uefi"] if self.uefi else [])]
        return " ".join(words)


@dataclass(frozen=True)
class Access:
    """How one node's BMC is reached. The password is in no representation of it."""

    node: str
    address: str
    username: str = field(repr=False)
    password: str = field(repr=False)
    port: int = 623
    driver: str = "ipmi"

    def __post_init__(self) -> None:
        if not ADDRESS.fullmatch(self.address):
            raise BmcError(
                f"{self.address!r} is no address of a BMC", Cause.UNKNOWN, node=self.node, operation="connect"
            )
        if not 0 < self.port < 65536:
            raise BmcError(f"{self.port} is no port", Cause.UNKNOWN, node=self.node, operation="connect")

    @classmethod
    def parse(cls, node: str, fields: Mapping[str, Any]) -> Access:
        """From an entry of the private file or of a module's ``nodes``."""
        missing = [name for name in ("address", "username", "password") if not fields.get(name)]
        if missing:
            raise BmcError(
                f"{', '.join(missing)} of the BMC missing",
                Cause.CREDENTIALS,
                node=node,
                operation="connect",
                next_step="Give the BMC's address, user name and password.",
            )
        return cls(
            node=node,
            address=str(fields["address"]),
            username=str(fields["username"]),
            password=str(fields["password"]),
            port=int(fields.get("port") or 623),
            driver=str(fields.get("driver") or "ipmi"),
        )


@dataclass(frozen=True)
class Identity:
    """What a BMC says about itself."""

    firmware: str
    protocol: str
    manufacturer: int
    product: int
    guid: str = ""


@dataclass(frozen=True)
class Sensor:
    """One reading. kind: what is measured, in words. unit: of value."""

    name: str
    kind: str
    value: float
    unit: str


@dataclass(frozen=True)
class LogEntry:
    """One line of the BMC's event log. time: seconds since the epoch by the BMC's own clock."""

    number: int
    time: int
    sensor: str
    text: str
