"""A question whose answer is known: words of a stored passage, and where it must be found."""

from __future__ import annotations

from typing import Any

import psycopg

from slipway_backup.fingerprints import Connection

# The words as the text index has them: taken from the text itself, some would be parts of words.
CHUNK = """
SELECT chunk.id, chunk.document_id::text AS document,
    (tsvector_to_array(chunk.lexemes))[:6] AS words
FROM public.chunks AS chunk
WHERE chunk.id >= (SELECT min(id) + floor(random() * (max(id) - min(id) + 1)) FROM public.chunks)
    AND chunk.lexemes <> ''
ORDER BY chunk.id LIMIT 1
"""
SEARCH = """
SELECT EXISTS (
    SELECT FROM public.chunks AS chunk
    WHERE chunk.lexemes
        @@ (SELECT string_agg(quote_literal(word), ' & ')::tsquery
            FROM unnest(%(words)s::text[]) AS word)
        AND chunk.id = %(chunk)s AND chunk.document_id::text = %(document)s
) AS found
"""


def choose(session: Connection) -> dict[str, Any] | None:
    """Words of some stored passage with its place; None where nothing is stored."""
    try:
        with session.transaction():
            row = session.execute(CHUNK.encode()).fetchone()
    except (psycopg.errors.UndefinedTable, psycopg.errors.UndefinedColumn):
        return None
    if row is None:
        return None
    return {"chunk": row["id"], "document": row["document"], "words": row["words"]}


def is_found(session: Connection, asked: dict[str, Any]) -> bool:
    """Whether the question's words find the passage again."""
    row = session.execute(SEARCH.encode(), asked).fetchone()
    return bool(row and row["found"])
