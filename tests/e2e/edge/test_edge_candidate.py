"""A generation that does not serve is reached by who has its pass, and by nobody else."""

from __future__ import annotations

from typing import Any

import pytest
from edge_rig import Edge, until


@pytest.fixture
def offered(new_edge: Edge) -> tuple[Edge, dict[str, str]]:
    """An edge that serves generation 1 and offers generation 2, and the header for that."""
    edge = new_edge
    edge.start()
    edge.backend(1)
    edge.switch(1)
    edge.backend(2)

    def taken() -> dict[str, Any] | None:
        code, answer = edge.command("candidate", "2")
        return answer if code == 0 else None

    return edge, {"X-Slipway-Candidate": until("generation 2 offered", taken)["pass"]}


def test_the_pass_alone_leads_to_the_candidate(offered: tuple[Edge, dict[str, str]]) -> None:
    """And no backend is told the pass."""
    edge, header = offered
    status, headers, body = edge.ask("/", headers=header)
    assert (status, headers["x-slipway-generation"]) == (200, "2")
    assert header["X-Slipway-Candidate"] not in body.decode()
    assert edge.ask("/")[1]["x-slipway-generation"] == "1"
    assert edge.status()["generation"] == 1
    assert edge.status()["figures"]["2"]["requests"] == 1
    assert [line["generation"] for line in edge.log()][-2:] == ["2", "1"]


def test_a_wrong_pass_leads_nowhere(offered: tuple[Edge, dict[str, str]]) -> None:
    """Above all not to the generation that serves, whose answers would prove nothing."""
    edge, _ = offered
    assert edge.ask("/", headers={"X-Slipway-Candidate": "0" * 32})[0] == 403
    assert edge.ask("/", headers={"X-Slipway-Candidate": ""})[0] == 403
    assert edge.ask("/")[1]["x-slipway-generation"] == "1"


def test_a_pass_is_good_until_its_generation_serves_or_another_is_offered(
    offered: tuple[Edge, dict[str, str]],
) -> None:
    """A release that failed leaves its offer behind; the next one makes its own."""
    edge, header = offered
    edge.backend(3)
    until("generation 3 offered", lambda: edge.command("candidate", "3")[0] == 0)
    assert edge.ask("/", headers=header)[0] == 403
    again = {"X-Slipway-Candidate": edge.command("candidate", "2")[1]["pass"]}
    assert edge.ask("/", headers=again)[1]["x-slipway-generation"] == "2"
    assert edge.switch(2)["previous"] == 1
    assert edge.ask("/", headers=again)[0] == 403
    assert edge.ask("/")[1]["x-slipway-generation"] == "2"


def test_a_candidate_that_is_not_ready_is_refused(offered: tuple[Edge, dict[str, str]]) -> None:
    """It says what a switch would say, and the offer before stays."""
    edge, header = offered
    edge.backend(4, ready=False)
    code, answer = edge.command("candidate", "4")
    assert (code, "no backend of generation 4 is ready" in answer["refused"]) == (1, True)
    assert edge.ask("/", headers=header)[1]["x-slipway-generation"] == "2"
