"""The figures of retrieval quality, against values worked out by hand and what must always hold."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slipway_backend.evaluation import ndcg, recall, reciprocal_rank, score

RANKINGS = st.lists(st.integers(0, 15), max_size=20)
LABELS = st.dictionaries(st.integers(0, 15), st.integers(0, 2), max_size=8)


def test_the_figures_are_those_worked_out_by_hand() -> None:
    labels = {"a": 2, "b": 1}
    # Gains 3 and 1; places 2 and 3: (3 / log2 3 + 1 / log2 4) / (3 / log2 2 + 1 / log2 3).
    expected = (3 / math.log2(3) + 1 / 2) / (3 + 1 / math.log2(3))
    assert ndcg(["x", "a", "b"], labels) == pytest.approx(expected)
    assert recall(["x", "a", "y", "z", "w", "b"], labels) == 0.5
    assert reciprocal_rank(["x", "a", "b"], labels) == 0.5


def test_only_the_first_place_of_a_section_counts() -> None:
    labels = {"a": 1, "b": 1}
    assert ndcg(["a", "a", "a", "b"], labels) == 1.0
    assert recall(["a", "a", "a", "a", "a", "b"], labels) == 1.0


def test_what_stands_after_the_last_place_counts_nothing() -> None:
    others = [f"other {number}" for number in range(10)]
    assert ndcg([*others, "a"], {"a": 2}) == 0.0
    assert recall([*others[:5], "a"], {"a": 2}) == 0.0


def test_more_labels_than_places_can_still_be_found_in_full() -> None:
    labels = dict.fromkeys(range(8), 1)
    assert recall(list(range(5)), labels) == 1.0


@given(RANKINGS, LABELS)
def test_every_figure_is_between_0_and_1(ranking: list[int], labels: dict[int, int]) -> None:
    for figure in (ndcg, recall, reciprocal_rank):
        assert 0.0 <= figure(ranking, labels) <= 1.0 + 1e-12


@given(LABELS)
def test_the_order_of_the_labels_is_perfect(labels: dict[int, int]) -> None:
    ranking = sorted(labels, key=lambda section: -labels[section])
    best = 1.0 if any(labels.values()) else 0.0
    assert ndcg(ranking, labels) == pytest.approx(best)
    assert reciprocal_rank(ranking, labels) == best


@given(RANKINGS, LABELS)
def test_moving_a_more_relevant_section_up_never_lowers_the_figures(
    ranking: list[int], labels: dict[int, int]
) -> None:
    for place in range(1, len(ranking)):
        before, after = ranking[place - 1], ranking[place]
        if labels.get(after, 0) > labels.get(before, 0):
            moved = [*ranking]
            moved[place - 1], moved[place] = after, before
            assert ndcg(moved, labels) >= ndcg(ranking, labels) - 1e-12


def test_scores_are_means_and_0_without_questions() -> None:
    scores = score([(["a"], {"a": 2}), (["x"], {"a": 2})])
    assert (scores.questions, scores.ndcg_10, scores.recall_5, scores.mrr) == (2, 0.5, 0.5, 0.5)
    assert score([]).questions == 0
