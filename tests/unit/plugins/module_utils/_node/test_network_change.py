# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Cards of a host, the change that is not confirmed, and the proof, without changing a network."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import pytest
from agent_node import Node
from ansible_collections.tripleo.cloud.plugins.module_utils import _node_zipapp
from ansible_collections.tripleo.cloud.plugins.module_utils._node import host_network, network_change, network_run, nics
from ansible_collections.tripleo.cloud.plugins.module_utils._node.errors import NodeError
from ansible_collections.tripleo.cloud.plugins.module_utils._node.network_change import Place
from ansible_collections.tripleo.cloud.plugins.module_utils._node.network_proof import Target, silent
from ansible_collections.tripleo.cloud.plugins.module_utils._node.paths import Paths

NETWORK = "etc/systemd/network"


def card(sys_net: Path, name: str, operstate: str = "up", real: bool = True, **files: str) -> None:
    folder = sys_net / name
    (folder / "device" if real else folder).mkdir(parents=True)
    known = {"address": "52:54:00:00:00:0A", "operstate": operstate, "flags": "0x1003", **files}
    for file, text in known.items():
        (folder / file).parent.mkdir(exist_ok=True)
        (folder / file).write_text(f"{text}\n")


def test_cards_are_in_the_order_of_os_net_config(tmp_path: Path) -> None:
    for name in ("enp10s0", "enp2s0", "eth1", "eno1", "em2"):
        card(tmp_path, name)
    card(tmp_path, "eth0", operstate="down", flags="0x1002")
    card(tmp_path, "veth7", real=False)
    card(tmp_path, "lo", real=False)
    card(tmp_path, "br-ex", real=False)
    (tmp_path / "br-ex/bridge").mkdir()
    card(tmp_path, "eth9", **{"address": "52:54:00:00:00:01", "bonding_slave/perm_hwaddr": "52:54:00:00:00:09"})
    card(tmp_path, "enp2s0v1")
    (tmp_path / "enp2s0v1/device/physfn").mkdir()
    found = nics.present(str(tmp_path))
    assert [nic.name for nic in found if nic.active] == ["em2", "eno1", "eth1", "eth9", "enp2s0", "enp10s0"]
    assert {nic.name: nic.mac for nic in found}["eth9"] == "52:54:00:00:00:09"
    assert [nic.name for nic in found if not nic.up] == ["eth0"]
    assert "br-ex" not in [nic.name for nic in found]


def pending(place: Place, root: Path) -> dict[str, Any]:
    (root / NETWORK).mkdir(parents=True)
    (root / NETWORK / "40-tripleo-a.network").write_text("new\n")
    (root / NETWORK / "40-tripleo-b.network").write_text("new too\n")
    change = {
        "before": {f"{NETWORK}/40-tripleo-a.network": "old\n", f"{NETWORK}/40-tripleo-b.network": None},
        "after": {f"{NETWORK}/40-tripleo-a.network": "new\n", f"{NETWORK}/40-tripleo-b.network": "new too\n"},
        "applied": {"files": {f"{NETWORK}/40-tripleo-a.network": "old\n"}},
        "mtus": {},
        "digest": "d",
    }
    network_change.save(place.pending, change)
    return change


def test_a_boot_takes_back_what_was_not_confirmed(tmp_path: Path) -> None:
    place = Place(str(tmp_path / "root"), str(tmp_path / "state"))
    assert not network_change.take_back_at_boot(place.root, place.state)
    change = pending(place, tmp_path / "root")
    assert network_change.take_back_at_boot(place.root, place.state)
    assert [path.name for path in (tmp_path / "root" / NETWORK).iterdir()] == ["40-tripleo-a.network"]
    assert (tmp_path / "root" / NETWORK / "40-tripleo-a.network").read_text() == "old\n"
    assert network_change.load(place.applied) == change["applied"]
    assert "went down" in network_change.load(place.refused)["cause"]
    assert not network_change.take_back_at_boot(place.root, place.state)


