# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The virtual rack: QEMU machines on a network of their own, each with a BMC that speaks IPMI 2.0."""

from tripleo_cloud.rack.errors import RackError
from tripleo_cloud.rack.rack import Rack

__all__ = ["Rack", "RackError"]
