# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The program: its command line and the folder of its phases."""

import os

import command_refresh
from _node import refresh


def main(argv):
    return command_refresh.main(argv[1:])


def default_base_dir():
    return refresh.default_base(os.environ)
