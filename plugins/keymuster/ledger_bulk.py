"""Puts many rows into a temporary table, each database in its quickest way."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Table, text


def fill(connection: Connection, table: Table, rows: Sequence[tuple[str | None, ...]]) -> None:
    """Make the temporary table and fill it; columns are texts, in the table's order."""
    table.create(connection)
    if not rows:
        return
    if connection.dialect.name == "postgresql":
        cursor: Any = connection.connection.cursor()
        with contextlib.closing(cursor):
            cursor.copy_expert(f"COPY {table.name} FROM STDIN", _copy_text(rows))
        connection.execute(text(f"ANALYZE {table.name}"))
    else:
        marks = ", ".join("?" * len(table.columns))
        connection.exec_driver_sql(f"INSERT INTO {table.name} VALUES ({marks})", list(rows))  # noqa: S608 (our own table names)


_ESCAPES: Mapping[int, str] = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"})


def _copy_text(rows: Iterable[tuple[str | None, ...]]) -> io.StringIO:
    """PostgreSQL's COPY text format."""
    return io.StringIO("".join("\t".join("\\N" if v is None else v.translate(_ESCAPES) for v in row) + "\n" for row in rows))
