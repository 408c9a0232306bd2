"""People's corrections: feedback that outranks machines at once, the review queue, and experiments' sandbox."""

from alembic import op

from tagging_orchestration.storage.migrate import run_sql_file

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    run_sql_file(op.get_bind(), "0004_feedback.sql")
