"""Ollama: the model is pulled when it is not there, loaded before it is needed, and kept loaded."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx

from slipway_backend import background
from slipway_backend.llm.client import LanguageModel
from slipway_backend.logs import get_logger
from slipway_backend.settings import Settings

# Ollama forgets a model when it is restarted; asking for a loaded one costs nothing.
CHECK_SECONDS = 60.0
FIRST_RETRY_SECONDS = 1.0
LAST_RETRY_SECONDS = 30.0
# Loading reads gigabytes from a disk; pulling them is silent while Ollama checks their sum.
LOAD_SECONDS = 600.0
PULL_SILENCE_SECONDS = 300.0
PROGRESS_STEP = 10


class OllamaFailed(Exception):
    """Ollama said no; the message is its own."""


@asynccontextmanager
async def kept_loaded(
    model: LanguageModel, settings: Settings, client: httpx.AsyncClient
) -> AsyncIterator[None]:
    """Pull and load the model in the background, and again whenever it is gone."""
    model.status = "loading"
    async with background.running(_keep(model, settings, client)):
        yield


async def _keep(model: LanguageModel, settings: Settings, client: httpx.AsyncClient) -> None:
    wait = FIRST_RETRY_SECONDS
    while True:
        try:
            await _ensure(model, settings, client)
        except (httpx.HTTPError, ValueError, OllamaFailed) as error:
            model.status = "unreachable"
            cause = str(error) if isinstance(error, OllamaFailed) else type(error).__name__
            get_logger().error("ollama_failed", model=model.name, cause=cause, retry_seconds=wait)
            await asyncio.sleep(wait)
            wait = min(wait * 2, LAST_RETRY_SECONDS)
        else:
            wait = FIRST_RETRY_SECONDS
            await asyncio.sleep(CHECK_SECONDS)


async def _ensure(model: LanguageModel, settings: Settings, client: httpx.AsyncClient) -> None:
    url = settings.ollama_base_url.rstrip("/")
    connect = settings.llm_connect_seconds
    tags = await client.get(f"{url}/api/tags", timeout=httpx.Timeout(30.0, connect=connect))
    if not _has(_answer(tags), model.name):
        model.status = "loading"
        limits = httpx.Timeout(PULL_SILENCE_SECONDS, connect=connect)
        await _pull(model.name, f"{url}/api/pull", client, limits)
    # Without a prompt this only loads the model. What answers later keeps the time given here.
    loaded = await client.post(
        f"{url}/api/generate",
        json={"model": model.name, "keep_alive": settings.ollama_keep_alive, "stream": False},
        timeout=httpx.Timeout(LOAD_SECONDS, connect=connect),
    )
    _answer(loaded)
    if model.status != "ready":
        model.status = "ready"
        get_logger().info("ollama_model_ready", model=model.name)


def _has(tags: dict[str, Any], name: str) -> bool:
    wanted = name if ":" in name else f"{name}:latest"
    models = tags.get("models")
    entries = models if isinstance(models, list) else []
    return any(isinstance(entry, dict) and entry.get("name") == wanted for entry in entries)


async def _pull(name: str, url: str, client: httpx.AsyncClient, limits: httpx.Timeout) -> None:
    get_logger().info("ollama_pull_started", model=name)
    told = -1
    async with client.stream("POST", url, json={"model": name}, timeout=limits) as response:
        if response.status_code != httpx.codes.OK:
            await response.aread()
            _answer(response)
        async for line in response.aiter_lines():
            progress = json.loads(line) if line.strip() else {}
            _raise_error(progress)
            total, done = progress.get("total"), progress.get("completed")
            if isinstance(total, int) and isinstance(done, int) and total > 0:
                percent = done * 100 // total // PROGRESS_STEP * PROGRESS_STEP
                if percent != told:
                    told = percent
                    get_logger().info("ollama_pull", model=name, percent=percent, bytes=total)
            if progress.get("status") == "success":
                get_logger().info("ollama_pull_done", model=name)
                return
    raise OllamaFailed("the pull ended before it was complete")


def _answer(response: httpx.Response) -> dict[str, Any]:
    """The answer's JSON; raise OllamaFailed or ValueError."""
    answer = json.loads(response.content)
    _raise_error(answer)
    if response.status_code != httpx.codes.OK:
        raise OllamaFailed(f"status {response.status_code}")
    return dict(answer)


def _raise_error(answer: object) -> None:
    if not isinstance(answer, dict):
        raise OllamaFailed("an answer that is no object")
    if answer.get("error"):
        raise OllamaFailed(str(answer["error"])[:200])
