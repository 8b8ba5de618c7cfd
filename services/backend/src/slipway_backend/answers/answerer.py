"""From a question to an answer: find, decide whether it is enough, then extract or generate."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Literal

from slipway_backend.access import Identity
from slipway_backend.answers import history as turns
from slipway_backend.answers.extraction import extract
from slipway_backend.answers.history import Turn
from slipway_backend.answers.outgoing import Outgoing, is_refusal
from slipway_backend.answers.prompts import (
    NOTHING_FOUND,
    condensing_messages,
    grounded_messages,
    new_boundary,
)
from slipway_backend.errors import Problem
from slipway_backend.filters import EVERYTHING, Filters
from slipway_backend.llm import LanguageModel, Message, Part, Usage
from slipway_backend.logs import get_logger
from slipway_backend.metrics import Metrics
from slipway_backend.search import Passage, Searcher
from slipway_backend.settings import Settings

Mode = Literal["extractive", "generated"]
# A query is a line; whatever else a model writes is not looked for.
QUERY_TOKENS = 64
QUERY_CHARACTERS = 400


@dataclass(frozen=True)
class Citation:
    """One numbered passage that an answer rests on."""

    number: int
    passage: Passage


@dataclass(frozen=True)
class Sources:
    """What the numbers of a streamed answer stand for; comes before its first words."""

    citations: list[Citation]


@dataclass(frozen=True)
class Delta:
    """The next words of a streamed answer."""

    text: str


@dataclass(frozen=True)
class Answer:
    """An answer, how it came about, and what it rests on.

    ``finish_reason`` is OpenAI's; ``usage`` is None where the model's server told nothing.
    """

    answer: str
    mode: Mode
    citations: list[Citation]
    finish_reason: str = "stop"
    usage: Usage | None = None


NO_TOKENS = Usage(0, 0)


class Answerer:
    """Answers questions over the stored documents."""

    def __init__(
        self,
        settings: Settings,
        searcher: Searcher,
        metrics: Metrics,
        model: LanguageModel | None,
        count_tokens: Callable[[str], int],
    ) -> None:
        self._settings = settings
        self._searcher = searcher
        self._metrics = metrics
        self._count_tokens = count_tokens
        self.model = model

    @property
    def mode(self) -> Mode:
        """How this instance answers, by configuration."""
        return "generated" if self.model else "extractive"

    async def answer(
        self,
        question: str,
        *,
        identity: Identity,
        filters: Filters = EVERYTHING,
        limit: int = 5,
        history: Sequence[Turn] = (),
        style: str = "",
        max_tokens: int | None = None,
    ) -> Answer:
        """Answer a question; raise Problem when the language model fails."""
        found = await self._find(question, history, identity, filters, limit)
        if self.model is None or not found.passages:
            return await self._without_model(found)
        messages = self._messages(question, found, history, style)
        completion = await self.model.complete(messages, max_tokens=self._length(max_tokens))
        whole = Part(completion.text, completion.finish_reason, completion.usage)
        return await _last(self._written(found, _once(whole)))

    async def stream(
        self,
        question: str,
        *,
        identity: Identity,
        filters: Filters = EVERYTHING,
        limit: int = 5,
        history: Sequence[Turn] = (),
        style: str = "",
        max_tokens: int | None = None,
    ) -> AsyncGenerator[Sources | Delta | Answer, None]:
        """Yield the sources, the words, and at last the whole answer; raise Problem.

        A model's words are held back until the first of them that cites a passage, so that what is
        not grounded becomes the refusal here as well.
        """
        found = await self._find(question, history, identity, filters, limit)
        if self.model is None or not found.passages:
            answer = await self._without_model(found)
            yield Sources(answer.citations)
            yield Delta(answer.answer)
            yield answer
            return
        messages = self._messages(question, found, history, style)
        parts = self.model.stream(messages, max_tokens=self._length(max_tokens))
        async with aclosing(parts), aclosing(self._written(found, parts)) as written:
            async for event in written:
                yield event

    async def _find(
        self,
        question: str,
        history: Sequence[Turn],
        identity: Identity,
        filters: Filters,
        limit: int,
    ) -> _Found:
        query = await self._query(question, history) if history else question
        found = await self._searcher.search(query, identity=identity, filters=filters, limit=limit)
        return _Found(query, [passage for passage in found if self._is_relevant(passage)])

    async def _query(self, question: str, history: Sequence[Turn]) -> str:
        """What to search for when a question may lean on those before it."""
        if self.model is None or not self._settings.condense_questions:
            return turns.joined(question, history)
        known = self._recent(history)
        try:
            completion = await self.model.complete(
                condensing_messages(question, known), max_tokens=QUERY_TOKENS, operation="condense"
            )
        except Problem as problem:
            if problem.extensions.get("cause") != "llm_empty":
                raise
            return turns.joined(question, history)
        outgoing = Outgoing([question, *(turn.content for turn in known)], numbers=0)
        lines = (outgoing.feed(completion.text) + outgoing.finish()).split("\n")
        query = next((line.strip() for line in lines if line.strip()), "")[:QUERY_CHARACTERS]
        return query or turns.joined(question, history)

    def _recent(self, history: Sequence[Turn]) -> list[Turn]:
        return turns.recent(history, self._count_tokens, budget=self._settings.history_tokens)

    def _is_relevant(self, passage: Passage) -> bool:
        return passage.has_every_word or passage.similarity >= self._settings.relevance_floor

    def _messages(
        self, question: str, found: _Found, history: Sequence[Turn], style: str
    ) -> list[Message]:
        return grounded_messages(
            question,
            found.passages,
            boundary=new_boundary(),
            history=self._recent(history),
            style=style,
        )

    def _length(self, wanted: int | None) -> int:
        most = self._settings.llm_max_tokens
        return most if wanted is None else min(wanted, most)

    async def _without_model(self, found: _Found) -> Answer:
        if not found.passages:
            return self._counted(Answer(NOTHING_FOUND, self.mode, [], usage=NO_TOKENS))
        sentences = await extract(found.query, found.passages, self._searcher)
        outgoing = Outgoing(found.texts, numbers=len(found.passages))
        text = outgoing.feed(" ".join(sentences)) + outgoing.finish()
        return self._counted(Answer(text, "extractive", found.citations(), usage=NO_TOKENS))

    async def _written(
        self, found: _Found, parts: AsyncIterator[Part]
    ) -> AsyncGenerator[Sources | Delta | Answer, None]:
        """Check a model's words while they come."""
        outgoing = Outgoing(found.texts, numbers=len(found.passages))
        text = ""
        reason = "stop"
        usage: Usage | None = None
        open_to_client = False
        async for part in parts:
            reason, usage = part.finish_reason or reason, part.usage or usage
            more = outgoing.feed(part.text)
            text += more
            if open_to_client:
                if more:
                    yield Delta(more)
            elif outgoing.cited and not is_refusal(text):
                open_to_client = True
                yield Sources(found.citations())
                yield Delta(text)
        rest = outgoing.finish()
        text += rest
        if not outgoing.cited or is_refusal(text):
            get_logger().info("answer_refused", passages=len(found.passages))
            answer = Answer(NOTHING_FOUND, "generated", [], "stop", usage)
            yield Sources([])
            yield Delta(answer.answer)
        else:
            cited = [each for each in found.citations() if each.number in outgoing.cited]
            answer = Answer(text.strip(), "generated", cited, reason, usage)
            if not open_to_client:
                yield Sources(found.citations())
                yield Delta(text)
            elif rest:
                yield Delta(rest)
        yield self._counted(answer)

    def _counted(self, answer: Answer) -> Answer:
        outcome = answer.mode if answer.citations else "nothing_found"
        self._metrics.answers.labels(outcome).inc()
        return answer


@dataclass(frozen=True)
class _Found:
    query: str
    passages: list[Passage]

    @property
    def texts(self) -> list[str]:
        return [passage.text for passage in self.passages]

    def citations(self) -> list[Citation]:
        return [Citation(number, passage) for number, passage in enumerate(self.passages, start=1)]


async def _once(part: Part) -> AsyncIterator[Part]:
    yield part


async def _last(events: AsyncGenerator[Sources | Delta | Answer, None]) -> Answer:
    answer: Answer | None = None
    async with aclosing(events):
        async for event in events:
            if isinstance(event, Answer):
                answer = event
    if answer is None:
        raise RuntimeError("an answer that never came")
    return answer
