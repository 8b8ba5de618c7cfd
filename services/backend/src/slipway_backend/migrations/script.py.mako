"""${message}"""

from __future__ import annotations

from alembic import op

revision = ${repr(up_revision)}
down_revision = ${repr(down_revision)}
branch_labels = None
depends_on = None
# "expand" adds and leaves the release before working; "contract" removes what only that one needed.
phase = "expand"


def upgrade() -> None:
    """Change the schema."""
    ${upgrades if upgrades else "pass"}


def downgrade() -> None:
    """Undo the expansion."""
    ${downgrades if downgrades else "pass"}
