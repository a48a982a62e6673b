# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A document of os-net-config becomes the host's network, or the old network comes back."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Optional

from . import network_change, networkd, nics, os_net_config
from .errors import NodeError
from .first_boot import load_meta
from .host_network import FOLDER, PREFIX, Emit, present
from .links import Link
from .metadata import digest
from .network_change import Place
from .network_proof import Target, silent

RESOLV = "etc/resolv.conf"
CONFIGURE_SECONDS = 60.0
CARRIER_SECONDS = 15.0
COMMAND_SECONDS = 30.0
CUT_OFF = "the run that made them was cut off"
_PORTS = (22, 80)
Texts = dict[str, Optional[str]]


def configure(document: Any, place: Place, drive: str, environment: Mapping[str, str], emit: Emit) -> bool:
    """Make the network what the document says; see ``host_network.configure``."""
    emit({"step": "network", "status": "started"})
    with network_change.locked(place):
        _restore(place, CUT_OFF)
        applied = network_change.load(place.applied)
        links, cards = _wanted(document, applied.get("nics") or {})
        after = _texts(place, links, applied)
        before = {name: network_change.read(os.path.join(place.root, name)) for name in after}
        told: dict[str, Any] = {"step": "network", "status": "done", "changed": before != after}
        kept = {name: text for name, text in after.items() if text is not None}
        resolv = applied.get("resolv") if RESOLV in (applied.get("files") or {}) else before.get(RESOLV)
        mtus = _mtus(links, applied)
        now = {"files": kept if links else {}, "nics": cards, "resolv": resolv, "mtus": mtus}
        if before != after:
            seconds = os_net_config.proof_seconds(document or {})
            asked = targets(links, environment, drive)
            if not environment.get("SSH_CONNECTION"):
                _refuse_again(place, after)
            change = {
                "before": before,
                "after": after,
                "applied": applied,
                "mtus": {**(applied.get("mtus") or {}), **mtus},
                "digest": digest([after]),
            }
            told.update(_change(place, change, [link.name for link in links], asked, seconds, now))
        elif now != applied:
            network_change.save(place.applied, now)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(place.refused)
    emit(told)
    return before != after


def restore(place: Place) -> bool:
    """What the guard does: wait for the run that changes the network, and take back what it left; whether it did."""
    with network_change.locked(place, 3600.0):
        return _restore(place, CUT_OFF)


def _wanted(document: Any, kept: Mapping[str, str]) -> tuple[list[Link], dict[str, str]]:
    """The links, and the MAC addresses of the cards that nic1, nic2 ... stand for."""
    if not document:
        return [], {}
    cards = nics.present()
    if os_net_config.is_card_missing(document, cards, kept):
        # A card that is off has no carrier yet; nothing else is done to it.
        nics.wake(cards)
        cards = nics.present()
    links = os_net_config.links(document, cards, kept)
    names = os_net_config.aliases(document, cards, kept)
    macs = {nic.name: nic.mac for nic in cards}
    given = set(document.get("interface_mapping") or {})
    used = {link.name for link in links}
    return links, {alias: macs[name] for alias, name in names.items() if name in used and alias not in given}


def _texts(place: Place, links: Sequence[Link], applied: Mapping[str, Any]) -> Texts:
    """Every file of ours by its path below the root: its text, or None when it goes."""
    texts: Texts = {f"{FOLDER}/{name}": text for name, text in networkd.files(links, PREFIX).items()}
    for name in present(place):
        texts.setdefault(name, None)
    servers = list(dict.fromkeys(server for link in links for server in link.dns))
    domains = list(dict.fromkeys(domain for link in links for domain in link.domains))
    if not os.path.islink(os.path.join(place.root, RESOLV)):
        if servers or domains:
            search = [f"search {' '.join(domains)}\n"] if domains else []
            text = network_change.read(os.path.join(place.root, RESOLV)) or "" if not servers else ""
            rest = [line for line in text.splitlines(True) if line.startswith("nameserver")]
            texts[RESOLV] = "".join([*search, *rest, *(f"nameserver {server}\n" for server in servers)])
        elif RESOLV in (applied.get("files") or {}):
            texts[RESOLV] = applied.get("resolv")
    return texts


def _mtus(links: Sequence[Link], applied: Mapping[str, Any]) -> dict[str, int]:
    """The MTU that each card had before the first document."""
    kept = applied.get("mtus") or {}
    names = [link.name for link in links if link.kind == "phy"]
    return {name: kept.get(name) or nics.mtu(name) for name in names}


def _refuse_again(place: Place, after: Texts) -> None:
    """What nobody watches does not try again what was taken back, for example at every boot."""
    refused = network_change.load(place.refused)
    if refused.get("digest") == digest([after]):
        raise NodeError(f"these settings were taken back ({refused.get('cause')}); push them again to try them again")


