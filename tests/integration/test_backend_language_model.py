"""What holds for every language model, whatever it writes.

Runs against the scripted server, or against another:
SLIPWAY_TEST_LLM_BASE_URL=http://.../v1 SLIPWAY_TEST_LLM_MODEL=name pytest THIS FILE
"""

from __future__ import annotations

import json
from contextlib import aclosing
from typing import Any

import httpx
import pytest
from scripted_llm import Served

from slipway_backend.answers import NOTHING_FOUND
from slipway_backend.llm import LanguageModel, Message
from slipway_backend.metrics import Metrics
from slipway_backend.settings import Settings

FERRY = b"# Ferry\n\nThe ferry to Utvik leaves at 07:15 from quay four.\n"
QUESTION = "When does the ferry to Utvik leave?"
MESSAGES: list[Message] = [
    {"role": "system", "content": "Answer in one word."},
    {"role": "user", "content": "Which colour has the sky?"},
]


@pytest.fixture
def given(language_model: Served) -> dict[str, Any]:
    return {"llm_base_url": language_model.base_url, "llm_model": language_model.model}


async def test_a_whole_answer_has_words_an_end_and_tokens(given: dict[str, Any]) -> None:
    async with httpx.AsyncClient() as client:
        answer = await LanguageModel(Settings(**given), Metrics(), client).complete(
            MESSAGES, max_tokens=16
        )
    assert answer.text.strip()
    assert answer.finish_reason in {"stop", "length"}
    assert answer.usage is None or answer.usage.output_tokens > 0


async def test_a_streamed_answer_has_words_and_an_end(given: dict[str, Any]) -> None:
    async with httpx.AsyncClient() as client:
        model = LanguageModel(Settings(**given), Metrics(), client)
        async with aclosing(model.stream(MESSAGES, max_tokens=16)) as stream:
            parts = [part async for part in stream]
    assert "".join(part.text for part in parts).strip()
    assert {part.finish_reason for part in parts} & {"stop", "length"}


async def test_an_answer_is_cited_or_a_refusal_in_every_way_of_asking(
    make_instance: Any, settings: Settings, given: dict[str, Any]
) -> None:
    instance = make_instance()
    await instance.start(settings.model_copy(update=given | {"llm_max_tokens": 32}))
    await instance.upload("ferry.md", FERRY)
    await instance.work()
    history = [
        {"role": "user", "content": "Is there a ferry?"},
        {"role": "assistant", "content": "Yes, to Utvik."},
    ]
    for more in ({}, {"stream": True}, {"history": history}):
        body = {"question": QUESTION, **more}
        response = await instance.client.post("/v1/query", json=body)
        assert response.status_code == 200, response.text
        text = response.text
        if "stream" in more:
            text = text.rpartition("event: done\ndata: ")[2]
        answer = json.loads(text)
        assert answer["mode"] == "generated"
        assert bool(answer["citations"]) != (answer["answer"] == NOTHING_FOUND)
        assert answer["finish_reason"] in {"stop", "length"}
