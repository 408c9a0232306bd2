"""The schema of everything AI: providers, prompts, budgets, calls and answers."""

from alembic import op

from tagging_orchestration.storage.migrate import run_sql_file

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    run_sql_file(op.get_bind(), "0008_ai.sql")
