# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A machine with the root file system of a golden image, as image_build makes it, but without a kernel."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from ansible_collections.tripleo.cloud.plugins.module_utils import _node_zipapp
from ansible_collections.tripleo.cloud.plugins.module_utils._image import apt, builder, bundle, commands, inputs
from machine import Machine

ROOT = Path(__file__).resolve().parents[2]
RELEASE = "bookworm"
ENVIRONMENT = {
    "DIB_DEBIAN_BASE_KERNEL": "dbus",
    "DIB_DEBIAN_BASE_PACKAGES": "systemd-sysv,openssh-server,sudo,python3,iproute2,procps,curl,ca-certificates",
}


def machine(folder: Path, tree: Path) -> Machine:
    """A new machine with that root file system, which is not started yet."""
    shutil.rmtree(folder, ignore_errors=True)
    made = Machine(folder, tree, packages=())
    made.make()
    # It shares this host's network, which is not its own to settle.
    for unit in ("systemd-networkd.service", "systemd-networkd.socket", "node-agent-boot.service"):
        path = made.root / "etc" / "systemd" / "system" / unit
        path.unlink(missing_ok=True)
        path.symlink_to("/dev/null")
    return made


def build(name: str, elements: Sequence[str], packages: Sequence[str] = (), folders: Sequence[Path] = ()) -> Path:
    """Its folder; built when the elements changed since it was, with the log beside it.

    packages: besides those of the elements. folders: of elements, besides the collection's.
    """
    cache = ROOT / ".cache" / "trees"
    work, note = cache / name, cache / f"{name}.inputs"
    unpacked = cache / f"{name}.bundle"
    shutil.rmtree(unpacked, ignore_errors=True)
    unpacked.mkdir(parents=True)
    agent, packed = cache / f"{name}.agent", cache / f"{name}.tar"
    _node_zipapp.build_zipapp(str(agent))
    paths = [str(folder) for folder in (*folders, ROOT / "elements")]
    core = str(ROOT / "plugins" / "module_utils" / "_deploy")
    packed.write_bytes(bundle.pack(paths, core, agent.read_bytes()))
    found = bundle.unpack(str(packed), str(unpacked))
    image = {"name": name, "elements": elements, "packages": packages, "environment": ENVIRONMENT}
    spec = inputs.parse_spec(image)
    agent_path, apt_lines = found.node_agent, apt.host_lines(RELEASE)
    wanted, used = inputs.disk_inputs(spec, found.paths, node_agent=agent_path, release=RELEASE, apt_lines=apt_lines)
    if not note.exists() or note.read_text() != wanted.digest:
        note.unlink(missing_ok=True)
        shutil.rmtree(work, ignore_errors=True)
        work.mkdir()
        log_path = str(cache / f"{name}.log")
        with open(log_path, "w", encoding="utf-8") as log:
            builder.build_tree(
                spec,
                used,
                paths=found.paths,
                work=str(work),
                cache=str(cache / "shared"),
                node_agent=agent_path,
                release=RELEASE,
                apt_lines=apt_lines,
                run=commands.runner(name, log),
                log_path=log_path,
            )
        note.write_text(wanted.digest)
    return work / "tree"
