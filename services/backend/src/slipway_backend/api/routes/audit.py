"""Reading the audit log."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Query
from pydantic import AwareDatetime, StringConstraints

from slipway_backend import audit
from slipway_backend.api.identity import Administrator
from slipway_backend.api.models.audit import AuditEntry, AuditPage
from slipway_backend.api.problems import describe
from slipway_backend.api.state import StateDependency

router = APIRouter(prefix="/v1/audit", tags=["audit"])
Text = Annotated[str, StringConstraints(max_length=200, pattern=r"^[^\x00]*$")]


@router.get("", responses=describe(401, 403, 422, 503))
async def read_audit(
    state: StateDependency,
    _: Administrator,
    username: Text | None = None,
    action: Annotated[
        Text | None, Query(description="one action, or its first word for all of its kind")
    ] = None,
    collection: Text | None = None,
    object: Text | None = None,
    outcome: Literal["ok", "refused", "failed"] | None = None,
    since: AwareDatetime | None = None,
    until: AwareDatetime | None = None,
    before: Annotated[int | None, Query(ge=1, le=2**62)] = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> AuditPage:
    """Who did what, newest first: filter it, and follow `before` to the next page."""
    filters = {
        "username": username,
        "action": action,
        "collection": collection,
        "object": object,
        "outcome": outcome,
        "since": since,
        "until": until,
    }
    async with state.pool.connection() as connection:
        found = await audit.newest(connection, limit=limit, before=before, filters=filters)
    return AuditPage(
        entries=[AuditEntry.model_validate(entry) for entry in found],
        before=found[-1].id if len(found) == limit else None,
    )
