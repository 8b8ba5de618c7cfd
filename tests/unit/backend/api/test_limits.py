from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, StreamingResponse
from starlette.routing import Route

from slipway_backend.api.limits import Limits
from slipway_backend.metrics import Metrics
from slipway_backend.settings import Settings


class Service:
    """A small app behind the limits, whose slow route waits for the test."""

    def __init__(self, **limits: float) -> None:
        self.metrics = Metrics()
        self.started = asyncio.Semaphore(0)
        self.go_on = asyncio.Event()
        app = Starlette(
            routes=[
                Route("/slow", self._slow),
                Route("/streamed", self._streamed),
                Route("/health/live", self._live),
            ]
        )
        settings = Settings.model_validate(limits)
        self.app = Limits(app, settings=settings, metrics=self.metrics)

    async def _slow(self, _: Request) -> PlainTextResponse:
        self.started.release()
        await self.go_on.wait()
        return PlainTextResponse("done")

    async def _streamed(self, _: Request) -> StreamingResponse:
        async def parts() -> AsyncIterator[str]:
            yield "first"
            await asyncio.sleep(0.1)
            yield " last"

        return StreamingResponse(parts())

    async def _live(self, _: Request) -> PlainTextResponse:
        return PlainTextResponse("live")

    def refused(self, reason: str) -> float | None:
        return self.metrics.registry.get_sample_value(
            "slipway_http_requests_refused_total", {"reason": reason}
        )

    @asynccontextmanager
    async def client(self) -> AsyncIterator[httpx.AsyncClient]:
        transport = httpx.ASGITransport(self.app)
        async with httpx.AsyncClient(transport=transport, base_url="http://slipway") as client:
            yield client


async def test_more_requests_than_one_instance_can_answer_are_refused_at_once() -> None:
    service = Service(max_requests=1)
    async with service.client() as client:
        first = asyncio.create_task(client.get("/slow"))
        await service.started.acquire()
        refused = await client.get("/slow")
        assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
        assert refused.headers["content-type"] == "application/problem+json"
        assert (await client.get("/health/live")).text == "live"
        service.go_on.set()
        assert (await first).text == "done"
        assert (await client.get("/slow")).text == "done"
    assert service.refused("busy") == 1


async def test_one_credential_cannot_take_every_place() -> None:
    service = Service(max_requests=9, max_requests_per_user=1)
    async with service.client() as client:
        mine, other = {"Authorization": "Bearer mine"}, {"Authorization": "Bearer other"}
        first = asyncio.create_task(client.get("/slow", headers=mine))
        await service.started.acquire()
        refused = await client.get("/slow", headers=mine)
        assert (refused.status_code, refused.headers["retry-after"]) == (429, "1")
        second = asyncio.create_task(client.get("/slow", headers=other))
        await service.started.acquire()
        service.go_on.set()
        assert (await first).text == (await second).text == "done"
        assert (await client.get("/slow", headers=mine)).text == "done"
    assert service.refused("user") == 1


async def test_an_answer_that_does_not_begin_in_time_is_a_problem_and_its_place_is_free() -> None:
    service = Service(max_requests=1, request_seconds=0.05)
    async with service.client() as client:
        late = await client.get("/slow")
        assert late.status_code == 503
        assert "0.05 seconds" in late.json()["detail"]
        service.go_on.set()
        assert (await client.get("/slow")).text == "done"
    assert service.refused("slow") == 1


async def test_an_answer_that_has_begun_may_take_longer() -> None:
    service = Service(request_seconds=0.05)
    async with service.client() as client:
        assert (await client.get("/streamed")).text == "first last"
