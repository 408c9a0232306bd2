"""Models trained from an organisation's own labels: candidates, the active one, and those before it."""

from alembic import op

from tagging_orchestration.storage.migrate import run_sql_file

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    run_sql_file(op.get_bind(), "0003_trained_models.sql")
