"""What analysts add to timelines: markers and spans, and tracks that are split, named, and put back as they were."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    op.create_table(
        "markers",
        sa.Column("marker_id", sa.String(36), primary_key=True),
        sa.Column("source_id", sa.String(36), sa.ForeignKey("sources.source_id"), nullable=False),
        sa.Column("session_id", sa.String(36), sa.ForeignKey("sessions.session_id")),
        sa.Column("start", sa.Double, nullable=False),
        sa.Column("end", sa.Double),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("colour", sa.String(16), nullable=False),
        sa.Column("note", sa.Text, nullable=False),
        sa.Column("author", sa.Text, nullable=False),
        sa.Column("made_at", sa.Double, nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
    )
    op.create_index("markers_source_id_start", "markers", ["source_id", "start"])
    op.create_table(
        "track_splits",
        sa.Column("session_id", sa.String(36), sa.ForeignKey("sessions.session_id"), primary_key=True),
        sa.Column("new_id", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("track_id", sa.Integer, nullable=False),
        sa.Column("at_pts", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "track_names",
        sa.Column("session_id", sa.String(36), sa.ForeignKey("sessions.session_id"), primary_key=True),
        sa.Column("track_id", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("name", sa.Text, nullable=False),
    )
    op.create_table(
        "track_edits",
        sa.Column("session_id", sa.String(36), sa.ForeignKey("sessions.session_id"), primary_key=True),
        sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("action", sa.String(16), nullable=False),
        sa.Column("text", sa.Text, nullable=False),
        sa.Column("before", sa.JSON, nullable=False),
        sa.Column("undone_by", sa.Integer),
        sa.Column("made_by", sa.Text, nullable=False),
        sa.Column("made_at", sa.Double, nullable=False),
    )
