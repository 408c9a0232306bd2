"""SQL functions for any client: both directions, history, time travel, similarity, replay and erasure."""

from alembic import op

from tagging_orchestration.storage.migrate import run_sql_file

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    run_sql_file(op.get_bind(), "0002_functions.sql")
