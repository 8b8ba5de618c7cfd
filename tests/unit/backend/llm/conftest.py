from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx
import pytest
from scripted_llm import ScriptedLLM

from slipway_backend.llm import LanguageModel
from slipway_backend.metrics import Metrics
from slipway_backend.settings import Settings

MakeModel = Callable[..., LanguageModel]


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


@pytest.fixture
async def make_model(scripted_llm: ScriptedLLM, metrics: Metrics) -> AsyncIterator[MakeModel]:
    async with httpx.AsyncClient() as client:

        def make(**settings: Any) -> LanguageModel:
            given = {"llm_base_url": scripted_llm.base_url, "llm_model": "tiny"} | settings
            return LanguageModel(Settings(**given), metrics, client)

        yield make
