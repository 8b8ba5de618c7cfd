"""The client of a language model: whole and streamed answers, and one problem per failure."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import aclosing
from typing import Any

import pytest
from scripted_llm import ScriptedLLM

from slipway_backend.errors import Problem
from slipway_backend.llm import LanguageModel, Message, Usage
from slipway_backend.metrics import Metrics

MESSAGES: list[Message] = [{"role": "user", "content": "When?"}]
MakeModel = Callable[..., LanguageModel]
WHOLE = '{"choices": [{"message": {"content": %s}, "finish_reason": "stop"}]}'


async def streamed(model: LanguageModel) -> str:
    async with aclosing(model.stream(MESSAGES, max_tokens=9)) as parts:
        return "".join([part.text async for part in parts])


async def whole(model: LanguageModel) -> str:
    return (await model.complete(MESSAGES, max_tokens=9)).text


async def test_a_whole_answer_comes_with_its_end_and_its_tokens(
    make_model: MakeModel, scripted_llm: ScriptedLLM
) -> None:
    scripted_llm.reply("At seven.", finish_reason="length")
    answer = await make_model(llm_api_key="key").complete(MESSAGES, max_tokens=9)
    assert (answer.text, answer.finish_reason) == ("At seven.", "length")
    assert answer.usage == Usage(40, 7)
    asked = scripted_llm.requests[0]
    assert (asked["model"], asked["max_tokens"], asked["stream"]) == ("tiny", 9, False)
    assert asked["messages"] == MESSAGES
    assert scripted_llm.headers[0]["Authorization"] == "Bearer key"


async def test_a_streamed_answer_comes_in_its_pieces_and_is_timed(
    make_model: MakeModel, scripted_llm: ScriptedLLM, metrics: Metrics
) -> None:
    scripted_llm.reply("At", " sev", "en.")
    async with aclosing(make_model().stream(MESSAGES, max_tokens=9)) as stream:
        parts = [part async for part in stream]
    assert [part.text for part in parts if part.text] == ["At", " sev", "en."]
    assert [part.finish_reason for part in parts if part.finish_reason] == ["stop"]
    assert [part.usage for part in parts if part.usage] == [Usage(40, 7)]

    def count(name: str, **labels: str) -> float | None:
        return metrics.registry.get_sample_value(name, labels)

    for stage in ("generate_first_token", "generate"):
        assert count("slipway_stage_duration_seconds_count", stage=stage) == 1
    model = {"gen_ai_operation_name": "chat", "gen_ai_request_model": "tiny"}
    assert count("gen_ai_client_operation_duration_seconds_count", error_type="", **model) == 1
    assert count("gen_ai_client_token_usage_sum", gen_ai_token_type="output", **model) == 7


async def test_a_server_that_counts_no_tokens_is_no_failure(
    make_model: MakeModel, scripted_llm: ScriptedLLM
) -> None:
    scripted_llm.reply("At seven.", usage=False)
    assert (await make_model().complete(MESSAGES, max_tokens=9)).usage is None


@pytest.mark.parametrize(
    ("reply", "cause", "status"),
    [
        ({"status": 500}, "llm_failed", 502),
        ({"status": 400}, "llm_failed", 502),
        ({"status": 401}, "llm_key_refused", 502),
        ({"status": 404}, "llm_model_unknown", 502),
        ({"status": 429}, "llm_rate_limited", 429),
        ({"status": 503}, "llm_unavailable", 503),
        ({"raw": b"no JSON"}, "llm_malformed", 502),
        ({"raw": b'{"choices": []}'}, "llm_malformed", 502),
        ({"raw": b'{"choices": "none"}'}, "llm_malformed", 502),
        ({"raw": (WHOLE % "7").encode()}, "llm_malformed", 502),
        ({"raw": (WHOLE % '" "').encode()}, "llm_empty", 502),
        ({"raw": (WHOLE % "null").encode()}, "llm_empty", 502),
    ],
)
async def test_each_failure_of_a_whole_answer_is_a_problem_of_its_own(
    make_model: MakeModel, scripted_llm: ScriptedLLM, reply: Any, cause: str, status: int
) -> None:
    scripted_llm.reply(**reply)
    with pytest.raises(Problem) as caught:
        await whole(make_model())
    assert (caught.value.extensions["cause"], caught.value.status) == (cause, status)
    assert ("Retry-After" in caught.value.headers) == (status in {429, 503})


@pytest.mark.parametrize(
    ("reply", "cause"),
    [
        ({"raw": b"data: {broken\n\n"}, "llm_malformed"),
        ({"raw": b'{"choices": []}'}, "llm_malformed"),
        ({"raw": b"<html>a proxy's page</html>\n"}, "llm_malformed"),
        ({"raw": b'data: {"error": {"message": "out of memory"}}\n\n'}, "llm_malformed"),
        ({"raw": b'data: {"choices": [{"delta": {"content": "At"}}]}\n\n'}, "llm_cut_off"),
        ({"raw": b""}, "llm_cut_off"),
        ({"pieces": ("At", " seven"), "cut_after": 1}, "llm_cut_off"),
        ({"pieces": ("At",), "finish_reason": None}, "llm_cut_off"),
        ({"pieces": ("",)}, "llm_empty"),
    ],
)
async def test_each_failure_of_a_streamed_answer_is_a_problem_of_its_own(
    make_model: MakeModel, scripted_llm: ScriptedLLM, reply: Any, cause: str, metrics: Metrics
) -> None:
    scripted_llm.reply(**reply)
    with pytest.raises(Problem) as caught:
        await streamed(make_model())
    assert caught.value.extensions["cause"] == cause
    labels = {
        "gen_ai_operation_name": "chat",
        "gen_ai_request_model": "tiny",
        "error_type": cause,
    }
    name = "gen_ai_client_operation_duration_seconds_count"
    assert metrics.registry.get_sample_value(name, labels) == 1


@pytest.mark.parametrize(
    ("given", "told"), [("7", "7"), ("999999", "3600"), ("tomorrow", "10"), ("-1", "10")]
)
async def test_how_long_to_wait_is_passed_on_when_it_makes_sense(
    make_model: MakeModel, scripted_llm: ScriptedLLM, given: str, told: str
) -> None:
    scripted_llm.reply(status=429, headers={"Retry-After": given})
    with pytest.raises(Problem) as caught:
        await whole(make_model())
    assert caught.value.headers["Retry-After"] == told


@pytest.mark.parametrize("ask", [whole, streamed])
async def test_a_server_that_is_not_there_is_told_and_forgotten_when_it_is_back(
    make_model: MakeModel, scripted_llm: ScriptedLLM, ask: Callable[[LanguageModel], Any]
) -> None:
    model = make_model()
    await asyncio.to_thread(scripted_llm.stop)
    with pytest.raises(Problem) as caught:
        await ask(model)
    assert (caught.value.status, caught.value.extensions["cause"]) == (503, "llm_unreachable")
    assert caught.value.headers["Retry-After"]
    assert model.status == "unreachable"
    scripted_llm.start()
    assert "seven" in await ask(model)
    assert model.status == "ready"


@pytest.mark.parametrize(
    ("ask", "limit", "hold_after"),
    [
        (whole, "llm_seconds", 0),
        (streamed, "llm_first_token_seconds", 0),
        (streamed, "llm_first_token_seconds", 2),
        (streamed, "llm_seconds", 2),
    ],
)
async def test_silence_and_slowness_end_and_the_server_stops_working(
    make_model: MakeModel, scripted_llm: ScriptedLLM, ask: Any, limit: str, hold_after: int
) -> None:
    scripted_llm.reply(hold=threading.Event(), hold_after=hold_after)
    with pytest.raises(Problem) as caught:
        await ask(make_model(**{limit: 0.3}))
    assert (caught.value.status, caught.value.extensions["cause"]) == (504, "llm_timeout")
    assert await asyncio.to_thread(scripted_llm.client_gone.wait, 10)


async def test_who_stops_listening_stops_the_server(
    make_model: MakeModel, scripted_llm: ScriptedLLM
) -> None:
    scripted_llm.reply(hold=threading.Event(), hold_after=1)
    async with aclosing(make_model().stream(MESSAGES, max_tokens=9)) as parts:
        assert (await anext(parts)).text == "It leaves at "
        assert not scripted_llm.client_gone.is_set()
    assert await asyncio.to_thread(scripted_llm.client_gone.wait, 10)


async def test_an_answer_without_end_is_not_kept_in_memory(
    make_model: MakeModel, scripted_llm: ScriptedLLM
) -> None:
    scripted_llm.reply(raw=b"x" * (5 << 20))
    with pytest.raises(Problem) as caught:
        await whole(make_model())
    assert caught.value.extensions["cause"] == "llm_malformed"
