# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from typing import Any

from ansible_collections.tripleo.cloud.plugins.plugin_utils._batch import PlainAction


class ActionModule(PlainAction):
    """Brings the services privately to the module cloud_identity: a service may have a password."""

    def arguments(self) -> dict[str, Any]:
        arguments = super().arguments()
        services = arguments.pop("services", None)
        return {**arguments, "private_file": self.upload_private({"services": services})} if services else arguments
