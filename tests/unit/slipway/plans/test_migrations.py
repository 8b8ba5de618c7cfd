"""A contract never comes with its expand, nor while what serves still needs the old shape."""

from __future__ import annotations

import pytest

from slipway.errors import Refused
from slipway.facts.migrations import Revision, Schema
from slipway.plans import migrations

ONE, TWO = Revision("0001", "expand"), Revision("0002", "expand")
THREE, FOUR = Revision("0003", "contract"), Revision("0004", "expand")
ALL = (ONE, TWO, THREE, FOUR)


def test_an_empty_database_gets_everything() -> None:
    assert migrations.due(ALL, Schema(None, {}), "first").now == ALL


def test_a_contract_waits_with_all_that_follows_while_its_expand_is_new() -> None:
    found = migrations.due(ALL, Schema("0001", {"0001": "first"}), "after-g1")
    assert (found.now, found.later) == ((TWO,), (THREE, FOUR))


def test_a_contract_waits_when_the_release_of_its_expand_is_tried_again() -> None:
    schema = Schema("0002", {"0001": "first", "0002": "after-g1"})
    assert migrations.due(ALL, schema, "after-g1").later == (THREE, FOUR)


def test_the_next_release_contracts_and_goes_on() -> None:
    schema = Schema("0002", {"0001": "first", "0002": "after-g1"})
    found = migrations.due(ALL, schema, "after-g2")
    assert (found.now, found.later) == ((THREE, FOUR), ())


def test_a_database_newer_than_the_image_is_left_as_it_is() -> None:
    assert migrations.due((ONE,), Schema("0002", {}), "after-g2") == migrations.Migrations()


@pytest.mark.parametrize(("revisions", "schema"), [(None, Schema("0002", {})), (ALL, None)])
def test_what_cannot_be_told_is_not_guessed(
    revisions: tuple[Revision, ...] | None, schema: Schema | None
) -> None:
    (line,) = migrations.due(revisions, schema, "after-g2").lines()
    assert line.startswith("not known: ")


def test_a_person_reads_what_runs_and_what_waits() -> None:
    found = migrations.due(ALL, Schema("0001", {"0001": "first"}), "after-g1")
    first, second, _ = found.lines()
    assert first == "0002 (expand) runs"
    assert second.startswith("0003 (contract) waits for the next release")
    assert migrations.Migrations().lines() == ["none"]


def test_a_contract_is_refused_while_an_older_release_serves_again() -> None:
    """After going back to a release that does not know 0002, the database does."""
    schema = Schema("0002", {"0001": "first", "0002": "after-g1"})
    found = migrations.due(ALL, schema, "after-g2")
    with pytest.raises(Refused, match="0003 removes what the release that serves still needs"):
        migrations.refuse_early_contract(found, ALL, (ONE,))
    migrations.refuse_early_contract(found, ALL, (ONE, TWO))
    migrations.refuse_early_contract(found, ALL, None)
