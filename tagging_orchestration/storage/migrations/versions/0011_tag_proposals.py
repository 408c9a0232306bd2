"""Tags that a language model proposed."""

from alembic import op

from tagging_orchestration.storage.migrate import run_sql_file

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    run_sql_file(op.get_bind(), "0011_tag_proposals.sql")
