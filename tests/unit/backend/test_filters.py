"""A filter on sources is one comparison of texts, for exact names and for beginnings."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from slipway_backend.filters import EVERYTHING, Filters, source_span

NAMES = st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"]), max_size=12)


@given(NAMES.filter(lambda name: not name.endswith("*")), NAMES)
def test_an_exact_name_is_a_span_of_one(name: str, other: str) -> None:
    first, after = source_span(name)
    assert first <= name < after
    assert (first <= other < after) == (other == name)


@given(NAMES, NAMES)
def test_a_beginning_spans_what_begins_so_and_nothing_else(beginning: str, other: str) -> None:
    first, after = source_span(beginning + "*")
    assert first <= beginning + other < after
    assert (first <= other < after) == other.startswith(beginning)


def test_a_filter_without_anything_has_no_condition() -> None:
    assert EVERYTHING.conditions() == ""
    assert Filters(collections=("a",)).conditions() == ""
    assert EVERYTHING.parameters() == {}


def test_every_value_is_a_parameter() -> None:
    hostile = Filters(sources=("'; DROP TABLE chunks; --*",), metadata={"a": "' OR true"})
    assert "DROP" not in hostile.conditions()
    assert "OR true" not in hostile.conditions()
