"""The schema's history (Alembic), and how a database comes up to date."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text

from msgserver.store.failures import StoreError

_LOCK = 0x6D736773  # PostgreSQL's advisory lock: one upgrade at a time


def config() -> Config:
    """Alembic's configuration, for ``upgrade`` and for writing new revisions."""
    settings = Config()
    settings.set_main_option("script_location", str(Path(__file__).parent))
    return settings


def upgrade(tx: Connection) -> None:
    """Bring the schema to the newest revision, inside ``tx``: all of it or nothing.

    On SQLite the write lock that ``tx`` holds, on PostgreSQL an advisory lock lets one upgrade run at a time.

    Raises:
        StoreError: the database was written by a newer msgserver.
    """
    if tx.dialect.name == "postgresql":
        tx.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
    settings = config()
    scripts = ScriptDirectory.from_config(settings)
    current = MigrationContext.configure(tx).get_current_revision()
    if current == scripts.get_current_head():
        return
    known = {revision.revision for revision in scripts.walk_revisions()}
    if current is not None and current not in known:
        raise StoreError(
            f"the database is of a newer msgserver (schema {current}): nothing was changed; install that version, "
            "or restore the backup that was taken before its upgrade"
        )
    settings.attributes["connection"] = tx
    command.upgrade(settings, "head")
