"""Whether a vector index finds what exact search finds; amcheck knows nothing of such indexes."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from slipway_backup.fingerprints import Connection

SAMPLES = 20
NEAREST = 10
LEAST = 0.9
#: As the product searches.
BREADTH = 200
OPERATORS = {"cosine": "<=>", "l2": "<->", "ip": "<#>", "l1": "<+>"}

INDEXES = """
SELECT i.indexrelid::regclass::text AS name, i.indrelid::regclass::text AS table,
    pg_get_indexdef(i.indexrelid, 1, false) AS expression,
    coalesce(pg_get_expr(i.indpred, i.indrelid), 'true') AS predicate,
    o.opcname AS opclass
FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_am a ON a.oid = c.relam
JOIN pg_opclass o ON o.oid = i.indclass[0]
WHERE a.amname = 'hnsw' AND i.indisvalid ORDER BY 1
"""
SAMPLE = """
SELECT ({expression})::text AS vector FROM {table}
WHERE ({predicate}) AND ({expression}) IS NOT NULL ORDER BY random() LIMIT {samples}
"""
NEIGHBOURS = """
SELECT (({expression}) {operator} '{vector}') AS distance FROM {table}
WHERE ({predicate}) ORDER BY ({expression}) {operator} '{vector}' LIMIT {nearest}
"""


@dataclass(frozen=True)
class Recall:
    """What share of the true neighbours an index finds, 0 to 1, over so many samples."""

    index: str
    share: float
    samples: int


def measure(session: Connection) -> list[Recall]:
    """The recall of every vector index, for neighbours of sampled rows of its own table."""
    session.execute(b"SET search_path = public, pg_catalog")
    try:
        return [_of(session, each) for each in session.execute(INDEXES.encode()).fetchall()]
    finally:
        session.execute(b"SET search_path = pg_catalog")


def _of(session: Connection, index: dict[str, Any]) -> Recall:
    words = {
        **index,
        "operator": operator(index["opclass"]),
        "samples": SAMPLES,
        "nearest": NEAREST,
    }
    vectors = [each["vector"] for each in session.execute(SAMPLE.format(**words).encode())]
    shares = []
    for vector in vectors:
        query = NEIGHBOURS.format(**words, vector=vector)
        exact = _distances(session, query, index="")
        found = _distances(session, query, index=index["name"])
        shares.append(share(exact, found))
    return Recall(index["name"], sum(shares) / len(shares) if shares else 1.0, len(shares))


def _distances(session: Connection, query: str, *, index: str) -> list[float]:
    """The distances that a query finds: by an index when one is named, else by reading all."""
    with session.transaction():
        session.execute(b"SET LOCAL max_parallel_workers_per_gather = 0")
        if index:
            session.execute(f"SET LOCAL hnsw.ef_search = {BREADTH}".encode())
            session.execute(b"SET LOCAL enable_seqscan = off")
            session.execute(b"SET LOCAL enable_sort = off")
            plan = session.execute(f"EXPLAIN (FORMAT JSON) {query}".encode()).fetchone()
            if index.rsplit(".", 1)[-1].strip('"') not in json.dumps(plan):
                raise LookupError(f"{index} is not used by a search that it is for")
        else:
            session.execute(b"SET LOCAL enable_indexscan = off")
            session.execute(b"SET LOCAL enable_indexonlyscan = off")
        return [float(each["distance"]) for each in session.execute(query.encode())]


def share(exact: list[float], found: list[float]) -> float:
    """How many of the found are as near as the farthest of the exact ones, as a share of those."""
    if not exact:
        return 1.0
    farthest = max(exact) + 1e-6
    return min(sum(distance <= farthest for distance in found) / len(exact), 1.0)


def operator(opclass: str) -> str:
    """The distance that an index is for, by its operator class's name."""
    for name, found in OPERATORS.items():
        if f"_{name}_" in opclass:
            return found
    raise LookupError(f"the operator class {opclass} is not known here")
