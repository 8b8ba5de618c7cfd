"""Which words of a query to look for: enough to find its passages, too few to read every one."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

# Words of more operands than this are looked for on their own only.
MOST_COMBINED = 8
COMBINATION_SIZES = (2, 3)
_LEXEME = re.compile(r"'((?:[^']|'')*)'")
_OPERAND = re.compile(r"'(?:[^']|'')*'(?::[A-D*]+)?|<->|<\d+>|[&|!()]")

Frequency = Callable[[str], float]


@dataclass(frozen=True)
class Operand:
    """One thing a query asks for: a word, or words that follow each other; as a tsquery."""

    text: str
    lexemes: tuple[str, ...]

    def frequency(self, frequency: Frequency) -> float:
        """The part of all passages that may have it: that of its rarest word."""
        return min(frequency(lexeme) for lexeme in self.lexemes)


@dataclass(frozen=True)
class Group:
    """Words of like rarity as one tsquery, and what its rank counts."""

    query: str
    weight: float


@dataclass(frozen=True)
class Wanted:
    """What to look for in one language, and the words that rank what is found, rarest first.

    ``words`` are everything that was asked for, as tsqueries, each with its share: rare words are
    a larger part of a question than common ones. The shares sum to 1.
    """

    query: str
    groups: tuple[Group, Group, Group]
    words: tuple[tuple[str, float], ...]


def split_query(query: str) -> list[Operand] | None:
    """The operands that a tsquery joins by AND; None when it holds anything but those.

    Exclusions and alternatives mean something only together, so such a query stays whole.
    """
    operands: list[Operand] = []
    current: list[str] = []
    depth = 0
    for part in _OPERAND.findall(query):
        if part in ("!", "|"):
            return None
        if part == "&" and depth == 0:
            operands.append(_operand(current))
            current = []
            continue
        depth += (part == "(") - (part == ")")
        current.append(part)
    if current:
        operands.append(_operand(current))
    return list(dict.fromkeys(operands))


def _operand(parts: Sequence[str]) -> Operand:
    text = " ".join(parts)
    return Operand(text, lexemes_of(text))


def lexemes_of(query: str) -> tuple[str, ...]:
    """The lexemes in a tsquery, as PostgreSQL's statistics spell them."""
    return tuple(match.replace("''", "'").replace("\\\\", "\\") for match in _LEXEME.findall(query))


def rarity(share: float) -> float:
    """Inverse document frequency of a word that ``share`` of all passages hold; above 0."""
    return math.log(1 + (1 - share + 1e-6) / (share + 1e-6))


def group_words(operands: Sequence[Operand], frequency: Frequency) -> tuple[Group, Group, Group]:
    """Put words into three groups by rarity; a group's weight is the mean rarity of its words.

    Ranking costs about as much for a group as for one word.
    """
    rarities = {operand: rarity(operand.frequency(frequency)) for operand in operands}
    most = max(rarities.values(), default=1.0)
    members: list[list[Operand]] = [[], [], []]
    for operand, value in rarities.items():
        members[min(2, int(3 * (1 - value / most)))].append(operand)
    rare, usual, common = (
        Group(
            " | ".join(f"( {operand.text} )" for operand in group),
            sum(rarities[operand] for operand in group) / max(len(group), 1),
        )
        for group in members
    )
    return rare, usual, common


def want(query: str, frequency: Frequency, *, total: float, budget: float, enough: float) -> Wanted:
    """Choose what to look for so that about ``budget`` of ``total`` passages match at most.

    Rare words come first; common ones are looked for together with each other, and only where the
    rare ones leave fewer than ``enough`` matches. A query whose words are all common is looked for
    whole.
    """
    operands = split_query(query)
    if operands is None:
        found = tuple(Operand(f"'{escape(word)}'", (word,)) for word in lexemes_of(query))
        return Wanted(query, group_words(found, frequency), ((query, 1.0),))
    if not operands:
        return Wanted("", group_words((), frequency), ())
    expected = {operand: operand.frequency(frequency) * total for operand in operands}
    chosen = _choose(expected, total=total, budget=budget, enough=enough)
    text = " | ".join("( " + " & ".join(part.text for part in group) + " )" for group in chosen)
    weights = [rarity(operand.frequency(frequency)) for operand in operands]
    words = tuple(
        (operand.text, weight / sum(weights))
        for operand, weight in zip(operands, weights, strict=True)
    )
    return Wanted(text, group_words(operands, frequency), words)


def _choose(
    expected: Mapping[Operand, float], *, total: float, budget: float, enough: float
) -> list[tuple[Operand, ...]]:
    by_rarity = sorted(expected, key=expected.__getitem__)
    chosen: list[tuple[Operand, ...]] = []
    spent = 0.0
    for operand in by_rarity:
        if spent + expected[operand] <= budget:
            chosen.append((operand,))
            spent += expected[operand]
    common = by_rarity[len(chosen) :][:MOST_COMBINED]
    for size in COMBINATION_SIZES:
        groups = itertools.combinations(common, size) if spent < enough else ()
        for group in groups:
            cost = total * math.prod(expected[operand] / max(total, 1) for operand in group)
            known = any(set(smaller) <= set(group) for smaller in chosen)
            if not known and spent + cost <= budget:
                chosen.append(group)
                spent += cost
    return chosen or [tuple(expected)]


def escape(lexeme: str) -> str:
    """A lexeme as it stands between the quotes of a tsquery."""
    return lexeme.replace("\\", "\\\\").replace("'", "''")
