"""Answers that a model writes: grounded, cited, in the conversation, and held to all of it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from scripted_llm import Reply, ScriptedLLM

from slipway_backend.access import Identity
from slipway_backend.answers import NOTHING_FOUND, Answer, Delta, Sources, Turn
from slipway_backend.errors import Problem
from slipway_backend.llm import LanguageModel, Usage

FERRY = "The ferry does leave at seven. Seats are red and soft."
Ask = Callable[..., Awaitable[Answer]]


@pytest.fixture(params=["whole", "streamed"])
def ask(
    request: pytest.FixtureRequest,
    make_answerer: Any,
    identity: Identity,
    passage: Any,
    model: LanguageModel,
) -> Ask:
    """Ask the scripted model; both ways of asking have to end in the same answer."""

    async def run(*texts: str, question: str = "When does it leave?", **how: Any) -> Answer:
        answerer, _ = make_answerer([passage(text) for text in texts], model)
        if request.param == "whole":
            answer = await answerer.answer(question, identity=identity, **how)
        else:
            told = [each async for each in answerer.stream(question, identity=identity, **how)]
            sources, *deltas, answer = told
            assert isinstance(sources, Sources)
            assert "".join(delta.text for delta in deltas).strip() == answer.answer
            assert set(answer.citations) <= set(sources.citations)
        assert isinstance(answer, Answer)
        return answer

    return run


async def test_only_what_is_cited_is_cited_and_numbers_that_do_not_exist_go(
    ask: Ask, scripted_llm: ScriptedLLM
) -> None:
    scripted_llm.reply("It leaves at sev", "en [2", "], says [9]. Twice", " [1, 2; 7] and [0].")
    answer = await ask("Other words.", FERRY, "More words.")
    assert answer.answer == "It leaves at seven [2], says. Twice [1][2] and."
    assert [citation.number for citation in answer.citations] == [1, 2]
    assert answer.citations[1].passage.text == FERRY
    assert (answer.mode, answer.finish_reason) == ("generated", "stop")
    assert answer.usage == Usage(40, 7)


@pytest.mark.parametrize(
    "said",
    [
        "It leaves at seven, trust me.",
        "It leaves at seven [7].",
        NOTHING_FOUND,
        "Nothing in the documents answers this question [1].",
        "**Nothing in the documents answers this question!** But see [1].",
        "<think>The first one [1] does not help.</think>No idea.",
        "<think>The first one [1] does not",
    ],
)
async def test_what_rests_on_no_passage_becomes_the_refusal(
    ask: Ask, scripted_llm: ScriptedLLM, said: str
) -> None:
    scripted_llm.reply(said)
    answer = await ask(FERRY)
    assert (answer.answer, answer.citations, answer.mode) == (NOTHING_FOUND, [], "generated")


async def test_what_a_model_thinks_aloud_does_not_leave(
    ask: Ask, scripted_llm: ScriptedLLM
) -> None:
    scripted_llm.reply("<thi", "nk>Maybe [1].</th", "ink>\nAt seven [1].")
    assert (await ask(FERRY)).answer == "At seven [1]."


async def test_nothing_leaves_before_the_first_citation(
    make_answerer: Any,
    identity: Identity,
    passage: Any,
    model: LanguageModel,
    scripted_llm: ScriptedLLM,
) -> None:
    scripted_llm.reply("First. ", "Second ", "[1]. ", "Third. ", "Fourth [1].")
    answerer, _ = make_answerer([passage(FERRY)], model)
    told = [each async for each in answerer.stream("When?", identity=identity)]
    deltas = [each.text for each in told if isinstance(each, Delta)]
    assert deltas[0] == "First. Second [1]."
    assert len(deltas) > 1


async def test_without_a_relevant_passage_the_model_is_not_asked(
    make_answerer: Any,
    identity: Identity,
    passage: Any,
    model: LanguageModel,
    scripted_llm: ScriptedLLM,
) -> None:
    answerer, _ = make_answerer([passage(FERRY, similarity=0.1)], model)
    answer = await answerer.answer("When?", identity=identity)
    assert (answer.answer, answer.citations, answer.mode) == (NOTHING_FOUND, [], "generated")
    assert answer.usage == Usage(0, 0)
    assert scripted_llm.requests == []


async def test_a_failing_model_is_a_problem_and_never_replaced(
    ask: Ask, scripted_llm: ScriptedLLM
) -> None:
    scripted_llm.reply(status=500)
    with pytest.raises(Problem) as caught:
        await ask(FERRY)
    assert caught.value.status == 502


async def test_an_answer_cut_at_its_length_says_so_and_no_client_gets_more_than_is_set(
    ask: Ask, scripted_llm: ScriptedLLM
) -> None:
    scripted_llm.reply("At seven [1] and", finish_reason="length")
    assert (await ask(FERRY, max_tokens=5)).finish_reason == "length"
    await ask(FERRY, max_tokens=1_000_000)
    assert [request["max_tokens"] for request in scripted_llm.requests] == [5, 1024]


HISTORY = [
    Turn("user", "Does the ferry to Utvik run?"),
    Turn("assistant", "Yes, on weekdays [1]."),
]


async def test_a_follow_up_is_searched_as_a_query_of_its_own(
    make_answerer: Any,
    identity: Identity,
    passage: Any,
    model: LanguageModel,
    scripted_llm: ScriptedLLM,
) -> None:
    scripted_llm.reply("departure of the ferry to Utvik\nand more")
    answerer, searcher = make_answerer([passage(FERRY)], model)
    await answerer.answer("When does it leave?", identity=identity, history=HISTORY)
    assert searcher.queries == ["departure of the ferry to Utvik"]
    condensing, answering = scripted_llm.requests
    assert condensing["max_tokens"] <= 100
    assert "Does the ferry to Utvik run?" in scripted_llm.prompts[0]
    turns = [(message["role"], message["content"]) for message in answering["messages"][1:3]]
    # The number counted other passages.
    assert turns == [("user", HISTORY[0].content), ("assistant", "Yes, on weekdays.")]
    assert "Question: When does it leave?" in answering["messages"][3]["content"]


@pytest.mark.parametrize("settings", [{"condense_questions": False}, {}])
async def test_a_follow_up_that_is_not_condensed_is_searched_with_the_questions_before_it(
    make_answerer: Any,
    identity: Identity,
    passage: Any,
    model: LanguageModel,
    scripted_llm: ScriptedLLM,
    settings: Any,
) -> None:
    if not settings:
        scripted_llm.reply(" ")
    answerer, searcher = make_answerer([passage(FERRY)], model, **settings)
    await answerer.answer("When does it leave?", identity=identity, history=HISTORY)
    assert searcher.queries == ["Does the ferry to Utvik run?\nWhen does it leave?"]


async def test_the_oldest_turns_are_left_out_whole_when_they_are_too_many(
    make_answerer: Any,
    identity: Identity,
    passage: Any,
    model: LanguageModel,
    scripted_llm: ScriptedLLM,
) -> None:
    history = [
        Turn("user", "oldest question " * 20),
        Turn("assistant", "an answer of five words"),
        Turn("user", "the last one"),
        Turn("assistant", "and its answer"),
    ]
    answerer, _ = make_answerer(
        [passage(FERRY)], model, history_tokens=12, condense_questions=False
    )
    await answerer.answer("When?", identity=identity, history=history)
    shown = [message["content"] for message in scripted_llm.requests[0]["messages"][1:-1]]
    # The answer would have fitted, but stands alone without its question.
    assert shown == ["the last one", "and its answer"]


async def test_history_of_no_tokens_is_shown_to_nobody(
    make_answerer: Any,
    identity: Identity,
    passage: Any,
    model: LanguageModel,
    scripted_llm: ScriptedLLM,
) -> None:
    scripted_llm.answer = lambda _: Reply(("At seven [1].",))
    answerer, _ = make_answerer([passage(FERRY)], model, history_tokens=0)
    await answerer.answer("When?", identity=identity, history=HISTORY)
    assert not any("Utvik" in prompt for prompt in scripted_llm.prompts)
