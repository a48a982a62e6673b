# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The first boot of a golden image: find ``config-2``, become the server that it describes, report ``booted``.

Runs before the network, early and on slow machines: imports are few and light on purpose (no subprocess, no HTTP
library, no hashlib).
"""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Iterator
from typing import Any, Callable, NamedTuple, Optional

from .atomic import replace
from .errors import NodeError
from .network import name_servers, networkd_files

LABEL = b"config-2"
LARGEST_FILE = 1024 * 1024
REPORT_SECONDS = 900.0
# (offset of the label, its length) of FAT12/16, FAT32 and ISO 9660.
_LABEL_PLACES = ((43, 11), (71, 11), (32808, 32))


class ConfigDrive(NamedTuple):
    """The documents of a config drive; a missing one is empty."""

    meta_data: dict[str, Any]
    network_data: dict[str, Any]
    vendor_data: dict[str, Any]

    @property
    def instance(self) -> str:
        """What tells one deployment of a server from another."""
        return f"{self.meta_data.get('uuid', '')} {self.meta('tripleo_plan')}".strip()

    def meta(self, key: str) -> str:
        """A value of ``meta`` in meta_data.json; empty when it is missing."""
        return str((self.meta_data.get("meta") or {}).get(key) or "")


def find_config_drive(sys_block: str = "/sys/class/block", dev: str = "/dev") -> Optional[str]:
    """The block device whose file system is labelled config-2, read from the devices themselves; None without one."""
    try:
        names = sorted(os.listdir(sys_block))
    except FileNotFoundError:
        return None
    for name in names:
        if name.startswith(("loop", "ram", "zram")):
            continue
        path = os.path.join(dev, name)
        if any(label.strip(b" \0").lower() == LABEL for label in _labels(path)):
            return path
    return None


def _labels(path: str) -> Iterator[bytes]:
    try:
        with open(path, "rb", buffering=0) as device:
            for offset, length in _LABEL_PLACES:
                device.seek(offset)
                yield device.read(length) or b""
    except OSError:
        return


def mount(device: str, folder: str) -> None:
    """Mount a config drive read-only for this process alone to read. Raises NodeError."""
    os.makedirs(folder, mode=0o700, exist_ok=True)
    command = ["mount", "-t", "vfat,iso9660", "-o", "ro,nosuid,nodev,noexec", device, folder]
    if os.spawnvp(os.P_WAIT, command[0], command) != 0:
        raise NodeError(f"{device} cannot be mounted")


def unmount(folder: str) -> None:
    """Undo ``mount``."""
    os.spawnvp(os.P_WAIT, "umount", ["umount", folder])


def read_config_drive(root: str) -> ConfigDrive:
    """Read the mounted config drive. Raises NodeError that names the file."""
    base = os.path.join(root, "openstack", "latest")
    return ConfigDrive(
        meta_data=_load(os.path.join(base, "meta_data.json")),
        network_data=_load(os.path.join(base, "network_data.json")),
        vendor_data=_load(os.path.join(base, "vendor_data.json")),
    )


def _load(path: str) -> dict[str, Any]:
    try:
        with open(path, "rb") as stream:
            content = stream.read(LARGEST_FILE + 1)
    except FileNotFoundError:
        return {}
    if len(content) > LARGEST_FILE:
        raise NodeError(f"{path} is larger than the limit of {LARGEST_FILE} bytes")
    try:
        loaded = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise NodeError(f"{path} is not valid JSON: {error}") from error
    if not isinstance(loaded, dict):
        raise NodeError(f"{path} is not a JSON object")
    return loaded


def ssh_host_keys(vendor_data: dict[str, Any]) -> dict[str, str]:
    """cloud-init's ``ssh_keys`` of the vendor data, for example ``ed25519_private``."""
    text = str(vendor_data.get("cloud-init") or "")
    if not text.startswith("#cloud-config\n"):
        return {}
    try:
        config = json.loads(text.split("\n", 1)[1])
        return {str(name): str(value) for name, value in (config.get("ssh_keys") or {}).items()}
    except (ValueError, AttributeError) as error:
        raise NodeError("vendor_data.json: its cloud-config is not the JSON that the deploy ramdisk writes") from error


