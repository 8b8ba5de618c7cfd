"""Whether a set finds as well as the served one: known items, and labelled questions.

A known item is a passage of the database itself: its heading or its first sentence is the query,
its document must be found. Both sets are searched by vectors alone, through the service's own
search: the words' half is the same for both and would hide a poor embedder.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from slipway_backend.access import Identity
from slipway_backend.chunking import split_sentences
from slipway_backend.database import Connection, Pool
from slipway_backend.embedding_sets import EmbeddingSet, FixedServing
from slipway_backend.errors import StartRefused
from slipway_backend.metrics import Metrics
from slipway_backend.search import Searcher

SAMPLES = 200
PLACES = 10
# Means over a few hundred questions differ by as much from one sample to the next.
TOLERANCE = 0.01
MINIMUM_WORDS = 3

SAMPLE = """
SELECT documents.source, documents.filename, chunks.heading, chunks.text
FROM chunks JOIN documents ON documents.id = chunks.document_id
WHERE embedding_set_id = %s
    AND document_id IN (SELECT document_id FROM chunks WHERE embedding_set_id = %s)
ORDER BY md5(chunks.id::text) LIMIT %s
"""


@dataclass(frozen=True)
class Question:
    """A query and the names of the documents that answer it."""

    query: str
    documents: frozenset[str]


@dataclass(frozen=True)
class Report:
    """Mean reciprocal ranks of both sets over the same questions, 0 to 1."""

    questions: int
    served_set: int
    served_score: float
    score: float

    @property
    def passed(self) -> bool:
        """Whether the set finds as well as the served one."""
        return self.score >= self.served_score - TOLERANCE

    @property
    def summary(self) -> str:
        """The report in one sentence."""
        verdict = "at least as well" if self.passed else "worse"
        return (
            f"finds {verdict}: {self.score:.3f} against {self.served_score:.3f} of set "
            f"{self.served_set} (mean reciprocal rank of {self.questions} questions)"
        )

    def stored(self) -> dict[str, Any]:
        """The report as it is kept with the set."""
        return asdict(self) | {"passed": self.passed, "summary": self.summary}


def read_questions(path: Path) -> list[Question]:
    """Read labelled questions: JSON lines with `question` and `relevant`, a list of `source`.

    Raises StartRefused when the file cannot be read or a line is not that.
    """
    questions = []
    try:
        for line in path.read_text(encoding="utf-8").splitlines():
            if line.strip():
                entry = json.loads(line)
                sources = frozenset(each["source"] for each in entry["relevant"])
                questions.append(Question(entry["question"], sources))
    except OSError as error:
        raise StartRefused(f"{path} cannot be read: {error.strerror or error}.") from None
    except (ValueError, KeyError, TypeError):
        raise StartRefused(
            f"{path}, line {len(questions) + 1}: each line must be a JSON object with `question` "
            "and `relevant`, a list of objects with `source`."
        ) from None
    return questions


async def sample(connection: Connection, number: int, other: int) -> list[Question]:
    """Return known items of a set that another one has, too; the same ones each time."""
    cursor = await connection.execute(SAMPLE, [number, other, SAMPLES])
    questions: dict[str, frozenset[str]] = {}
    for row in await cursor.fetchall():
        sentences = split_sentences(row["text"])
        for query in (row["heading"], *sentences[:1], row["text"][:200]):
            if len(query.split()) >= MINIMUM_WORDS:
                # Documents that say the same are as good as each other.
                names = {row["source"] or row["filename"]}
                questions[query] = questions.get(query, frozenset()) | names
                break
    return [Question(query, documents) for query, documents in questions.items()]


async def compare(
    pool: Pool,
    metrics: Metrics,
    served: EmbeddingSet,
    candidate: EmbeddingSet,
    questions: Iterable[Question],
) -> Report:
    """Search for every question in both sets, as an administrator. Raises as searching does."""
    async with pool.connection() as connection:
        cursor = await connection.execute(
            "SELECT id, username FROM users WHERE role = 'admin' AND disabled_at IS NULL LIMIT 1"
        )
        row = await cursor.fetchone()
    if row is None:
        raise StartRefused("No administrator is left whose search could be compared.")
    identity = Identity(row["id"], row["username"], "admin")
    asked = list(questions)
    scores = [
        await _score(Searcher(pool, FixedServing(each), metrics), asked, identity)
        for each in (served, candidate)
    ]
    return Report(len(asked), served.id, *scores)


async def _score(searcher: Searcher, questions: list[Question], identity: Identity) -> float:
    ranks = []
    for question in questions:
        found = await searcher.find(question.query, identity=identity, limit=PLACES, mode="vector")
        names = [passage.source or passage.filename for passage in found.passages]
        places = [place for place, name in enumerate(names, 1) if name in question.documents]
        ranks.append(1 / places[0] if places else 0.0)
    return sum(ranks) / len(ranks) if ranks else 1.0
