"""The examples of docs/data-model.md run."""

from __future__ import annotations

import re
from pathlib import Path

from psycopg import sql
from psycopg_pool import ConnectionPool

PAGE = Path(__file__).resolve().parents[2] / "docs" / "data-model.md"


def test_examples_run_and_every_function_has_one(pool: ConnectionPool) -> None:
    text = PAGE.read_text(encoding="utf-8")
    examples = re.findall(r"```sql\n(.*?)```", text, re.DOTALL)
    assert len(examples) > 10
    with pool.connection() as connection:
        for example in examples:
            connection.execute(sql.SQL(example))  # pyright: ignore[reportArgumentType]
        functions = connection.execute(
            """
            SELECT p.proname
            FROM pg_proc AS p
            WHERE
                p.pronamespace = 'tagging'::regnamespace AND p.prorettype <> 'trigger'::regtype
                AND p.proretset
            """
        ).fetchall()
        tables = connection.execute(
            """
            SELECT CASE n.nspname WHEN 'tagging' THEN c.relname ELSE n.nspname || '.' || c.relname END
            FROM pg_class AS c
            JOIN pg_namespace AS n ON n.oid = c.relnamespace
            WHERE
                n.nspname IN ('tagging', 'raw', 'analytics') AND c.relkind IN ('r', 'p') AND NOT c.relispartition
                AND c.relname <> 'schema_version'
            """
        ).fetchall()
    shown = " ".join(examples)
    assert [name for (name,) in functions if f"tagging.{name}(" not in shown] == []
    assert [name for (name,) in tables if f"`{name}`" not in text] == []
