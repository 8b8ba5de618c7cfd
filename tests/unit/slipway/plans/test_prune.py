"""Pruning takes nothing that any environment can go back to."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from slipway.facts.inventory import EngineImage, RegistryImage
from slipway.plans import prune, rollback
from slipway.plans.prune import Ways

NOW = 1e9
OLD = NOW - 2 * prune.RECENT_SECONDS


def digest(number: int) -> str:
    return f"sha256:{number:064x}"


def line(number: int, image: int, **more: Any) -> dict[str, Any]:
    return {
        "number": number,
        "result": "done",
        "generation": number,
        "version": f"v{image}",
        "images": {"backend": f"localhost:5000/slipway/backend@{digest(image)}"},
        **more,
    }


def on_engine(image: int, *, created: float = OLD, used: bool = False) -> EngineImage:
    reference = f"localhost:5000/slipway/backend@{digest(image)}"
    return EngineImage(digest(image), (reference,), frozenset({digest(image)}), 1, created, used)


def stored(image: int, created: float = OLD) -> RegistryImage:
    return RegistryImage("slipway/backend", digest(image), 1, created)


def gone(*ways: Ways, short: bool = False, **images: Any) -> tuple[set[str], set[str]]:
    """What goes from the engine and from the registry."""
    engine = images.get("engine", tuple(on_engine(each) for each in range(1, 8)))
    registry = images.get("registry", tuple(stored(each) for each in range(1, 8)))
    kept = prune.digests(ways, engine)
    planned = prune.plan(
        kept, engine, registry, now=NOW, short=short, build_cache_gib=1, collect=False
    )
    return {each.identity for each in planned.engine}, {each.digest for each in planned.registry}


RELEASES = tuple(line(number, number) for number in range(1, 8))


def test_the_last_releases_of_every_environment_stay() -> None:
    dev, prod = Ways(RELEASES, 2), Ways((line(1, 1),), 10)
    assert gone(dev, prod) == ({digest(each) for each in (2, 3, 4, 5)},) * 2


def test_of_an_environment_that_is_not_known_everything_stays() -> None:
    assert gone(Ways(RELEASES, None)) == (set(), set())


def test_what_is_used_stays_on_the_engine_and_in_the_registry() -> None:
    engine = (on_engine(1, used=True), on_engine(2))
    assert gone(engine=engine, registry=(stored(1), stored(2))) == ({digest(2)}, {digest(2)})


def test_what_was_built_lately_stays_for_a_shorter_time_on_a_disk_that_is_short() -> None:
    engine = (on_engine(1, created=NOW - 2 * prune.RECENT_WHEN_SHORT_SECONDS),)
    assert gone(engine=engine, registry=()) == (set(), set())
    assert gone(engine=engine, registry=(), short=True) == ({digest(1)}, set())


def test_after_a_rollback_what_lies_behind_stays_as_well_as_what_was_left() -> None:
    ledger = (*RELEASES[:4], line(5, 1, kind="rollback", to=1))
    kept = {each["images"]["backend"].partition("@")[2] for each in prune.retained(Ways(ledger, 2))}
    assert kept == {digest(1), digest(3), digest(4)}


@given(
    st.lists(st.tuples(st.integers(1, 7), st.sampled_from(["release", "rollback", "failed"]))),
    st.integers(1, 3),
)
def test_a_way_back_is_never_pruned(runs: list[tuple[int, str]], releases: int) -> None:
    """Whatever happened before: as many rollbacks as are kept find their images."""
    ledger: list[dict[str, Any]] = []
    for number, (image, kind) in enumerate(runs, 1):
        behind = rollback.ways_back(ledger)
        if kind == "rollback" and len(behind) > 1:
            back = behind[-2]
            ledger.append({**back, "number": number, "kind": "rollback", "to": back["number"]})
        else:
            result = "failed" if kind == "failed" else "done"
            ledger.append(line(number, image, result=result))
    ways = Ways(ledger, releases)
    kept = prune.digests([ways], ())
    for each in rollback.ways_back(ledger)[-releases:]:
        assert each["images"]["backend"].partition("@")[2] in kept
