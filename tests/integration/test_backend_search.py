"""A search uses its indexes, and filters and access lose nothing that they allow."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest

from slipway_backend.filters import EVERYTHING, Filters
from slipway_backend.search.statement import Route, Shape, search_statement

PLANS = ["force_custom_plan", "force_generic_plan"]


async def explained(
    instance: Any, plan: str, *, route: Route, filters: Filters = EVERYTHING
) -> str:
    """The plan of a search statement for an administrator who may read everything."""
    values = {
        "languages": ["english"],
        "wanted": ["'ferri' | 'go'"],
        "every_word": ["'ferri' & 'go'"],
        "rare": ["'ferri'"],
        "rare_weights": [2.0],
        "usual": ["'go'"],
        "usual_weights": [1.0],
        "common": [""],
        "common_weights": [0.0],
        "most_matches": 1000,
        "vector": f"[{'1,' * 383}1]",
        "candidates": 60,
        "constant": 60,
        "limit": 5,
        "asking": uuid4(),
        "within": [1],
        **filters.parameters(),
    }
    statement = search_statement(Shape(1, 384, route, conditions=filters.conditions()))
    async with instance.state.pool.connection() as connection, connection.transaction():
        await connection.execute("SET LOCAL enable_seqscan = off")
        await connection.execute(f"SET LOCAL plan_cache_mode = {plan}")
        cursor = await connection.execute(f"EXPLAIN {statement}", values, prepare=True)
        return "\n".join(row["QUERY PLAN"] for row in await cursor.fetchall())


@pytest.mark.parametrize("plan", PLANS)
@pytest.mark.parametrize("filters", [EVERYTHING, Filters(metadata={"team": "ferries"})])
async def test_a_search_over_much_uses_the_word_and_the_vector_index_prepared_or_not(
    instance: Any, plan: str, filters: Filters
) -> None:
    lines = await explained(instance, plan, route="index", filters=filters)
    assert "Bitmap Index Scan on chunks_lexemes" in lines
    assert "Index Scan using chunks_embedding_1" in lines


@pytest.mark.parametrize("plan", PLANS)
async def test_a_search_over_little_reads_only_what_is_allowed(instance: Any, plan: str) -> None:
    lines = await explained(instance, plan, route="exact")
    assert "chunks_set_collection" in lines
    assert "chunks_embedding_1" not in lines
    narrowed = Filters(metadata={"team": "ferries"}, sources=("harbour/*",))
    lines = await explained(instance, plan, route="exact", filters=narrowed)
    assert "chunks_document_set_position" in lines
    assert "chunks_embedding_1" not in lines
