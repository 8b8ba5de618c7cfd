"""Figures of retrieval quality: pure functions of a ranking and its labels.

A ranking is a sequence of sections as a search gave them; labels say how relevant a section is (0:
not at all). Only a section's first place counts.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import TypeVar

Section = TypeVar("Section", bound=Hashable)


def first_places(ranking: Iterable[Section]) -> list[Section]:
    """The sections in order, each at its first place only."""
    return list(dict.fromkeys(ranking))


def ndcg(ranking: Sequence[Section], labels: Mapping[Section, int], *, places: int = 10) -> float:
    """Normalised discounted cumulative gain, 0 to 1 (Järvelin and Kekäläinen, 2002).

    The gain is 2^relevance - 1, the discount log2(place + 1). Without relevant labels it is 0.
    """
    best = _gain(sorted(labels.values(), reverse=True)[:places])
    found = [labels.get(section, 0) for section in first_places(ranking)[:places]]
    return _gain(found) / best if best else 0.0


def recall(ranking: Sequence[Section], labels: Mapping[Section, int], *, places: int = 5) -> float:
    """How many relevant sections are in the first places, of as many as fit there, 0 to 1."""
    relevant = {section for section, relevance in labels.items() if relevance > 0}
    if not relevant:
        return 0.0
    found = relevant.intersection(first_places(ranking)[:places])
    return len(found) / min(len(relevant), places)


def reciprocal_rank(ranking: Sequence[Section], labels: Mapping[Section, int]) -> float:
    """One divided by the first relevant section's place; 0 when there is none."""
    for place, section in enumerate(first_places(ranking), start=1):
        if labels.get(section, 0) > 0:
            return 1 / place
    return 0.0


@dataclass(frozen=True)
class Scores:
    """Means over questions."""

    questions: int
    ndcg_10: float
    recall_5: float
    mrr: float


def score(pairs: Iterable[tuple[Sequence[Section], Mapping[Section, int]]]) -> Scores:
    """The means over rankings and their labels; all 0 without any."""
    rows = [
        (ndcg(ranking, labels), recall(ranking, labels), reciprocal_rank(ranking, labels))
        for ranking, labels in pairs
    ]
    if not rows:
        return Scores(0, 0.0, 0.0, 0.0)
    means = [fmean(column) for column in zip(*rows, strict=True)]
    return Scores(len(rows), *means)


def _gain(relevances: Iterable[int]) -> float:
    return math.fsum(
        (2**relevance - 1) / math.log2(place + 1)
        for place, relevance in enumerate(relevances, start=1)
    )
