"""Answers without a model: sentences of the passages, and nothing where nothing is alike."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from slipway_backend.answers import NOTHING_FOUND, Answer, Delta, Sources, Turn
from slipway_backend.answers.extraction import shared_weights, statements

FERRY = "The ferry does leave at seven. Seats are red and soft."
Ask = Callable[..., Any]


@pytest.fixture
def ask(make_answerer: Any, identity: Any) -> Ask:
    async def run(passages: list[Any]) -> Answer:
        answerer, _ = make_answerer(passages)
        answer = await answerer.answer("When does the ferry leave?", identity=identity)
        assert isinstance(answer, Answer)
        return answer

    return run


async def test_the_best_sentence_is_quoted_with_its_number(ask: Ask, passage: Any) -> None:
    answer = await ask([passage(FERRY), passage("Nothing about it stands here.")])
    assert (answer.mode, answer.answer) == ("extractive", "The ferry does leave at seven. [1]")
    assert [citation.number for citation in answer.citations] == [1, 2]


async def test_passages_that_are_not_alike_are_no_answer_unless_they_hold_every_word(
    ask: Ask, passage: Any
) -> None:
    answer = await ask([passage(FERRY, similarity=0.1)])
    assert (answer.answer, answer.citations) == (NOTHING_FOUND, [])
    answer = await ask([passage(FERRY, similarity=0.1, every_word=True)])
    assert len(answer.citations) == 1


async def test_a_passage_of_few_words_is_quoted_whole(ask: Ask, passage: Any) -> None:
    assert (await ask([passage("At seven.")])).answer == "At seven. [1]"


def test_a_word_that_few_sentences_hold_weighs_more() -> None:
    sentences = [{"ferri", "car"}, {"ferri", "tea"}, {"boat", "leav"}, {"seat"}]
    first, second, third, fourth = shared_weights({"ferri", "leav"}, sentences)
    assert third > first == second > fourth == 0


async def test_a_longer_form_of_an_asked_word_counts(ask: Ask, passage: Any) -> None:
    text = "Seats are red and soft. On Sundays all leavers wait."
    assert (await ask([passage(text)])).answer == "On Sundays all leavers wait. [1]"


async def test_a_sentence_in_two_passages_is_quoted_once_from_the_better_one(
    ask: Ask, passage: Any
) -> None:
    answer = await ask([passage(FERRY), passage(FERRY)])
    assert answer.answer == "The ferry does leave at seven. [1]"


async def test_without_a_shared_word_the_best_passage_opens_the_answer(
    ask: Ask, passage: Any
) -> None:
    answer = await ask([passage("Boats sail at seven."), passage("Seats are red and soft.")])
    assert answer.answer.startswith("Boats sail at seven. [1]")


async def test_a_quoted_picture_is_not_one_any_more(ask: Ask, passage: Any) -> None:
    trap = "The ferry does leave ![soon](https://evil.example/x.png) at <b>seven</b>."
    answer = (await ask([passage(trap)])).answer
    assert "![" not in answer
    assert "](" not in answer
    assert "<b" not in answer


async def test_a_streamed_answer_is_the_same_in_pieces(
    make_answerer: Any, identity: Any, passage: Any
) -> None:
    answerer, _ = make_answerer([passage(FERRY)])
    told = [each async for each in answerer.stream("When does it leave?", identity=identity)]
    assert [type(each) for each in told] == [Sources, Delta, Answer]
    assert told[1].text == told[2].answer
    assert told[0].citations == told[2].citations


async def test_without_a_model_a_follow_up_is_searched_with_the_questions_before_it(
    make_answerer: Any, identity: Any, passage: Any
) -> None:
    answerer, searcher = make_answerer([passage(FERRY)])
    history = [Turn("user", "Does the ferry run?"), Turn("assistant", "Yes, it does. [1]")]
    await answerer.answer("When does it leave?", identity=identity, history=history)
    assert searcher.queries == ["Does the ferry run?\nWhen does it leave?"]


def test_a_tables_row_is_told_with_the_names_of_its_columns() -> None:
    assert statements("Limits are these.\nCountry | Limit\nNorway | 180\nA | b | c") == [
        "Limits are these.",
        "Country: Norway, Limit: 180",
    ]
