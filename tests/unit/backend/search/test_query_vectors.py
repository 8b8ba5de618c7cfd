"""Queries that wait at the same time are embedded together, and nobody pays for another's."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from queue import SimpleQueue
from typing import Any

import numpy
import pytest
from numpy.typing import NDArray

from slipway_backend.search.query_vectors import MOST_TOGETHER, QueryVectors


class Held:
    """An embedder whose calls wait until they may go on; a query's vector is its number."""

    def __init__(self) -> None:
        self.calls: list[list[str]] = []
        self.begun: SimpleQueue[list[str]] = SimpleQueue()
        self.go_on = threading.Event()

    def embed(self, texts: Sequence[str]) -> NDArray[numpy.float32]:
        self.calls.append(list(texts))
        self.begun.put(self.calls[-1])
        assert self.go_on.wait(10)
        if "7" in texts:
            raise ValueError("nobody can embed 7")
        return numpy.array([[float(text)] for text in texts], dtype=numpy.float32)


@pytest.fixture
def held() -> Any:
    return Held()


async def begin(vectors: QueryVectors, embedder: Any, *queries: str) -> list[asyncio.Task[Any]]:
    tasks = [asyncio.create_task(vectors.embed(embedder, query)) for query in queries]
    await asyncio.to_thread(embedder.begun.get)
    return tasks


async def test_what_comes_during_a_call_is_embedded_together_by_the_next(held: Any) -> None:
    vectors = QueryVectors(calls=1)
    tasks = await begin(vectors, held, "1", "2", "3")
    later = [asyncio.create_task(vectors.embed(held, str(number))) for number in (4, 5, 6)]
    await asyncio.sleep(0)
    held.go_on.set()
    found = [float(vector[0]) for vector in await asyncio.gather(*tasks, *later)]
    assert found == [1, 2, 3, 4, 5, 6]
    assert [query for call in held.calls for query in call] == ["1", "2", "3", "4", "5", "6"]
    assert len(held.calls) < 6
    assert max(len(call) for call in held.calls) <= MOST_TOGETHER


async def test_a_query_that_finds_a_call_free_waits_for_no_other(held: Any) -> None:
    vectors = QueryVectors(calls=2)
    tasks = await begin(vectors, held, "1")
    tasks.append(asyncio.create_task(vectors.embed(held, "2")))
    await asyncio.to_thread(held.begun.get)
    assert held.calls == [["1"], ["2"]]
    held.go_on.set()
    await asyncio.gather(*tasks)


async def test_a_query_that_cannot_be_embedded_fails_alone(held: Any) -> None:
    vectors = QueryVectors(calls=1)
    tasks = await begin(vectors, held, "1", "6", "7", "8")
    held.go_on.set()
    first, second, bad, last = await asyncio.gather(*tasks, return_exceptions=True)
    assert [float(each[0]) for each in (first, second, last)] == [1, 6, 8]
    assert isinstance(bad, ValueError)


async def test_a_query_that_was_given_up_is_not_embedded_and_stops_nobody(held: Any) -> None:
    vectors = QueryVectors(calls=1)
    (first,) = await begin(vectors, held, "1")
    second, third = (asyncio.create_task(vectors.embed(held, query)) for query in "23")
    await asyncio.sleep(0)
    first.cancel()
    second.cancel()
    held.go_on.set()
    assert float((await third)[0]) == 3
    assert held.calls == [["1"], ["3"]]


async def test_queries_of_two_embedders_never_share_a_call(held: Any) -> None:
    vectors = QueryVectors(calls=1)
    other = Held()
    other.go_on.set()
    tasks = await begin(vectors, held, "1")
    tasks += [
        asyncio.create_task(vectors.embed(embedder, query))
        for embedder, query in ((held, "2"), (other, "3"), (held, "4"))
    ]
    await asyncio.sleep(0)
    held.go_on.set()
    assert [float(vector[0]) for vector in await asyncio.gather(*tasks)] == [1, 2, 3, 4]
    assert (held.calls, other.calls) == ([["1"], ["2"], ["4"]], [["3"]])


async def test_a_query_that_comes_just_as_a_call_ends_is_embedded(held: Any) -> None:
    vectors = QueryVectors(calls=1)
    held.go_on.set()
    async with asyncio.timeout(10):
        for query in "123456":
            # Its predecessor's call has nothing left to do and has not quite ended.
            assert float((await vectors.embed(held, query))[0]) == float(query)
