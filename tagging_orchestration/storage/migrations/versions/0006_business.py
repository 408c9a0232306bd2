"""The business beside the tags: raw facts, thresholds, scores, alerts, incidents, notifications."""

from alembic import op

from tagging_orchestration.storage.migrate import run_sql_file

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    run_sql_file(op.get_bind(), "0006_business.sql")
