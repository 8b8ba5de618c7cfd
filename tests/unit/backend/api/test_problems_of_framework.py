from __future__ import annotations

import httpx
import pytest
from fastapi import APIRouter, FastAPI

from slipway_backend.api.problems import add_problem_handlers, describe

router = APIRouter()


@router.get("/things")
async def read() -> None: ...


@router.post("/things")
async def write() -> None: ...


@router.get("/things/{name}")
async def read_one(name: str) -> None: ...


@pytest.fixture
def client() -> httpx.AsyncClient:
    app = FastAPI()
    add_problem_handlers(app)
    app.include_router(router)
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test")


async def test_a_refused_method_is_told_all_that_the_path_takes(client: httpx.AsyncClient) -> None:
    refused = await client.put("/things")
    assert refused.status_code == 405
    assert refused.headers["allow"] == "GET, POST"
    assert refused.json()["title"] == "Method Not Allowed"


def test_whoever_declares_invalid_requests_declares_what_is_refused_before_them_too() -> None:
    assert set(describe(422)) == {400, 413, 422, 429, 503}
    assert set(describe(404)) == {404}
