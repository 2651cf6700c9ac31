"""Inserting where a row may be there already: what both databases can say, in one wording."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Table
from sqlalchemy.dialects.postgresql import insert as postgresql_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert


def inserting(tx: Connection, table: Table) -> Any:
    """This database's INSERT, with ``on_conflict_do_nothing`` and ``on_conflict_do_update``."""
    insert = postgresql_insert if tx.dialect.name == "postgresql" else sqlite_insert
    return insert(table).execution_options(preserve_rowcount=True)


def insert_new(tx: Connection, table: Table, rows: Sequence[Mapping[str, Any]]) -> int:
    """Insert the rows that are not there yet; returns how many were new."""
    if not rows:
        return 0
    done: int = tx.execute(inserting(tx, table).values(list(rows)).on_conflict_do_nothing()).rowcount
    return done


def put(tx: Connection, table: Table, key: Mapping[str, Any], values: Mapping[str, Any], **fresh: Any) -> None:
    """See that the row with this primary key has these values; ``fresh``: what only a new row gets."""
    written = inserting(tx, table).values(**key, **values, **fresh)
    index = [table.c[name] for name in key]
    tx.execute(written.on_conflict_do_update(index_elements=index, set_=dict(values)))
