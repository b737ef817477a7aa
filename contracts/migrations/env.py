"""Alembic's entry point; ``contracts.database.migrate`` hands over an open connection."""

from alembic import context

from contracts.schema import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
context.run_migrations()