def settle(drive: ConfigDrive, root: str = "/", set_hostname: Callable[[str], None] = socket.sethostname) -> bool:
    """Make the machine the server that the drive describes, below root; False when it has been made so before."""
    marker = os.path.join(root, "var/lib/node-agent/instance")
    if drive.instance and _text(marker).strip() == drive.instance:
        return False
    hostname = str(drive.meta_data.get("hostname") or drive.meta_data.get("name") or "")
    if hostname:
        _write(root, "etc/hostname", f"{hostname}\n", 0o644)
        _add_host(root, hostname)
        set_hostname(hostname)
    for name, text in networkd_files(drive.network_data).items():
        _write(root, f"etc/systemd/network/{name}", text, 0o644)
    servers = name_servers(drive.network_data)
    if servers and not os.path.islink(os.path.join(root, "etc/resolv.conf")):
        _write(root, "etc/resolv.conf", "".join(f"nameserver {server}\n" for server in servers), 0o644)
    for name, value in ssh_host_keys(drive.vendor_data).items():
        kind, _dash, half = name.partition("_")
        if kind in ("ed25519", "ecdsa", "rsa") and half in ("private", "public"):
            file = f"etc/ssh/ssh_host_{kind}_key" + (".pub" if half == "public" else "")
            _write(root, file, value.rstrip("\n") + "\n", 0o600 if half == "private" else 0o644)
    _authorize(root, [str(key).strip() for key in (drive.meta_data.get("public_keys") or {}).values()])
    if drive.instance:
        _write(root, "var/lib/node-agent/instance", f"{drive.instance}\n", 0o644)
    return True


def keep_meta(drive: ConfigDrive, root: str = "/") -> None:
    """Keep ``meta`` until the machine goes down for the service, readable by root only: a token is in it."""
    _write(root, "run/node-agent/meta.json", json.dumps(drive.meta_data.get("meta") or {}), 0o600)


def load_meta(path: str) -> dict[str, Any]:
    """What ``keep_meta`` has kept; empty without a config drive."""
    try:
        return _load(path)
    except (NodeError, OSError):
        return {}


def _add_host(root: str, hostname: str) -> None:
    text = _text(os.path.join(root, "etc/hosts")) or "127.0.0.1 localhost\n"
    if hostname not in text.split():
        _write(root, "etc/hosts", f"{text.rstrip()}\n127.0.1.1 {hostname}\n", 0o644)


def _authorize(root: str, keys: list[str]) -> None:
    folder = os.path.join(root, "root/.ssh")
    os.makedirs(folder, mode=0o700, exist_ok=True)
    present = _text(os.path.join(folder, "authorized_keys")).splitlines()
    missing = [key for key in keys if key and key not in present]
    if missing:
        _write(root, "root/.ssh/authorized_keys", "".join(f"{line}\n" for line in [*present, *missing]), 0o600)


def _text(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as stream:
            return stream.read()
    except OSError:
        return ""


def _write(root: str, path: str, text: str, mode: int) -> None:
    path = os.path.join(root, path)
    if _text(path) == text and os.stat(path).st_mode & 0o777 == mode:
        return
    try:
        replace(path, text.encode(), mode)
    except OSError as error:
        raise NodeError(f"{path} cannot be written: {error.strerror}") from error


def booted_report(drive: ConfigDrive, boot_id: str, build_id: str) -> dict[str, Any]:
    """The body of the report that ends phase 2."""
    return {
        "token": drive.meta("tripleo_token"),
        "plan": drive.meta("tripleo_plan"),
        "server": drive.meta("tripleo_server"),
        "boot_id": boot_id,
        "number": 1,
        "stage": "booted",
        "build_id": build_id,
    }


def report_booted(drive: ConfigDrive, root: str = "/", patience: float = REPORT_SECONDS) -> bool:
    """PUT the report until it is taken or patience seconds have gone; once a deployment, a marker remembers it."""
    base = drive.meta("tripleo_report_url")
    marker = os.path.join(root, "var/lib/node-agent/reported")
    if not base or _text(marker).strip() == drive.instance:
        return False
    boot_id = _text("/proc/sys/kernel/random/boot_id").strip()
    build_id = _text(os.path.join(root, "etc/tripleo-build-id")).strip()
    body = json.dumps(booted_report(drive, boot_id, build_id)).encode()
    started = time.monotonic()
    while True:
        if put(f"{base.rstrip('/')}/{boot_id}-1.json", body):
            _write(root, "var/lib/node-agent/reported", f"{drive.instance}\n", 0o644)
            return True
        passed = time.monotonic() - started
        if passed >= patience:
            return False
        time.sleep(min(0.25 if passed < 30 else 5.0, patience - passed))


def put(url: str, body: bytes, seconds: float = 5.0) -> bool:
    """PUT body to an http URL; whether the answer was a success."""
    scheme, _colon, rest = url.partition("://")
    authority, _slash, path = rest.partition("/")
    host, _colon, port = authority.rpartition(":")
    if not port.isdigit():
        host, port = authority, "80"
    if scheme != "http" or not host:
        raise NodeError(f"the report URL '{url}' is not an http URL")
    head = f"PUT /{path} HTTP/1.1\r\nHost: {authority}\r\nContent-Type: application/json\r\n"
    head += f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    try:
        with socket.create_connection((host.strip("[]"), int(port)), timeout=seconds) as connection:
            connection.sendall(head.encode("ascii") + body)
            answer = connection.recv(64)
    except OSError:
        return False
    return answer.startswith((b"HTTP/1.1 2", b"HTTP/1.0 2"))
