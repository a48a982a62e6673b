# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Deploy an OpenStack cloud onto bare metal: the phases of the collection tripleo.cloud as a Python API."""

from tripleo_cloud.api import Deployment
from tripleo_cloud.events import Event, Kind, Summary

__all__ = ["Deployment", "Event", "Kind", "Summary"]
