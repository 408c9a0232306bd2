"""Alembic's entry: runs the versions on the connection that storage/migrate.py hands over.

There is no alembic.ini and no offline mode; `migrate.upgrade` is the only caller.
"""

from alembic import context

from tagging_orchestration.storage.migrate import SCHEMA, VERSION_TABLE

context.configure(
    connection=context.config.attributes["connection"],
    version_table=VERSION_TABLE,
    version_table_schema=SCHEMA,
)
with context.begin_transaction():
    context.run_migrations()
