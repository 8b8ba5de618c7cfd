"""What a reranker answers is believed only where it is an order of the passages."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slipway_backend.search.rerank import NotUnderstood, read_order


def answer(*entries: tuple[object, object]) -> bytes:
    results = [{"index": index, "relevance_score": score} for index, score in entries]
    return json.dumps({"results": results}).encode()


def test_the_best_comes_first_whatever_the_order_of_the_answer() -> None:
    assert read_order(answer((0, 0.1), (2, 0.9), (1, 0.5)), 3, least=3) == [
        (2, 0.9),
        (1, 0.5),
        (0, 0.1),
    ]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[]",
        b'{"results": 7}',
        b'{"results": [[0, 1]]}',
        answer((0, None), (1, 0.5)),
        answer((0, 0.5), (0, 0.4)),
        answer((0, 0.5), (3, 0.4)),
        answer((0, 0.5), (-1, 0.4)),
        answer((0, 0.5), ("1", 0.4)),
        answer((0, 0.5), (1, float("nan"))),
        answer((0, 0.5)),
    ],
)
def test_anything_else_is_refused(content: bytes) -> None:
    with pytest.raises(NotUnderstood):
        read_order(content, 3, least=2)


@given(st.binary(max_size=60))
def test_no_bytes_break_it(content: bytes) -> None:
    with pytest.raises(NotUnderstood):
        read_order(content, 3, least=1)
