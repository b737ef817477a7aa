"""The tables of recordings read in parts, and of tracks that are one person."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.create_table(
        "batch_files",
        sa.Column("session_id", sa.String(36), sa.ForeignKey("sessions.session_id"), primary_key=True),
        sa.Column("batch_id", sa.String(36), nullable=False),
        sa.Column("priority", sa.String(8), nullable=False),
        sa.Column("created_at", sa.Double, nullable=False),
    )
    op.create_index("batch_files_batch_id", "batch_files", ["batch_id"])
    op.create_table(
        "parts",
        sa.Column("session_id", sa.String(36), sa.ForeignKey("sessions.session_id"), primary_key=True),
        sa.Column("part", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("start_pts", sa.BigInteger),
        sa.Column("end_pts", sa.BigInteger),
        sa.Column("start_s", sa.Double, nullable=False),
        sa.Column("end_s", sa.Double, nullable=False),
        sa.Column("first_frame", sa.BigInteger, nullable=False),
        sa.Column("first_packet", sa.BigInteger, nullable=False),
        sa.Column("num_packets", sa.BigInteger, nullable=False),
        sa.Column("lead_in_pts", sa.BigInteger),
        sa.Column("lead_in_dts", sa.BigInteger),
        sa.Column("lead_in_frame", sa.BigInteger, nullable=False),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("tries", sa.Integer, nullable=False),
        sa.Column("done_s", sa.Double, nullable=False),
        sa.Column("packets_read", sa.BigInteger, nullable=False),
        sa.Column("frames_read", sa.BigInteger, nullable=False),
        sa.Column("result", sa.JSON),
        sa.Column("error", sa.Text),
        sa.Column("started_at", sa.Double),
        sa.Column("updated_at", sa.Double, nullable=False),
        sa.Column("ended_at", sa.Double),
    )
    op.create_table(
        "track_aliases",
        sa.Column("session_id", sa.String(36), sa.ForeignKey("sessions.session_id"), primary_key=True),
        sa.Column("track_id", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("joined_id", sa.Integer, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("made_by", sa.Text, nullable=False),
        sa.Column("made_at", sa.Double, nullable=False),
    )
