# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Decisions and bytes of `_bmc`, as tables."""

from __future__ import annotations

import struct
from typing import Any

import pytest
from ansible_collections.tripleo.cloud.plugins.module_utils._bmc import ipmi_codec as codec
from ansible_collections.tripleo.cloud.plugins.module_utils._bmc.errors import BmcError, Cause
from ansible_collections.tripleo.cloud.plugins.module_utils._bmc.ipmi_driver import login_error
from ansible_collections.tripleo.cloud.plugins.module_utils._bmc.lock import lock_file
from ansible_collections.tripleo.cloud.plugins.module_utils._bmc.model import (
    Access,
    Action,
    BootOverride,
    Command,
    Device,
    Power,
)
from ansible_collections.tripleo.cloud.plugins.module_utils._bmc.plan import boot_matches, plan_power


@pytest.mark.parametrize(
    ("wanted", "before", "command", "after"),
    [
        (Power.ON, Power.OFF, Command.ON, Power.ON),
        (Power.ON, Power.ON, None, Power.ON),
        (Power.OFF, Power.ON, Command.OFF, Power.OFF),
        (Power.OFF, Power.OFF, None, Power.OFF),
        (Action.RESET, Power.ON, Command.RESET, Power.ON),
        (Action.CYCLE, Power.ON, Command.CYCLE, Power.ON),
        (Action.CYCLE, Power.OFF, Command.ON, Power.ON),
        (Action.SOFT, Power.ON, Command.SOFT, Power.OFF),
        (Action.SOFT, Power.OFF, None, Power.OFF),
    ],
)
def test_power_table(wanted: Any, before: Power, command: Command | None, after: Power) -> None:
    plan = plan_power(wanted, before)
    assert (plan.command, plan.after) == (command, after)


def test_a_machine_that_is_off_cannot_be_reset() -> None:
    with pytest.raises(BmcError, match="only a running one") as caught:
        plan_power(Action.RESET, Power.OFF)
    assert caught.value.cause is Cause.REFUSED
    assert "state=on" in caught.value.next_step


NETWORK = BootOverride(Device.NETWORK)


@pytest.mark.parametrize(
    ("wanted", "before", "same"),
    [
        (NETWORK, NETWORK, True),
        (NETWORK, BootOverride(Device.NETWORK, uefi=True), True),
        (BootOverride(Device.NETWORK, uefi=True), NETWORK, False),
        (NETWORK, BootOverride(Device.NETWORK, persistent=True), False),
        (NETWORK, BootOverride(Device.DISK), False),
        (BootOverride(Device.NONE), BootOverride(Device.NONE), True),
        (BootOverride(Device.NONE, persistent=True), BootOverride(Device.NONE), True),
        (BootOverride(Device.NONE), NETWORK, False),
    ],
)
def test_boot_table(wanted: BootOverride, before: BootOverride, same: bool) -> None:
    assert boot_matches(wanted, before) is same


@pytest.mark.parametrize(
    ("override", "flags"),
    [
        (NETWORK, "800400"),
        (BootOverride(Device.NETWORK, persistent=True, uefi=True), "e00400"),
        (BootOverride(Device.DISK), "800800"),
        (BootOverride(Device.CDROM, persistent=True), "c01400"),
        (BootOverride(Device.SETUP, uefi=True), "a01800"),
        (BootOverride(Device.NONE), "000000"),
    ],
)
def test_boot_flags_there_and_back(override: BootOverride, flags: str) -> None:
    sent = codec.encode_override(override)
    assert sent == b"\x05" + bytes.fromhex(flags) + b"\0\0"
    assert codec.decode_override(b"\x01" + sent) == override


@pytest.mark.parametrize(
    ("answer", "override"),
    [
        ("0185800400", BootOverride(Device.NONE)),
        ("0105000400", BootOverride(Device.NONE)),
        ("0105800c00", BootOverride(Device.DISK)),
        ("0105803c00", BootOverride(Device.SETUP)),
    ],
)
def test_boot_flags_of_others(answer: str, override: BootOverride) -> None:
    assert codec.decode_override(bytes.fromhex(answer)) == override


@pytest.mark.parametrize("answer", ["", "0105", "0104800400", "0205800400"])
def test_damaged_boot_flags(answer: str) -> None:
    with pytest.raises(BmcError):
        codec.decode_override(bytes.fromhex(answer))


def sensor_record(**changes: Any) -> bytes:
    fields = {"kind": 1, "number": 7, "type": 1, "event": 1, "units": 0, "unit": 1, "m": 1, "b": 0, "exp": 0,
              "linear": 0, "name": b"Inlet Temp", **changes}  # fmt: skip
    body = bytearray(48 + len(fields["name"]))
    body[0:5] = struct.pack("<HBBB", 1, 0x51, fields["kind"], len(body) - 5)
    body[7], body[12], body[13], body[20], body[21] = (
        fields["number"], fields["type"], fields["event"], fields["units"], fields["unit"],
    )  # fmt: skip
    body[23] = fields["linear"]
    body[24], body[25] = fields["m"] & 255, (fields["m"] >> 2) & 0xC0
    body[26], body[27] = fields["b"] & 255, (fields["b"] >> 2) & 0xC0
    body[29] = fields["exp"]
    body[47] = 0xC0 | len(fields["name"])
    body[48:] = fields["name"]
    return bytes(body)


