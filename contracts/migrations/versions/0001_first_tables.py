"""The first tables: sources, models, sessions, tracks, emotions, coverage, rejections.

Written out, not taken from ``contracts.schema``: a migration must go on making what it made when it was written.
"""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "sources",
        sa.Column("source_id", sa.String(36), primary_key=True),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("url", sa.Text, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("created_at", sa.Double, nullable=False),
        sa.UniqueConstraint("kind", "url"),
    )
    op.create_table(
        "models",
        sa.Column("model_id", sa.String(80), primary_key=True),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("card", sa.JSON, nullable=False),
        sa.Column("created_at", sa.Double, nullable=False),
    )
    op.create_table(
        "sessions",
        sa.Column("session_id", sa.String(36), primary_key=True),
        sa.Column("source_id", sa.String(36), sa.ForeignKey("sources.source_id"), nullable=False),
        sa.Column("model_id", sa.String(80), sa.ForeignKey("models.model_id"), nullable=False),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("fingerprint", sa.String(80), nullable=False),
        sa.Column("settings", sa.JSON, nullable=False),
        sa.Column("facts", sa.JSON, nullable=False),
        sa.Column("time_base_num", sa.BigInteger),
        sa.Column("time_base_den", sa.BigInteger),
        sa.Column("start_pts", sa.BigInteger),
        sa.Column("num_packets", sa.BigInteger),
        sa.Column("num_frames", sa.BigInteger),
        sa.Column("started_at", sa.Double, nullable=False),
        sa.Column("ended_at", sa.Double),
        sa.Column("error", sa.Text),
    )
    op.create_table(
        "tracks",
        sa.Column("session_id", sa.String(36), sa.ForeignKey("sessions.session_id"), primary_key=True),
        sa.Column("track_id", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("start_pts", sa.BigInteger, nullable=False),
        sa.Column("end_pts", sa.BigInteger, nullable=False),
        sa.Column("start_s", sa.Double, nullable=False),
        sa.Column("end_s", sa.Double, nullable=False),
        sa.Column("num_faces", sa.BigInteger, nullable=False),
    )
    numbers = ("x1", "y1", "x2", "y2", "detection_score", "quality")
    labels = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")
    op.create_table(
        "emotions",
        sa.Column("session_id", sa.String(36), sa.ForeignKey("sessions.session_id"), primary_key=True),
        sa.Column("track_id", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("pts", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("frame_index", sa.BigInteger, nullable=False),
        sa.Column("time_s", sa.Double, nullable=False),
        *(sa.Column(name, sa.Double, nullable=False) for name in (*numbers, *labels)),
        sa.Column("model_id", sa.String(80), nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "coverage",
        sa.Column("session_id", sa.String(36), sa.ForeignKey("sessions.session_id"), primary_key=True),
        sa.Column("start_pts", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("state", sa.String(24), primary_key=True),
        sa.Column("start_s", sa.Double, nullable=False),
        sa.Column("end_s", sa.Double, nullable=False),
        sa.Column("num_frames", sa.BigInteger, nullable=False),
        sa.Column("num_not_sampled", sa.BigInteger, nullable=False),
        sa.Column("num_faces", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "rejections",
        sa.Column("session_id", sa.String(36), sa.ForeignKey("sessions.session_id"), primary_key=True),
        sa.Column("track_id", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("first_pts", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("num_faces", sa.BigInteger, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
    )
