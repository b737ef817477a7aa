"""What camera runs store: leases, clock anchors, and how the sampling rate was lowered."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.create_table(
        "leases",
        sa.Column("stream_id", sa.String(36), primary_key=True),
        sa.Column("epoch", sa.Integer, nullable=False),
        sa.Column("holder", sa.Text, nullable=False),
        sa.Column("expires_at", sa.Double, nullable=False),
    )
    op.create_table(
        "clock_anchors",
        sa.Column("session_id", sa.String(36), sa.ForeignKey("sessions.session_id"), primary_key=True),
        sa.Column("pts", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("wall_s", sa.Double, nullable=False),
    )
    op.add_column("sessions", sa.Column("epoch", sa.Integer))
    op.add_column("sessions", sa.Column("end_reason", sa.String(24)))
    op.add_column("coverage", sa.Column("num_backpressure", sa.BigInteger, nullable=False, server_default="0"))
    op.add_column("coverage", sa.Column("fps", sa.Double))
