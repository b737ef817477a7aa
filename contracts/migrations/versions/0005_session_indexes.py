"""Indexes by which open sessions, and those of a camera, are found among very many."""

from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    op.create_index("sessions_status", "sessions", ["status"])
    op.create_index("sessions_source_id_started_at", "sessions", ["source_id", "started_at"])
