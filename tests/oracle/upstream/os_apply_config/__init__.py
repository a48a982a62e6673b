# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The names that os-apply-config's own tests import, as ours. ``TESTS`` is the package of the original's tests."""

import os

__path__ = [*__path__, os.environ["TESTS"]]
