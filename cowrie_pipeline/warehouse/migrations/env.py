"""Alembic's entry: runs migrations in the transaction that schema.py opened."""

from alembic import context

from cowrie_pipeline.warehouse.tables import VERSION_TABLE, metadata

connection = context.config.attributes["connection"]
# SQLite can undo DDL as PostgreSQL can; Alembic does not trust older drivers to.
context.configure(connection=connection, target_metadata=metadata, transactional_ddl=True, version_table=VERSION_TABLE)
with context.begin_transaction():
    context.run_migrations()
