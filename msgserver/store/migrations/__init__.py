"""The schema's history (Alembic), and how a database comes up to date."""

from __future__ import annotations

from sqlalchemy import Connection, text

HEAD = "0001"  # the newest revision; told here so that a database that is up to date needs no Alembic to be loaded
_LOCK = 0x6D736773  # PostgreSQL's advisory lock: one upgrade at a time


def upgrade(tx: Connection) -> None:
    """Bring the schema to the newest revision, inside ``tx``: all of it or nothing.

    On SQLite the write lock that ``tx`` holds, on PostgreSQL an advisory lock lets one upgrade run at a time.

    Raises:
        StoreError: the database was written by a newer msgserver.
    """
    if tx.dialect.name == "postgresql":
        tx.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
    known = tx.dialect.has_table(tx, "alembic_version")
    if known and tx.scalar(text("SELECT version_num FROM alembic_version")) == HEAD:
        return
    from msgserver.store.migrations.steps import run  # noqa: PLC0415 - only who upgrades loads Alembic

    run(tx)
