"""The command lines that the edge understands, whole."""

from __future__ import annotations

from slipway.commands import edge


def test_the_edge_is_asked_in_its_container() -> None:
    assert edge.status("id") == ("docker", "exec", "id", "slipway-edge", "status")
    assert edge.switch("id", 42) == ("docker", "exec", "id", "slipway-edge", "switch", "42")
    asked = ("docker", "exec", "id", "slipway-edge", "maintenance")
    assert edge.maintenance("id") == asked
    assert edge.maintain("id", "back at noon") == (*asked, "on", "--message=back at noon")
    assert edge.maintain("id", None) == (*asked, "off")
    drained = ("docker", "exec", "id", "slipway-edge", "drain")
    assert edge.drain("id") == drained
    assert edge.keep("id") == (*drained, "off")
