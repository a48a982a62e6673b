# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The kernel command line of the deploy ramdisk, from a strict grammar."""

from __future__ import annotations

import re
from collections.abc import Iterable

from .errors import BootError
from .model import BootServer, ServerBoot

# name or name=value. No blank, quote, dollar, brace, hash, semicolon, bar or ampersand: each means something to
# iPXE or to the kernel.
ARGUMENT = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}(?:=[A-Za-z0-9_.,:/@+\[\]-]{0,255})?")
RESERVED = re.compile(r"(?:tripleo\.[^=]*|initrd|BOOTIF)(?:=.*)?")
CONSOLE = "console=ttyS0,115200"
# Warnings, errors and panics; the kernel prints its command line, which has the node's path, as a notice.
LOG_LEVEL = "loglevel=5"
# The kernel's COMMAND_LINE_SIZE on x86 is 2048, the final zero counts.
LONGEST = 2047


def check_extra(arguments: Iterable[str]) -> tuple[str, ...]:
    """The operator's own arguments, refused as a whole when one is outside of the grammar or set by us."""
    extra = tuple(arguments)
    for argument in extra:
        if not isinstance(argument, str) or not ARGUMENT.fullmatch(argument):
            raise BootError(
                f"kernel argument {argument!r} is not of the form name or name=value "
                "with letters, digits and _ . , : / @ + [ ] - only",
                operation="kernel arguments",
            )
        if RESERVED.fullmatch(argument):
            raise BootError(
                f"kernel argument {argument!r} is set by tripleo.cloud itself", operation="kernel arguments"
            )
    return extra


def kernel_arguments(server: ServerBoot, boot: BootServer, extra: Iterable[str] = ()) -> str:
    """The whole command line. An extra ``console=`` replaces the default one, and so do ``loglevel=`` and ``quiet``."""
    checked = check_extra(extra)
    network = server.provisioning
    words = [] if any(word.startswith("console=") for word in checked) else [CONSOLE]
    if not any(word == "quiet" or word.startswith("loglevel=") for word in checked):
        words.append(LOG_LEVEL)
    words += [
        f"tripleo.url={boot.url(server.path)}",
        f"tripleo.mac={server.mac}",
        f"tripleo.address={network.interface}",
    ]
    if network.gateway:
        words.append(f"tripleo.gateway={network.gateway}")
    line = " ".join([*words, *checked])
    if len(line) > LONGEST:
        raise BootError(
            f"the kernel command line has {len(line)} bytes, the limit is {LONGEST}",
            node=server.node,
            operation="kernel arguments",
        )
    return line
