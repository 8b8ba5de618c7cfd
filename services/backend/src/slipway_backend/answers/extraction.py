"""Answers without a model: the sentences of the best passages that share most with the question."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from collections.abc import Set as AbstractSet

from slipway_backend.chunking import split_sentences
from slipway_backend.parsing import CELL_SEPARATOR
from slipway_backend.search import Passage, Searcher

EXTRACT_PASSAGES = 3
ANSWER_SENTENCES = 3
MINIMUM_WORDS = 3
# A sentence that shares less than this part of what the best one shares adds words only.
SENTENCE_SHARE = 0.6
# The passages' ranks know of meaning what shared words do not.
NEXT_PASSAGE = 0.85
PREFIX_LETTERS = 4


async def extract(question: str, passages: Sequence[Passage], searcher: Searcher) -> list[str]:
    """Return the sentences that answer best, each with its passage's number: ``At seven. [1]``."""
    numbers: dict[str, int] = {}
    for number, passage in enumerate(passages[:EXTRACT_PASSAGES], start=1):
        for sentence in statements(passage.text):
            if len(sentence.split()) >= MINIMUM_WORDS:
                numbers.setdefault(sentence, number)
    if not numbers:
        numbers[passages[0].text] = 1
    sentences = list(numbers)
    asked, *stems = await searcher.stems([question, *sentences])
    weights = [
        shared * NEXT_PASSAGE ** (numbers[sentence] - 1)
        for sentence, shared in zip(sentences, shared_weights(asked, stems), strict=True)
    ]
    order = sorted(range(len(sentences)), key=lambda index: -weights[index])
    least = weights[order[0]] * SENTENCE_SHARE
    chosen = [sentences[index] for index in order if weights[index] >= least]
    return [f"{text} [{numbers[text]}]" for text in chosen[:ANSWER_SENTENCES]]


def shared_weights(asked: AbstractSet[str], sentences: Sequence[AbstractSet[str]]) -> list[float]:
    """How much of the question each sentence shares; a word in few of the sentences weighs more."""
    shared = [
        {word for word in asked if any(_is_word(word, stem) for stem in sentence)}
        for sentence in sentences
    ]
    counts = Counter(word for words in shared for word in words)
    return [
        sum(math.log(1 + len(sentences) / counts[word]) for word in sorted(words))
        for words in shared
    ]


def _is_word(asked: str, stem: str) -> bool:
    """Whether a stem is the asked word; a long one may go on, as "movement" after "move"."""
    return stem == asked or (len(asked) >= PREFIX_LETTERS and stem.startswith(asked))


def statements(text: str) -> list[str]:
    """Sentences of a passage; a table's row becomes one, told with the names of its columns."""
    found: list[str] = []
    header: list[str] = []
    for line in text.split("\n"):
        cells = [cell.strip() for cell in line.split(CELL_SEPARATOR)]
        if len(cells) == 1:
            header = []
            found.extend(split_sentences(line))
        elif len(cells) != len(header):
            header = cells
        else:
            row = zip(header, cells, strict=True)
            found.append(", ".join(f"{name}: {cell}" if name else cell for name, cell in row))
    return found
