from __future__ import annotations

import httpx
import pytest

from slipway_backend.bulk.server import reason, retry_after


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [({"retry-after": "7"}, 7.0), ({}, 0.0), ({"retry-after": "Wed, 21 Oct 2031 07:28:00"}, 0.0)],
)
def test_the_time_to_wait_is_taken_from_the_answer(headers: dict[str, str], seconds: float) -> None:
    assert retry_after(httpx.Response(429, headers=headers)) == seconds


@pytest.mark.parametrize(
    ("content", "said"),
    [(b'{"detail": "Too large."}', "Too large."), (b"<html>", "status 413"), (b"[]", "status 413")],
)
def test_a_refusal_is_told_in_the_servers_words_where_it_has_some(
    content: bytes, said: str
) -> None:
    assert reason(httpx.Response(413, content=content)) == said
