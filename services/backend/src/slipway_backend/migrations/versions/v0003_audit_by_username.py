"""An index for reading the audit log by user name, in place of an unused one for user ids."""

from __future__ import annotations

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None
phase = "expand"
# Statements that look like removing something, and why the release before does not miss it.
harmless = {
    "DROP INDEX CONCURRENTLY IF EXISTS audit_user": "no statement of it asks for a user's id",
}

BY_USERNAME = "CREATE INDEX CONCURRENTLY IF NOT EXISTS audit_username ON audit (username, id)"
BY_USER_ID = "DROP INDEX CONCURRENTLY IF EXISTS audit_user"


def upgrade() -> None:
    """Put one index in place of the other, while entries are written."""
    with op.get_context().autocommit_block():
        op.execute(BY_USERNAME)
        op.execute(BY_USER_ID)


def downgrade() -> None:
    """Nothing goes back: the release before works on this schema."""
