"""What keeps the versions of prompts."""

from alembic import op

from tagging_orchestration.storage.migrate import run_sql_file

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    run_sql_file(op.get_bind(), "0009_prompts.sql")
