"""A reranker orders what search found; when it fails or is slow, the answer comes all the same."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from slipway_backend.settings import Settings

FERRIES = {
    "north.md": b"# North\n\nThe ferry to Utvik leaves from quay four.\n",
    "south.md": b"# South\n\nThe ferry to Sandane leaves from quay nine.\n",
    "east.md": b"# East\n\nThe ferry to Olden leaves from quay one.\n",
}
Answer = Callable[[dict[str, Any], asyncio.StreamWriter], Awaitable[None]]


class RerankServer:
    """A real HTTP server that answers as its test says."""

    def __init__(self) -> None:
        self.requests: list[dict[str, Any]] = []
        self.headers: list[str] = []
        self.answer: Answer = reverse
        self.released = asyncio.Event()
        self.port = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        length = next(
            int(line.split(":")[1])
            for line in head.lower().split("\r\n")
            if line.startswith("content-length")
        )
        body = json.loads(await reader.readexactly(length))
        self.requests.append(body)
        self.headers.append(head)
        await self.answer(body, writer)
        writer.close()


def sent(writer: asyncio.StreamWriter, body: bytes, status: str = "200 OK", more: int = 0) -> None:
    writer.write(
        f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\nConnection: close\r\n"
        f"Content-Length: {len(body) + more}\r\n\r\n".encode() + body
    )


async def reverse(body: dict[str, Any], writer: asyncio.StreamWriter) -> None:
    """The last passage is the best."""
    results = [
        {"index": index, "relevance_score": index / 10} for index in range(len(body["documents"]))
    ]
    sent(writer, json.dumps({"results": results[::-1][: body["top_n"]]}).encode())
    await writer.drain()


async def overloaded(_: dict[str, Any], writer: asyncio.StreamWriter) -> None:
    sent(writer, b"{}", "503 Service Unavailable")


async def not_json(_: dict[str, Any], writer: asyncio.StreamWriter) -> None:
    sent(writer, b"<html>")


async def wrong_index(_: dict[str, Any], writer: asyncio.StreamWriter) -> None:
    sent(writer, b'{"results": [{"index": 77, "relevance_score": 1.0}]}')


async def no_number(_: dict[str, Any], writer: asyncio.StreamWriter) -> None:
    sent(writer, b'{"results": [{"index": 0, "relevance_score": NaN}]}')


async def cut_off(_: dict[str, Any], writer: asyncio.StreamWriter) -> None:
    sent(writer, b'{"results": [{"ind', more=500)


@pytest.fixture
async def server() -> AsyncIterator[RerankServer]:
    made = RerankServer()
    listening = await asyncio.start_server(made.serve, "127.0.0.1", 0)
    made.port = listening.sockets[0].getsockname()[1]
    yield made
    made.released.set()
    listening.close()
    await listening.wait_closed()


@pytest.fixture
async def reranking(
    make_instance: Callable[[], Any], settings: Settings, server: RerankServer
) -> Any:
    made = make_instance()
    await made.start(
        settings.model_copy(
            update={
                "rerank_base_url": f"http://127.0.0.1:{server.port}/v1",
                "rerank_model": "a-reranker",
                "rerank_api_key": "secret",
                "rerank_seconds": 1.0,
            }
        )
    )
    for name, content in FERRIES.items():
        await made.upload(name, content)
    await made.work()
    return made


async def search(instance: Any) -> tuple[bool, list[str]]:
    response = await instance.client.post("/v1/search", json={"query": "ferry", "limit": 2})
    assert response.status_code == 200, response.text
    answer = response.json()
    return answer["reranked"], [result["filename"] for result in answer["results"]]


async def test_the_servers_order_and_scores_are_the_answers(
    reranking: Any, server: RerankServer
) -> None:
    response = await reranking.client.post("/v1/search", json={"query": "ferry", "limit": 2})
    answer = response.json()
    (asked,) = server.requests
    assert (asked["model"], asked["query"], asked["top_n"]) == ("a-reranker", "ferry", 2)
    assert len(asked["documents"]) == 3
    assert "authorization: bearer secret" in server.headers[0].lower()
    assert answer["reranked"] is True
    assert [result["score"] for result in answer["results"]] == [0.2, 0.1]
    best, second = answer["results"]
    assert best["text"] in asked["documents"][2]
    assert second["text"] in asked["documents"][1]


@pytest.mark.parametrize("answer", [overloaded, not_json, wrong_index, no_number, cut_off])
async def test_a_failing_server_leaves_the_fused_order_and_says_so(
    reranking: Any, server: RerankServer, answer: Answer
) -> None:
    server.answer = answer
    reranked, names = await search(reranking)
    assert (reranked, len(names)) == (False, 2)


async def test_a_slow_server_is_not_waited_for(reranking: Any, server: RerankServer) -> None:
    async def never(_: dict[str, Any], __: asyncio.StreamWriter) -> None:
        await server.released.wait()

    server.answer = never
    reranked, names = await search(reranking)
    assert (reranked, len(names)) == (False, 2)
    figures = (await reranking.client.get("/metrics")).text
    assert 'slipway_reranks_total{outcome="timeout"} 1.0' in figures
