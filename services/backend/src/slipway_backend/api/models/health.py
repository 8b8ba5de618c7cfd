"""Health."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel


class Health(BaseModel):
    """Whether this instance lives or is ready."""

    status: Literal["live", "ready", "not ready", "draining"]
    reason: str | None = None
    generation: str
    release: str
