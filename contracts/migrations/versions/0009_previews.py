"""Whether the pictures of a camera may be looked at while it runs."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    op.add_column("streams", sa.Column("preview", sa.Boolean, nullable=False, server_default=sa.false()))
