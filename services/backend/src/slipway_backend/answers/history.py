"""Earlier turns of a conversation: how many of them a model is shown, what a follow-up means."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

# A question that leans on others leans on the last ones.
JOINED_TURNS = 2
MAX_QUERY_CHARACTERS = 4000
_CITED = re.compile(r"\s?\[\d{1,3}\]")


@dataclass(frozen=True)
class Turn:
    """One message of an earlier exchange."""

    role: Literal["user", "assistant"]
    content: str


def recent(
    history: Sequence[Turn], count_tokens: Callable[[str], int], *, budget: int
) -> list[Turn]:
    """The newest turns that fit into ``budget`` tokens, whole, oldest dropped first.

    What is kept begins with the user's word. Numbers of citations are taken out of the answers:
    they counted other passages.
    """
    kept: list[Turn] = []
    for turn in reversed(history):
        content = turn.content
        if turn.role == "assistant":
            content = _CITED.sub("", content)
        # A tokenizer may take a word of any length for one token.
        budget -= max(count_tokens(content), len(content) // 20)
        if budget < 0:
            break
        kept.insert(0, Turn(turn.role, content))
    while kept and kept[0].role == "assistant":
        kept.pop(0)
    return kept


def joined(question: str, history: Sequence[Turn]) -> str:
    """The question behind the last ones before it, for a search that has no model to ask."""
    asked = [turn.content for turn in history if turn.role == "user"][-JOINED_TURNS:]
    # The question itself is what must not be cut.
    room = max(0, MAX_QUERY_CHARACTERS - len(question) - 1)
    earlier = "\n".join(asked)
    return f"{earlier[max(0, len(earlier) - room):]}\n{question}".strip()
