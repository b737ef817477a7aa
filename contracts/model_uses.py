"""Which models there are, and what uses which: from the sessions that name them."""

import sqlalchemy as sa

from contracts.schema import models, sessions, sources
from contracts.store import Row


def list_models(connection: sa.Connection) -> list[Row]:
    """Return the models that sessions name, the one that was stored last first: model_id, name, card, created_at."""
    query = sa.select(models).order_by(models.c.created_at.desc(), models.c.model_id)
    return [dict(row) for row in connection.execute(query).mappings()]


def list_model_uses(connection: sa.Connection, limit: int = 2000) -> list[Row]:
    """Return which source used which model: model_id, source_id, kind, name, num_sessions, num_open and newest_at.

    The ones used last come first; ``num_open`` sessions still go on.
    """
    newest = sa.func.max(sessions.c.started_at).label("newest_at")
    is_open = sa.case((sessions.c.ended_at.is_(None), 1), else_=0)
    query = (
        sa.select(
            sessions.c.model_id, sources.c.source_id, sources.c.kind, sources.c.name,
            sa.func.count().label("num_sessions"), sa.func.sum(is_open).label("num_open"), newest,
        )
        .join_from(sessions, sources)
        .group_by(sessions.c.model_id, sources.c.source_id, sources.c.kind, sources.c.name)
        .order_by(newest.desc(), sources.c.source_id)
        .limit(limit)
    )  # fmt: skip
    return [dict(row) for row in connection.execute(query).mappings()]
