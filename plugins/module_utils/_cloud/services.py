# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""OpenStack's services and their default ports."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .model import Service

KNOWN = {
    service.name: service
    for service in (
        Service("glance", "image", 9292),
        Service("placement", "placement", 8778),
        Service("nova", "compute", 8774, path="/v2.1"),
        Service("neutron", "network", 9696),
        Service("heat", "orchestration", 8004, path="/v1/%(tenant_id)s"),
        Service("heat-cfn", "cloudformation", 8000, path="/v1", user=False),
        Service("cinder", "block-storage", 8776, path="/v3/%(tenant_id)s"),
        Service("swift", "object-store", 8080, path="/v1/AUTH_%(tenant_id)s", admin_path="/v1"),
        Service("ironic", "baremetal", 6385),
    )
}


def services(*layers: Mapping[str, Mapping[str, Any]]) -> tuple[Service, ...]:
    """Services by name from several layers, later ones win field by field, over the default of a known name.

    Raises CloudError that names a malformed service.
    """
    fields: dict[str, dict[str, Any]] = {}
    for layer in layers:
        for name, values in layer.items():
            fields.setdefault(name, {}).update(values or {})
    return tuple(KNOWN.get(name, Service(name, "", 0)).with_fields(values) for name, values in fields.items())