def _change(
    place: Place, change: Mapping[str, Any], names: Sequence[str], targets: Sequence[Target], seconds: int, now: Any
) -> dict[str, Any]:
    """Carry a change out and prove it; what the run tells of it. Raises NodeError after it was taken back."""
    if not os.path.isdir("/run/systemd/system") or place.root != "/":
        raise NodeError("the network can only be changed where systemd runs")
    before, after = change["before"], change["after"]
    _start_guard(place)
    try:
        network_change.save(place.pending, change)
        network_change.write(place, after)
        _activate(before, after, change["mtus"])
        without = _wait(names)
        missing = silent(targets, seconds)
        if missing:
            who = " and ".join(str(target) for target in missing)
            raise NodeError(f"{who} did not answer within {seconds} s through the new settings")
        network_change.save(place.applied, now)
        network_change.confirm(place)
    except BaseException as error:
        try:
            _restore(place, str(error))
        except NodeError as second:
            raise NodeError(f"{error}; the old settings could not be brought back: {second}") from error
        if isinstance(error, (NodeError, OSError)):
            raise NodeError(f"{error}; the old settings are back") from error
        raise
    files = [name for name in after if before[name] != after[name]]
    return {"files": files, "proved": [str(target) for target in targets], **without}


def targets(links: Sequence[Link], environment: Mapping[str, str], drive: str) -> list[Target]:
    """Who has to answer: the other end of this push, else the host of the report URL; and each default gateway."""
    address = (environment.get("SSH_CONNECTION") or "").split(" ")[0]
    if not address:
        url = str(load_meta(drive).get("tripleo_report_url") or "")
        authority = url.partition("://")[2].partition("/")[0]
        host = authority[1:].partition("]")[0] if authority.startswith("[") else authority.partition(":")[0]
        address = host if ":" in host or host.replace(".", "").isdigit() else ""
    address, _percent, device = address.partition("%")
    found = []
    if address and not address.startswith("127.") and address != "::1":
        found.append(Target("the Deployment cloud", address, device, _PORTS))
    for link in links:
        for route in link.routes:
            if route.destination in ("0.0.0.0/0", "::/0") and route.table in ("", "254"):
                found.append(Target("the gateway", route.gateway, link.name, _PORTS))
    return list(dict.fromkeys(found))


def _restore(place: Place, cause: str) -> bool:
    pending = network_change.take_back(place, cause)
    if not pending:
        return False
    _activate(pending["after"], pending["before"], pending["mtus"])
    network_change.confirm(place)
    return True


def _start_guard(place: Place) -> None:
    """Have systemd run a process that waits for the lock: it acts as soon as this process is gone, however it ends."""
    own = [*getattr(sys, "orig_argv", [sys.executable, "-IS", sys.argv[0], ""])[:-1], "network-restore"]
    settings = {"NODE_AGENT_ROOT": place.root, "NODE_AGENT_STATE": place.state}
    given = [f"--setenv={key}={value}" for key, value in settings.items()]
    unit = f"--unit=node-agent-network-{os.getpid()}"
    _run("systemd-run", "--quiet", "--collect", "--service-type=exec", unit, *given, "--", *own)


def _activate(before: Texts, after: Texts, mtus: Mapping[str, int]) -> None:
    """Tell networkd of changed files; by itself it deletes and alters no virtual link and gives no MTU back."""
    delete, anew = networkd.effects(before, after)
    gone = [name for name in delete if os.path.exists(os.path.join(nics.SYS, name))]
    for name in gone:
        _run("ip", "link", "delete", "dev", name)
    for _moment in _moments(COMMAND_SECONDS):
        if not set(gone) & set(_states()):
            break
    for name in networkd.without_mtu(before, after):
        if name in mtus and os.path.exists(os.path.join(nics.SYS, name)):
            _run("ip", "link", "set", "dev", name, "mtu", str(mtus[name]))
    _run("networkctl", "reload")
    known = _states()
    managed = [name for name in anew if name in known]
    if managed:
        _run("networkctl", "reconfigure", *managed)


def _wait(names: Sequence[str]) -> dict[str, Any]:
    """Until networkd has configured each; those without a carrier are told, not waited for. Raises NodeError."""
    started = time.monotonic()
    for _moment in _moments(CONFIGURE_SECONDS):
        states = _states()
        waiting, without = [], []
        for name in names:
            setup, operational = states.get(name, ("missing", ""))
            if setup == "failed":
                raise NodeError(f"networkd could not set up {name}; see journalctl -u systemd-networkd")
            if operational == "no-carrier" and time.monotonic() - started > CARRIER_SECONDS:
                without.append(name)
            elif setup != "configured" or operational == "no-carrier":
                waiting.append(f"{name} is {operational or setup}, {setup}")
        if not waiting:
            return {"without_carrier": without} if without else {}
    raise NodeError(f"after {CONFIGURE_SECONDS:.0f} s {'; '.join(waiting)}")


def _states() -> dict[str, tuple[str, str]]:
    """networkd's view of each interface: setup and operational state."""
    listed = json.loads(_run("networkctl", "--json=short", "list"))
    return {
        entry["Name"]: (entry.get("AdministrativeState", ""), entry.get("OperationalState", ""))
        for entry in listed.get("Interfaces") or []
    }


def _moments(seconds: float) -> Iterator[float]:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        yield time.monotonic()
        time.sleep(0.25)


def _run(*command: str) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=COMMAND_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NodeError(f"{' '.join(command[:2])}: {error}") from error
    if done.returncode:
        raise NodeError(f"{' '.join(command)}: {done.stderr.strip()[-400:]}")
    return done.stdout
