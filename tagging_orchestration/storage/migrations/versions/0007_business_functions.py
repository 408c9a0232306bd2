"""Functions over the business: the last complete day, and what dbt computed, under the names people call."""

from alembic import op

from tagging_orchestration.storage.migrate import run_sql_file

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    run_sql_file(op.get_bind(), "0007_business_functions.sql")
