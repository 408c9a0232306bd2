"""Contents, their ledger, the vocabulary, assignments, and the events that make tags permanent."""

from alembic import op

from tagging_orchestration.storage.migrate import run_sql_file

revision = "0001"
down_revision = None


def upgrade() -> None:
    run_sql_file(op.get_bind(), "0001_core.sql")
