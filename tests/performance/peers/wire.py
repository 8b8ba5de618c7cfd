"""What the frameworks' servers take and answer, the same for each."""

from __future__ import annotations

import json
import time
from collections.abc import Awaitable, Iterable
from pathlib import Path

import numpy
from pydantic import BaseModel


class Search(BaseModel):
    query: str
    limit: int = 10
    hybrid: bool = False


class Passage(BaseModel):
    text: str
    score: float | None


class Passages(BaseModel):
    results: list[Passage]

    @classmethod
    def of(cls, found: Iterable[tuple[str, float | None]]) -> Passages:
        return cls(results=[Passage(text=text, score=score) for text, score in found])


class Texts(BaseModel):
    name: str
    texts: list[str]


class Given(BaseModel):
    """Files with texts (a JSON list) and their vectors (numpy), so that no HTTP is in the way."""

    texts: str
    vectors: str


def given_rows(given: Given) -> tuple[list[str], list[list[float]]]:
    texts = json.loads(Path(given.texts).read_text())
    return texts, numpy.load(given.vectors).tolist()


async def seconds_of(work: Awaitable[object]) -> dict[str, float]:
    started = time.perf_counter()
    await work
    return {"seconds": time.perf_counter() - started}
