"""The choice of a provider, its figures, and the upkeep of the log of calls."""

from alembic import op

from tagging_orchestration.storage.migrate import run_sql_file

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    run_sql_file(op.get_bind(), "0010_ai_functions.sql")
