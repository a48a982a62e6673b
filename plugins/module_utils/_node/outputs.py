# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the node's Heat deployments have reported: their outputs, judged as Heat judges a signal."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from typing import Any, Optional

from .errors import NodeError
from .metadata import MAX_BYTES

DEPLOYED = "/var/lib/heat-config/deployed"
STANDARD = ("deploy_stdout", "deploy_stderr", "deploy_status_code")
COMPLETE, FAILED, IN_PROGRESS = "COMPLETE", "FAILED", "IN_PROGRESS"
# Their whole work is that the agent merged and rendered them.
_WITHOUT_HOOK = ("os-apply-config", "Heat::Ungrouped")
_ID = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.-]*")


def collect(context: Mapping[str, Any], environment: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    """Name, status, reason and outputs of each deployment of the merged metadata, by its id.

    They are read from what heat-config left (``<id>.notify.json`` in ``HEAT_CONFIG_DEPLOYED``).
    """
    folder = environment.get("HEAT_CONFIG_DEPLOYED") or DEPLOYED
    found = {}
    listed = context.get("deployments")
    for deployment in listed if isinstance(listed, list) else ():
        if isinstance(deployment, dict) and _ID.fullmatch(str(deployment.get("id") or "")):
            name = str(deployment["id"])
            signal = _signal(os.path.join(folder, f"{name}.notify.json"))
            found[name] = {"name": str(deployment.get("name") or name), **judge(deployment, signal)}
    return found


def failures(outputs: Mapping[str, Mapping[str, Any]]) -> str:
    """What went wrong, in one text; empty when nothing did."""
    bad = [one for one in outputs.values() if one["status"] == FAILED]
    return "; ".join(f"deployment {one['name']}: {one['reason']}" for one in bad)


def judge(deployment: Mapping[str, Any], signal: Optional[Mapping[str, Any]]) -> dict[str, Any]:
    """Status, reason and outputs of a deployment whose hook reported signal; None when none has."""
    if signal is None:
        done = deployment.get("group") in _WITHOUT_HOOK or _transport(deployment) == "NO_SIGNAL"
        status, reason = (COMPLETE, "Not waiting for outputs signal") if done else (IN_PROGRESS, "no hook has reported")
        return {"status": status, "reason": reason, "outputs": {}}
    values: dict[str, Any] = {}
    reasons = {}
    for output in deployment.get("outputs") or ():
        name = str(output.get("name")) if isinstance(output, dict) else ""
        if name in signal:
            values[name] = signal[name]
            if output.get("error_output"):
                reasons[name] = signal[name]
    values.update((name, signal.get(name)) for name in STANDARD)
    code = values["deploy_status_code"]
    if code and str(code) != "0":
        reasons["deploy_status_code"] = f"Deployment exited with non-zero status code: {code}"
    reason = ", ".join(f"{name} : {text}" for name, text in reasons.items())
    return {"status": FAILED if reasons else COMPLETE, "reason": reason or "Outputs received", "outputs": values}


def _transport(deployment: Mapping[str, Any]) -> Any:
    for given in deployment.get("inputs") or ():
        if isinstance(given, dict) and given.get("name") == "deploy_signal_transport":
            return given.get("value")
    return None


def _signal(path: str) -> Optional[dict[str, Any]]:
    """What a hook reported; what is no JSON object counts as an empty one, as heat-config-notify reads it."""
    try:
        with open(path, "rb") as stream:
            text = stream.read(MAX_BYTES + 1)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise NodeError(f"{path} cannot be read: {error.strerror}") from error
    if len(text) > MAX_BYTES:
        raise NodeError(f"{path} has more than {MAX_BYTES} bytes")
    try:
        loaded = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return loaded if isinstance(loaded, dict) else {}
