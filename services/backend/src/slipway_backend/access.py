"""Who a request speaks for, and the SQL that keeps every statement inside what they may see."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal
from uuid import UUID

Role = Literal["admin", "editor", "reader"]
Scope = Literal["read", "write", "admin"]
EVERY_SCOPE: frozenset[Scope] = frozenset({"read", "write", "admin"})

# Right-hand sides for `collection_id = ...`; `Identity.parameters` gives their values. The inner
# SELECT makes PostgreSQL ask once per statement instead of once per row.
READABLE = "ANY ((SELECT readable_collections(%(asking)s, %(within)s::integer[]))::integer[])"
WRITABLE = "ANY ((SELECT writable_collections(%(asking)s, %(within)s::integer[]))::integer[])"


@dataclass(frozen=True)
class Identity:
    """Who a request speaks for: a user, through a session or an API key.

    ``scopes`` and ``collections`` (ids; ``None``: no narrowing) are what an API key is limited to.
    ``written_position`` is where the user's last write ends in the write-ahead log, in bytes.
    """

    user_id: UUID
    username: str
    role: Role
    scopes: frozenset[Scope] = EVERY_SCOPE
    collections: tuple[int, ...] | None = None
    session_id: UUID | None = None
    api_key_id: UUID | None = None
    written_position: int | None = None

    def parameters(self) -> dict[str, Any]:
        """The values for READABLE and WRITABLE."""
        within = None if self.collections is None else list(self.collections)
        return {"asking": self.user_id, "within": within}

    def may(self, scope: Scope) -> bool:
        """Whether role and scopes allow reading, writing or administering at all."""
        allowed: dict[Role, frozenset[Scope]] = {
            "admin": EVERY_SCOPE,
            "editor": frozenset({"read", "write"}),
            "reader": frozenset({"read"}),
        }
        return scope in allowed[self.role] and scope in self.scopes
