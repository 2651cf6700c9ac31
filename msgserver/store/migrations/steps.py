"""The upgrade itself, by Alembic."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection

from msgserver.store.failures import StoreError


def config() -> Config:
    """Alembic's configuration, for upgrading and for writing new revisions."""
    settings = Config()
    settings.set_main_option("script_location", str(Path(__file__).parent))
    return settings


def run(tx: Connection) -> None:
    """Take every step that the database lacks.

    Raises:
        StoreError: the database was written by a newer msgserver.
    """
    settings = config()
    scripts = ScriptDirectory.from_config(settings)
    current = MigrationContext.configure(tx).get_current_revision()
    known = {revision.revision for revision in scripts.walk_revisions()}
    if current is not None and current not in known:
        raise StoreError(
            f"the database is of a newer msgserver (schema {current}): nothing was changed; install that version, "
            "or restore the backup that was taken before its upgrade"
        )
    settings.attributes["connection"] = tx
    command.upgrade(settings, "head")
