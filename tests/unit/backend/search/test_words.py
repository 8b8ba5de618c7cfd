"""Which words a search looks for: rare ones first, and never more than it may read."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from slipway_backend.search.words import Wanted, lexemes_of, rarity, split_query, want

SHARES = {"the": 0.9, "ferri": 0.2, "harbour": 0.1, "leav": 0.15, "utvik": 0.001}


def wanted(query: str, *, budget: float = 2000, total: float = 100_000) -> Wanted:
    return want(query, lambda word: SHARES.get(word, 0.0005), total=total, budget=budget, enough=60)


def test_words_phrases_and_quotes_are_told_apart() -> None:
    operands = split_query("'ferri' & 'quay' <-> 'four' & ('o''brien' <2> 'x') & 'ferri'")
    assert operands is not None
    assert [operand.lexemes for operand in operands] == [
        ("ferri",),
        ("quay", "four"),
        ("o'brien", "x"),
    ]


def test_exclusions_and_alternatives_stay_whole() -> None:
    for query in ("'ferri' & !'utvik'", "'ferri' | 'utvik'"):
        assert split_query(query) is None
        assert wanted(query).query == query
    assert lexemes_of("'a' & !'b'") == ("a", "b")


def test_a_common_word_is_not_looked_for_beside_a_rare_one() -> None:
    assert wanted("'ferri' & 'utvik'").query == "( 'utvik' )"


def test_common_words_are_looked_for_together() -> None:
    assert wanted("'harbour' & 'leav'", budget=2000).query == "( 'harbour' & 'leav' )"


def test_a_query_of_very_common_words_is_looked_for_whole() -> None:
    assert wanted("'the'", budget=10).query == "( 'the' )"
    assert wanted("'the' & 'ferri'", budget=10).query == "( 'the' & 'ferri' )"


def test_without_a_budget_any_word_will_do() -> None:
    assert wanted("'ferri' & 'utvik'", budget=math.inf).query == "( 'utvik' ) | ( 'ferri' )"


def test_an_empty_query_wants_nothing() -> None:
    assert wanted("").query == ""
    assert all(group.query == "" for group in wanted("").groups)


def test_every_word_ranks_and_a_rare_one_counts_more() -> None:
    rare, _, common = wanted("'ferri' & 'utvik' & 'the'").groups
    assert "'utvik'" in rare.query
    assert "'the'" in common.query
    assert rare.weight > common.weight > 0


def test_the_words_share_the_question_by_how_rare_they_are() -> None:
    (ferry, some), (utvik, more) = wanted("'ferri' & 'utvik'").words
    assert (ferry, utvik) == ("'ferri'", "'utvik'")
    assert 0 < some < more < 1
    assert math.isclose(some + more, 1)


@given(st.floats(0, 1), st.floats(0, 1))
def test_rarer_words_weigh_more_and_every_word_something(one: float, other: float) -> None:
    assert rarity(one) > 0
    if one < other:
        assert rarity(one) >= rarity(other)


@given(
    st.lists(st.sampled_from([*SHARES, "new", "unseen"]), min_size=1, max_size=8, unique=True),
    st.floats(1, 1e6),
)
def test_what_single_words_may_find_stays_within_the_budget(
    words: list[str], budget: float
) -> None:
    found = wanted(" & ".join(f"'{word}'" for word in words), budget=budget)
    singles = [part for part in found.query.split(" | ") if "&" not in part]
    expected = [SHARES.get(lexemes_of(part)[0], 0.0005) * 100_000 for part in singles]
    assert sum(expected) <= budget or len(words) == 1
    assert found.query
