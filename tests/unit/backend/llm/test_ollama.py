"""Ollama: nobody has to pull or load a model by hand, and nobody waits for one in the dark."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import httpx
import pytest
from scripted_llm import ScriptedLLM
from structlog.testing import capture_logs

from slipway_backend.errors import Problem
from slipway_backend.llm import LanguageModel, ollama
from slipway_backend.llm.ollama import kept_loaded
from slipway_backend.metrics import Metrics
from slipway_backend.settings import Settings


@asynccontextmanager
async def running(scripted_llm: ScriptedLLM) -> AsyncIterator[LanguageModel]:
    settings = Settings(ollama_base_url=scripted_llm.ollama_url, llm_model="tiny")
    async with httpx.AsyncClient() as client:
        model = LanguageModel(settings, Metrics(), client)
        async with kept_loaded(model, settings, client):
            yield model


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110 - a state that nothing announces
            await asyncio.sleep(0.01)


async def ask(model: LanguageModel) -> str:
    messages = [{"role": "user", "content": "When?"}]
    return (await model.complete(messages, max_tokens=9)).text  # type: ignore[arg-type]


async def test_a_model_that_is_missing_is_pulled_and_loaded_while_questions_are_told_to_wait(
    scripted_llm: ScriptedLLM,
) -> None:
    scripted_llm.pull_hold = threading.Event()
    with capture_logs() as logs:
        async with running(scripted_llm) as model:
            assert await asyncio.to_thread(scripted_llm.pulling.wait, 10)
            with pytest.raises(Problem) as caught:
                await ask(model)
            assert (caught.value.status, caught.value.extensions["cause"]) == (503, "llm_loading")
            assert caught.value.headers["Retry-After"]
            scripted_llm.pull_hold.set()
            await until(lambda: model.status == "ready")
            assert "seven" in await ask(model)
    assert scripted_llm.ollama_models == ["tiny:latest"]
    assert scripted_llm.ollama_loaded[0]["keep_alive"] == "24h"
    percents = [log["percent"] for log in logs if log["event"] == "ollama_pull"]
    assert percents == [0, 40, 100]


async def test_a_model_that_is_there_is_only_loaded(scripted_llm: ScriptedLLM) -> None:
    scripted_llm.ollama_models.append("tiny:latest")
    async with running(scripted_llm) as model:
        await until(lambda: model.status == "ready")
    assert not scripted_llm.pulling.is_set()
    assert len(scripted_llm.ollama_loaded) == 1


async def test_a_server_that_comes_late_is_waited_for(
    scripted_llm: ScriptedLLM, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ollama, "FIRST_RETRY_SECONDS", 0.05)
    scripted_llm.ollama_models.append("tiny:latest")
    await asyncio.to_thread(scripted_llm.stop)
    async with running(scripted_llm) as model:
        await until(lambda: model.status == "unreachable")
        scripted_llm.start()
        await until(lambda: model.status == "ready")


async def test_a_model_that_ollama_does_not_know_is_logged_in_its_words(
    scripted_llm: ScriptedLLM,
) -> None:
    scripted_llm.ollama_error = "pull model manifest: file does not exist"
    with capture_logs() as logs:
        async with running(scripted_llm) as model:
            await until(lambda: model.status == "unreachable")
    failed = next(log for log in logs if log["event"] == "ollama_failed")
    assert failed["cause"] == scripted_llm.ollama_error


async def test_a_model_that_is_gone_after_a_restart_is_loaded_again(
    scripted_llm: ScriptedLLM, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ollama, "CHECK_SECONDS", 0.05)
    scripted_llm.ollama_models.append("tiny:latest")
    async with running(scripted_llm) as model:
        await until(lambda: model.status == "ready")
        scripted_llm.ollama_models.clear()
        await until(scripted_llm.pulling.is_set)
        await until(lambda: model.status == "ready")
