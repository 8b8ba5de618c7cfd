"""The door's rules, which edge they lead to, and how an edge counts what it still holds."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from slipway_edge import cli, connections, door
from slipway_edge.door import Door
from slipway_edge.errors import EdgeError, Refused

ROUTES = """Iface\tDestination\tGateway\tFlags
eth0\t00000000\t0140A8C0\t0003
eth0\t0040A8C0\t00000000\t0001
eth1\t0050A8C0\t00000000\t0001
"""
TCP = """  sl  local_address rem_address   st
   0: 00000000:20FB 00000000:0000 0A
   1: 0250A8C0:20FB 0140A8C0:8610 01
   2: 0250A8C0:20FB 0140A8C0:8611 08
   3: 0250A8C0:20FB 0140A8C0:8612 06
   4: 0250A8C0:1F90 0140A8C0:8613 04
   5: 0260A8C0:CE06 0360A8C0:1F40 01
"""


@pytest.fixture
def applied() -> list[str]:
    """The scripts that were given to the kernel."""
    return []


@pytest.fixture
def addresses() -> dict[str, str]:
    """What the name server says."""
    return {"edge": "10.0.0.2"}


@pytest.fixture
def there(tmp_path: Path, applied: list[str], addresses: dict[str, str]) -> Door:
    """A door whose kernel takes everything."""
    return Door(tmp_path, addresses.get, applied.append)


def test_a_switch_is_one_transaction_and_is_remembered(
    there: Door, applied: list[str], addresses: dict[str, str]
) -> None:
    assert there.serving() is None
    addresses["edge-b"] = "10.0.0.3"
    assert there.switch("edge-b") == {"edge": "edge-b", "address": "10.0.0.3", "before": None}
    assert applied == [
        "flush map ip slipway serving\n"
        "add element ip slipway serving { 8443 : 10.0.0.3, 8080 : 10.0.0.3 }\n"
    ]
    assert there.serving() == "edge-b"
    assert there.status()["addresses"] == {"edge": "10.0.0.2", "edge-b": "10.0.0.3"}


def test_an_edge_without_an_address_is_refused_and_nothing_changes(
    there: Door, applied: list[str]
) -> None:
    there.switch("edge")
    with pytest.raises(Refused, match="edge-b has no address"):
        there.switch("edge-b")
    assert there.serving() == "edge"
    assert len(applied) == 1


def test_the_rules_follow_an_edge_that_came_back_with_another_address(
    there: Door, applied: list[str], addresses: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also before the first switch: the first edge serves then."""
    monkeypatch.setattr(door, "ROUND_SECONDS", 0.01)
    stopped = threading.Event()
    thread = threading.Thread(target=there.run, args=(stopped,))
    thread.start()
    for address in ("10.0.0.2", "10.0.0.9"):
        addresses["edge"] = address
        while not (applied and address in applied[-1]):
            stopped.wait(0.01)
    stopped.set()
    thread.join(10)
    assert len(applied) == 2


def test_a_round_that_fails_is_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(door, "ROUND_SECONDS", 0.01)
    tried: list[str] = []
    stopped = threading.Event()

    def refuse(script: str) -> None:
        tried.append(script)
        if len(tried) == 2:
            stopped.set()
        raise EdgeError("the kernel refused")

    Door(tmp_path, lambda _: "10.0.0.2", refuse).run(stopped)
    assert len(tried) == 2


def test_the_side_with_the_way_out_is_the_outer_one() -> None:
    assert door.sides(ROUTES) == ("eth0", "eth1")
    with pytest.raises(EdgeError, match="between two networks"):
        door.sides("Iface\n")


def test_what_nft_says_is_passed_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "nft"
    monkeypatch.setattr(door, "NFT", str(program))
    with pytest.raises(EdgeError, match="nft cannot be started"):
        door.nft("")
    program.write_text("#!/bin/sh\necho 'Operation not permitted' >&2; exit 1\n")
    program.chmod(0o755)
    with pytest.raises(EdgeError, match="refused the door's rules: Operation not permitted"):
        door.nft("")
    program.write_text("#!/bin/sh\ncat > $0.script\n")
    door.nft(door.RULES)
    assert "dnat ip to tcp dport map @serving" in Path(f"{program}.script").read_text()


def test_the_commands_print_json(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DOOR_STATE_DIRECTORY", str(tmp_path))
    monkeypatch.setattr(door, "NFT", "/bin/true")
    assert cli.main(["door", "status"]) == 0
    assert '"edge": null' in capsys.readouterr().out
    assert cli.main(["door", "switch", "edge-b"]) == 1
    assert "has no address" in capsys.readouterr().out
    assert cli.main(["door", "try"]) == 0


def test_open_connections_of_callers_are_counted_and_no_others() -> None:
    """Established, half closed and still sending: not listening, not waiting, not to backends."""
    assert connections.count([TCP, TCP.replace("20FB", "20FC")]) == 4
    assert connections.held() >= 0