def test_a_boot_that_is_cut_off_does_it_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = Place(str(tmp_path / "root"), str(tmp_path / "state"))
    pending(place, tmp_path / "root")

    def cut_off(_place: Place) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(network_change, "confirm", cut_off)
        with pytest.raises(KeyboardInterrupt):
            network_change.take_back_at_boot(place.root, place.state)
    assert network_change.take_back_at_boot(place.root, place.state)


def test_a_damaged_note_is_named_and_one_process_at_a_time(tmp_path: Path) -> None:
    place = Place(str(tmp_path), str(tmp_path / "state"))
    with (
        network_change.locked(place),
        pytest.raises(NodeError, match="another process"),
        network_change.locked(place, 0),
    ):
        pass
    Path(place.pending).write_text("{")
    with pytest.raises(NodeError, match=r"pending\.json is damaged"):
        network_change.take_back_at_boot(place.root, place.state)


def test_without_the_key_nothing_is_done_and_drift_is_seen(tmp_path: Path) -> None:
    paths = Paths(root=str(tmp_path), state=str(tmp_path / "state"))
    steps: list[Any] = []
    assert host_network.configure({"a": 1}, paths, {}, steps.append) is False
    assert (steps, host_network.drift(paths), (tmp_path / "state").exists()) == ([], [], False)
    file = f"{NETWORK}/40-tripleo-a.network"
    network_change.save(host_network.place_of(paths).applied, {"files": {file: "text\n"}})
    assert host_network.drift(paths) == [f"{tmp_path}/{file}"]
    (tmp_path / NETWORK).mkdir(parents=True)
    (tmp_path / file).write_text("text\n")
    assert host_network.drift(paths) == []
    (tmp_path / NETWORK / "40-tripleo-z.netdev").write_text("")
    assert host_network.drift(paths) == [f"{tmp_path}/{NETWORK}/40-tripleo-z.netdev"]


def test_a_push_without_systemd_changes_no_network(tmp_path: Path) -> None:
    """The node's root is a folder, so this is no place where a network may be changed."""
    _node_zipapp.build_zipapp(str(tmp_path / "agent"))
    node = Node(tmp_path, tmp_path / "agent")
    name = nics.present()[0].name
    code, lines = node.push({"os_net_config": {"network_config": [{"type": "interface", "name": name}]}})
    failed = lines[-1]["result"]["failed"]
    assert code == 1 and failed["step"] == "network" and "only be changed where systemd runs" in failed["cause"]
    assert not (tmp_path / "root" / NETWORK).exists()
    code, lines = node.push({"os_net_config": {"network_config": [{"type": "ovs_bridge", "name": "br-ex"}]}})
    assert code == 1 and "use linux_bridge" in lines[-1]["result"]["failed"]["cause"]


@pytest.mark.parametrize(
    ("connection", "url", "expected"),
    [
        ("10.0.0.1 4711 10.0.0.2 22", "http://10.0.0.9:8088/x", ["the Deployment cloud 10.0.0.1"]),
        ("fe80::1%eth0 4711 fe80::2%eth0 22", "", ["the Deployment cloud fe80::1 on eth0"]),
        ("127.0.0.1 4711 127.0.0.1 22", "http://10.0.0.9:8088/x", []),
        ("", "http://10.0.0.9:8088/x", ["the Deployment cloud 10.0.0.9"]),
        ("", "http://[fd00::9]:8088/x", ["the Deployment cloud fd00::9"]),
        ("", "http://cloud/x", []),
        ("", "", []),
    ],
)
def test_who_has_to_answer(tmp_path: Path, connection: str, url: str, expected: list[str]) -> None:
    drive = tmp_path / "meta.json"
    drive.write_text(f'{{"tripleo_report_url": "{url}"}}')
    found = network_run.targets([], {"SSH_CONNECTION": connection} if connection else {}, str(drive))
    assert [str(target) for target in found] == expected


def test_an_answer_is_one_also_when_it_is_a_refusal() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    assert silent([Target("a", "127.0.0.1", ports=(port,)), Target("b", "::1")], 2.0) == []
    # Documentation's own addresses answer nowhere.
    nobody = Target("c", "192.0.2.77", "lo")
    assert silent([nobody], 0.5) == [nobody]
