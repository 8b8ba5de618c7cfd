"""Which part of a list is asked for, the same in every route that lists."""

from __future__ import annotations

from typing import Annotated

from fastapi import Query

#: How many entries at most.
Limit = Annotated[int, Query(ge=1, le=500)]
#: How many entries to leave out before them.
Offset = Annotated[int, Query(ge=0, le=1_000_000)]
