"""${message}"""

from __future__ import annotations

from alembic import op

revision = ${repr(up_revision)}
down_revision = ${repr(down_revision)}
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Expand the schema; the release before this one must still work on it."""
    ${upgrades if upgrades else "pass"}


def downgrade() -> None:
    """Undo the expansion."""
    ${downgrades if downgrades else "pass"}
