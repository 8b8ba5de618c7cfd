from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable
from typing import Any, cast
from uuid import uuid4

import httpx
import pytest
from scripted_llm import ScriptedLLM

from slipway_backend.access import Identity
from slipway_backend.answers import Answerer
from slipway_backend.llm import LanguageModel
from slipway_backend.metrics import Metrics
from slipway_backend.search import Passage, Searcher
from slipway_backend.settings import Settings


class FixedSearcher:
    """Finds what it was given and keeps what it was asked; a word is its own stem."""

    def __init__(self, passages: list[Passage]) -> None:
        self._passages = passages
        self.queries: list[str] = []

    async def search(self, query: str, **_: object) -> list[Passage]:
        self.queries.append(query)
        return self._passages

    async def stems(self, texts: list[str]) -> list[frozenset[str]]:
        return [frozenset(re.findall(r"\w+", text.lower())) for text in texts]


@pytest.fixture
def passage() -> Callable[..., Passage]:
    def make(text: str, *, similarity: float = 0.9, every_word: bool = False) -> Passage:
        return Passage(uuid4(), "a.md", 1, None, "Heading", text, 0.03, similarity, every_word)

    return make


@pytest.fixture
def identity() -> Identity:
    return Identity(uuid4(), "admin", "admin")


@pytest.fixture
def make_answerer() -> Callable[..., tuple[Answerer, FixedSearcher]]:
    def make(
        passages: list[Passage], model: LanguageModel | None = None, **settings: Any
    ) -> tuple[Answerer, FixedSearcher]:
        searcher = FixedSearcher(passages)
        answerer = Answerer(
            Settings(**settings),
            cast("Searcher", searcher),
            Metrics(),
            model,
            lambda text: len(text.split()),
        )
        return answerer, searcher

    return make


@pytest.fixture
async def model(scripted_llm: ScriptedLLM) -> AsyncIterator[LanguageModel]:
    settings = Settings(llm_base_url=scripted_llm.base_url, llm_model="tiny")
    async with httpx.AsyncClient() as client:
        yield LanguageModel(settings, Metrics(), client)
