# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from ansible_collections.tripleo.cloud.plugins.plugin_utils._batch import PlainAction


class ActionModule(PlainAction):
    """Runs the module cloud_proof, which needs no BMC."""
