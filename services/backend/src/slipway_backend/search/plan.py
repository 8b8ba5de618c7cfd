"""What a search looks at and for: readable collections, the route by selectivity, the words."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from slipway_backend.access import READABLE, Identity
from slipway_backend.database import Connection
from slipway_backend.embedding_sets import EmbeddingSet
from slipway_backend.filters import Filters
from slipway_backend.search.statement import CANDIDATES, Mode, Route, Shape, allowed_passages
from slipway_backend.search.statistics import Statistics
from slipway_backend.search.words import Wanted, want

# docs/decisions/0011-search-in-two-routes.md: what a passage costs in exact search and a step in
# the index, as measured. Both routes cost the same at sqrt(EVEN * passages) passages.
EVEN = 750.0
LEAST_EXACT = 2_000
MOST_EXACT = 50_000
# Passages whose words are compared with the query's.
MATCH_BUDGET = 500

# Documents tell which languages are in use: the index on them is walked from value to value.
LANGUAGES_IN_USE = """
languages AS (
    (SELECT language FROM documents WHERE language IS NOT NULL ORDER BY language LIMIT 1)
    UNION ALL
    SELECT (
        SELECT language FROM documents WHERE language > languages.language ORDER BY language LIMIT 1
    )
    FROM languages WHERE languages.language IS NOT NULL
),
in_use AS (
    SELECT language FROM languages WHERE language IS NOT NULL
    UNION SELECT language FROM collections
    UNION SELECT 'english'::regconfig
)
"""
LOOK = """
WITH RECURSIVE scope AS MATERIALIZED (
    SELECT coalesce(array_agg(collections.id), '{}') AS ids
    FROM collections
    WHERE collections.id = {readable}
        AND (%(names)s::text[] IS NULL OR collections.name = ANY (%(names)s::text[]))
),
{languages}
SELECT scope.ids,
    {allowed} AS allowed,
    asked.languages, asked.queries
FROM scope, (
    SELECT array_agg(in_use.language::text ORDER BY in_use.language) AS languages,
        array_agg(websearch_to_tsquery(in_use.language, %(query)s)::text
            ORDER BY in_use.language) AS queries
    FROM in_use
) AS asked
"""
EVERY_COLLECTION = "cardinality(scope.ids) = (SELECT count(*) FROM collections)"
IN_SCOPE = "(SELECT ids FROM scope)::integer[]"
COUNTED = "(SELECT count(*) FROM ({passages} LIMIT %(bound)s) AS counted)"


@dataclass(frozen=True)
class Plan:
    """How one search runs: its statement's shape and the values of its parameters."""

    shape: Shape
    values: dict[str, Any]

    @property
    def hopeless(self) -> bool:
        """Whether nothing can be found, because nothing may be read."""
        return not self.values["within"]


def exact_bound(passages: float) -> int:
    """Up to how many allowed passages exact search is the cheaper route, among ``passages``."""
    return int(min(max(math.sqrt(EVEN * passages), LEAST_EXACT), MOST_EXACT))


@lru_cache(maxsize=256)
def look_statement(set_id: int, conditions: str, *, certainly_many: bool) -> str:
    """The statement that finds out how a search should run.

    ``certainly_many``: the set is so large that its passages are counted for a part of it only.
    """
    shape = Shape(set_id, 1, "exact", conditions=conditions)
    passages = allowed_passages(shape, "1", readable=f"ANY ({IN_SCOPE})", ids=IN_SCOPE)
    allowed = COUNTED.replace("{passages}", passages)
    if certainly_many and not conditions:
        allowed = f"CASE WHEN {EVERY_COLLECTION} THEN NULL ELSE {allowed} END"
    text = LOOK.replace("{languages}", LANGUAGES_IN_USE).replace("{readable}", READABLE)
    return text.replace("{allowed}", allowed)


async def make_plan(
    connection: Connection,
    query: str,
    *,
    identity: Identity,
    filters: Filters,
    serving: EmbeddingSet,
    statistics: Statistics,
    mode: Mode,
    limit: int,
) -> Plan:
    """Look up what the query may see and how much that is, and choose route and words."""
    passages = statistics.of_set(serving.id)
    bound = exact_bound(passages)
    conditions = filters.conditions()
    cursor = await connection.execute(
        look_statement(serving.id, conditions, certainly_many=passages > 2 * bound),
        {
            **identity.parameters(),
            **filters.parameters(),
            "names": list(filters.collections) or None,
            "bound": bound + 1,
            "query": query,
        },
    )
    row = await cursor.fetchone()
    if row is None:
        raise LookupError("a SELECT without FROM always gives a row")
    few = row["allowed"] is not None and row["allowed"] <= bound
    route: Route = "exact" if few else "index"
    wanted = [
        want(
            query,
            statistics.frequency,
            total=row["allowed"] if few else statistics.total,
            budget=MATCH_BUDGET,
            enough=CANDIDATES,
        )
        for query in row["queries"]
    ]
    languages = len(row["languages"])
    shape = Shape(serving.id, serving.dimension, route, mode, conditions, limit, languages)
    values = {
        **identity.parameters(),
        **filters.parameters(),
        "within": row["ids"],
        **_words(row["languages"], row["queries"], wanted),
    }
    return Plan(shape, values)


def _words(
    languages: Sequence[str], queries: Sequence[str], wanted: Sequence[Wanted]
) -> dict[str, Any]:
    values: dict[str, Any] = {
        "languages": array_literal(languages),
        "wanted": array_literal(in_language.query for in_language in wanted),
        "every_word": array_literal(queries),
    }
    words = [
        (language, word, share)
        for language, in_language in zip(languages, wanted, strict=True)
        for word, share in in_language.words
    ]
    for name, column in zip(("word_languages", "words", "shares"), range(3), strict=True):
        values[name] = array_literal(row[column] for row in words)
    for number, name in enumerate(("rare", "usual", "common")):
        groups = [in_language.groups[number] for in_language in wanted]
        values[name] = array_literal(group.query for group in groups)
        values[f"{name}_weights"] = array_literal(group.weight for group in groups)
    return values


def array_literal(values: Iterable[object]) -> str:
    """The values as PostgreSQL reads an array; psycopg's way of lists takes several times as long.

    The statement names the element type.
    """
    quoted = (str(value).replace("\\", "\\\\").replace('"', '\\"') for value in values)
    return "{" + ",".join(f'"{value}"' for value in quoted) + "}"
