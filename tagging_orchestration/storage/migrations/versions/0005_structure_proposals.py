"""Proposals about the structure of the vocabulary that wait for a person."""

from alembic import op

from tagging_orchestration.storage.migrate import run_sql_file

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    run_sql_file(op.get_bind(), "0005_structure_proposals.sql")
