"""The models of OpenAI's interface: everything that one may read, and each collection of it."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass

from fastapi import APIRouter

from slipway_backend.access import READABLE, Identity
from slipway_backend.api.identity import Reader
from slipway_backend.api.models.chat import ModelList, ModelOut
from slipway_backend.api.problems import describe
from slipway_backend.api.state import State, StateDependency
from slipway_backend.errors import Problem
from slipway_backend.filters import EVERYTHING, Filters

router = APIRouter(prefix="/v1/models", tags=["openai"])

EVERYTHING_READABLE = "slipway"
PREFIX = "slipway/"
STATEMENT = f"""
SELECT name, extract(epoch FROM created_at)::bigint AS created FROM collections
WHERE id = {READABLE} ORDER BY name
"""  # nosec B608


@dataclass(frozen=True)
class _Model:
    id: str
    created: int


@router.get("", responses=describe(401, 403, 503))
async def list_models(state: StateDependency, identity: Reader) -> ModelList:
    """List the models: `slipway`, `slipway/NAME` for each readable collection, the embedder."""
    return ModelList(data=await _all(state, identity))


@router.get("/{model:path}", responses=describe(401, 403, 404, 503))
async def get_model(model: str, state: StateDependency, identity: Reader) -> ModelOut:
    """Tell of one model."""
    for known in await _all(state, identity):
        if known.id == model:
            return known
    raise unknown_model(model)


async def filters_of(model: str, state: State, identity: Identity) -> Filters:
    """What a model looks at; raise a 404 problem for one that this identity does not have."""
    if model == EVERYTHING_READABLE:
        return EVERYTHING
    if model not in {known.id for known in await _models(state, identity)}:
        raise unknown_model(model)
    return Filters(collections=(model.removeprefix(PREFIX),))


def unknown_model(model: str) -> Problem:
    """A 404 problem, the same for what is not there and for what one may not see."""
    return Problem(
        404,
        "No such model",
        f"There is no model {model[:200]!r}: GET /v1/models lists yours.",
        extensions={"cause": "model_not_found", "param": "model"},
    )


async def _all(state: State, identity: Identity) -> list[ModelOut]:
    models = [_out(state, model) for model in await _models(state, identity)]
    # A process without a usable set answers the rest.
    with suppress(Problem):
        name = (await state.sets.serving()).embedder.name
        models.append(ModelOut(id=name, created=0, mode="embedding", status="ready"))
    return models


async def _models(state: State, identity: Identity) -> list[_Model]:
    async with state.pool.connection() as connection:
        cursor = await connection.execute(STATEMENT, identity.parameters())
        rows = await cursor.fetchall()
    oldest = min((row["created"] for row in rows), default=0)
    collections = [_Model(PREFIX + row["name"], row["created"]) for row in rows]
    return [_Model(EVERYTHING_READABLE, oldest), *collections]


def _out(state: State, model: _Model) -> ModelOut:
    language_model = state.answerer.model
    return ModelOut(
        id=model.id,
        created=model.created,
        mode=state.answerer.mode,
        status=language_model.status if language_model else "ready",
    )
