"""Making, listing, changing and deleting collections."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Response

from slipway_backend import audit, collections, contents
from slipway_backend.api.identity import Reader, Writer
from slipway_backend.api.models.collections import (
    CollectionChanges,
    CollectionList,
    CollectionOut,
    NewCollection,
)
from slipway_backend.api.models.documents import CollectionName
from slipway_backend.api.problems import describe
from slipway_backend.api.state import StateDependency
from slipway_backend.logs import get_logger

router = APIRouter(prefix="/v1/collections", tags=["collections"])


@router.get("", responses=describe(401, 403, 422, 503))
async def list_collections(state: StateDependency, identity: Reader) -> CollectionList:
    """List every collection that you may see, by name."""
    async with state.pool.connection() as connection:
        found = await collections.readable(connection, identity)
    return CollectionList(collections=[CollectionOut.model_validate(each) for each in found])


@router.post("", status_code=201, responses=describe(401, 403, 409, 422, 503))
async def create_collection(
    body: NewCollection, response: Response, state: StateDependency, identity: Writer
) -> CollectionOut:
    """Make a collection; an editor who makes one may write to it."""
    async with state.pool.connection() as connection, connection.transaction():
        await collections.create(connection, body.name, body.description, body.language, identity)
        made = await collections.get(connection, body.name, identity)
        await audit.write(connection, "collection.create", collections=[made.name])
    response.headers["location"] = f"{router.prefix}/{made.name}"
    get_logger().info("collection_created", collection=made.name)
    return CollectionOut.model_validate(made)


@router.get("/{name}", responses=describe(401, 403, 404, 422, 503))
async def get_collection(
    name: CollectionName, state: StateDependency, identity: Reader
) -> CollectionOut:
    """Return one collection and how much it holds."""
    async with state.pool.connection() as connection:
        return CollectionOut.model_validate(await collections.get(connection, name, identity))


@router.patch("/{name}", responses=describe(401, 403, 404, 409, 422, 503))
async def change_collection(
    name: CollectionName, body: CollectionChanges, state: StateDependency, identity: Writer
) -> CollectionOut:
    """Change name, description or language; a new language counts for what is ingested later."""
    changes = body.model_dump(exclude_none=True)
    async with state.pool.connection() as connection, connection.transaction():
        await collections.change(connection, name, changes, identity)
        changed = await collections.get(connection, changes.get("name", name), identity)
        await audit.write(connection, "collection.update", collections=sorted({name, changed.name}))
    return CollectionOut.model_validate(changed)


@router.delete("/{name}", status_code=204, responses=describe(401, 403, 404, 409, 422, 503))
async def delete_collection(
    name: CollectionName,
    state: StateDependency,
    identity: Writer,
    force: Annotated[bool, Query(description="delete everything in it as well")] = False,
) -> None:
    """Delete an empty collection, or with `force` one with everything in it, all or nothing."""
    async with state.pool.connection() as connection:
        async with connection.transaction():
            gone = await collections.delete(connection, name, identity, force=force)
            await audit.write(connection, "collection.delete", collections=[name], force=force)
        await contents.remove_unused(connection, state.files, gone)
    get_logger().info("collection_deleted", collection=name)
