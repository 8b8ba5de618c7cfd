"""Another host, as a container on it sees it; and what is refused there."""

from __future__ import annotations

import pytest

from slipway import checks
from slipway.config.environment import Environment, Ports
from slipway.errors import Refused
from slipway.facts.engine import EngineFacts
from slipway.facts.target import TargetFacts

NOTHING = EngineFacts((), frozenset(), frozenset())
FAR = Environment.model_construct(
    host="ssh://far",
    free_disk_gib=8,
    ports=Ports(address="0.0.0.0", https=443, http=80),  # noqa: S104
)
ROOM = 9 << 30


def test_a_host_with_room_and_free_ports_is_taken() -> None:
    checks.other_host(TargetFacts(ROOM, frozenset({22})), FAR, NOTHING, "prod")


@pytest.mark.parametrize(
    ("facts", "code", "said"),
    [
        (TargetFacts(1 << 30, frozenset()), "disk-full", "disk on ssh://far has 1.0 GiB free"),
        (TargetFacts(ROOM, frozenset({80})), "port-taken", "Port 80 on ssh://far is taken"),
    ],
)
def test_what_the_release_would_fail_for_is_refused_before(
    facts: TargetFacts, code: str, said: str
) -> None:
    with pytest.raises(Refused) as refused:
        checks.other_host(facts, FAR, NOTHING, "prod")
    assert refused.value.code == code
    assert said in refused.value.message
