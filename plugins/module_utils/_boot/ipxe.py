# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""iPXE scripts."""

from __future__ import annotations

# Printable ASCII without iPXE's variable expansion; arguments have passed their own grammar before.
FORBIDDEN = ("$", "\n", "\r", "\0")


def boot_script(base_url: str, arguments: str) -> str:
    """The script that starts the deploy ramdisk.

    base_url: the node's folder, ending in a slash. arguments: the kernel command line.
    A file that does not arrive is asked for again for five minutes; then the firmware goes on to its next device.
    """
    for text in (base_url, arguments):
        if any(character in text for character in FORBIDDEN):
            raise ValueError("an iPXE script takes no dollar signs and line ends from outside")
    return f"""#!ipxe
set tries:int32 0
:start
imgfree
kernel {base_url}kernel initrd=ramdisk {arguments} || goto again
initrd --name ramdisk {base_url}ramdisk || goto again
boot || goto again
:again
inc tries
iseq ${{tries}} 60 && exit ||
echo tripleo.cloud: a boot file did not arrive, trying again
sleep 5
goto start
"""


def disk_script() -> str:
    """The script of a node that has its image: go on to the disk, without a word to the network.

    UEFI firmware has a boot order to go on with; a BIOS starts the first disk.
    """
    return """#!ipxe
iseq ${platform} efi && exit ||
sanboot --no-describe --drive 0x80 || exit
"""