@pytest.mark.parametrize(
    ("changes", "raw", "value"),
    [
        ({}, 25, 25.0),
        ({"m": 2, "b": 5}, 10, 25.0),
        ({"m": 6, "exp": 0xE0}, 200, 12.0),
        ({"m": 1, "b": -5 & 0x3FF, "exp": 0x01}, 60, 10.0),
        ({"m": -1 & 0x3FF}, 25, -25.0),
        ({"units": 0x80}, 0xFB, -5.0),
        ({"units": 0x40}, 0xFA, -5.0),
    ],
)
def test_sensor_values(changes: dict[str, Any], raw: int, value: float) -> None:
    record = codec.decode_sensor_record(sensor_record(**changes))
    assert record is not None
    assert (record.name, record.number, record.kind, record.unit) == ("Inlet Temp", 7, "temperature", "degrees C")
    assert record.value(raw) == value


@pytest.mark.parametrize("changes", [{"kind": 0x11}, {"event": 0x6F}, {"units": 0xC0}, {"linear": 1}])
def test_other_records_are_no_sensors(changes: dict[str, Any]) -> None:
    assert codec.decode_sensor_record(sensor_record(**changes)) is None


@pytest.mark.parametrize(
    ("kind", "sensor", "direction", "offset", "moment", "expected"),
    [
        (2, 0x09, 0x6F, 0, 1790000000, (1790000000, "power unit", "power off")),
        (2, 0x09, 0xEF, 0, 1790000000, (1790000000, "power unit", "power off (ended)")),
        (2, 0x1D, 0x6F, 0, 77, (0, "system boot", "initiated by power up")),
        (2, 0x77, 0x01, 9, 1790000000, (1790000000, "sensor type 0x77", "event type 0x01 offset 9")),
    ],
)
def test_log_entries(
    kind: int, sensor: int, direction: int, offset: int, moment: int, expected: tuple[int, str, str]
) -> None:
    raw = struct.pack("<HBIHBBBBBBB", 3, kind, moment, 0x20, 4, sensor, 1, direction, offset, 255, 255)
    entry = codec.decode_log_entry(raw)
    assert (entry.number, (entry.time, entry.sensor, entry.text)) == (3, expected)


def test_a_foreign_log_entry_is_kept_raw() -> None:
    assert codec.decode_log_entry(bytes(2) + b"\xc1" + bytes(13)).sensor == "OEM record 0xc1"


@pytest.mark.parametrize(
    ("words", "cause"),
    [
        ("timeout", Cause.SILENT),
        ("Incorrect password provided", Cause.CREDENTIALS),
        ("Unauthorized name in RAKP2", Cause.CREDENTIALS),
        ("Invalid integrity check value reported in RAKP4", Cause.CREDENTIALS),
        ("Unauthorized role or privilege level requested in RAKP2", Cause.REFUSED),
        ("Insufficient resources to create new session (wait for existing sessions to timeout)", Cause.BUSY),
        ("No Cipher suite match with proposed security algorithms", Cause.REFUSED),
    ],
)
def test_login_errors(words: str, cause: Cause) -> None:
    error = login_error(words, "10.0.0.1").at("n1", "power on")
    assert error.cause is cause
    assert str(error).startswith("n1: power on: the BMC ")
    assert f"Next: {cause.next_step}" in str(error)


@pytest.mark.parametrize(
    ("address", "port", "name"),
    [
        ("10.0.0.1", 623, "bmc-10.0.0.1.lock"),
        ("10.0.0.1", 6230, "bmc-10.0.0.1_6230.lock"),
        ("BMC-1.Example.org", 623, "bmc-bmc-1.example.org.lock"),
        ("fd00::1", 623, "bmc-fd00::1.lock"),
    ],
)
def test_lock_files(address: str, port: int, name: str) -> None:
    assert lock_file("/locks", Access("n1", address, "u", "p", port)).name == name


@pytest.mark.parametrize("address", ["", "../../etc", "a/b", "a b", "-H", "x" * 300])
def test_addresses_that_are_none(address: str) -> None:
    with pytest.raises(BmcError, match="no address"):
        Access("n1", address, "u", "p")


@pytest.mark.parametrize(
    "fields", [{}, {"address": "10.0.0.1"}, {"address": "10.0.0.1", "username": "u", "password": ""}]
)
def test_missing_credentials_are_named(fields: dict[str, Any]) -> None:
    with pytest.raises(BmcError, match="missing") as caught:
        Access.parse("n1", fields)
    assert caught.value.node == "n1"


def test_a_password_shows_nowhere() -> None:
    access = Access.parse("n1", {"address": "10.0.0.1", "username": "root", "password": "geheim"})
    assert "geheim" not in repr(access)
    assert access.port == 623
