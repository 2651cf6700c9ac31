"""Connections to the database, each set up the same way wherever it is opened: in the hub, its writer, a command."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine, create_engine, event, make_url
from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool

from msgserver.store import bulk, migrations
from msgserver.store.failures import StoreError, in_words

T = TypeVar("T")

LOCK_PATIENCE_MS = 20_000


def engine(url: URL, state_dir: Path, *, size: int, writing: bool) -> Engine:
    """Where ``size`` connections come from; one that does not write refuses to."""
    options = {"state_dir": Path(state_dir)}
    if url.get_backend_name() == "postgresql":
        return create_engine(
            url.set(drivername="postgresql+psycopg"),
            pool_size=size,
            max_overflow=1,
            pool_pre_ping=True,
            execution_options=options,
            connect_args={"connect_timeout": 10, "options": "-c statement_timeout=60000"},
        )
    made = create_engine(
        url,
        execution_options=options,
        connect_args={"check_same_thread": False, "cached_statements": 512, "timeout": LOCK_PATIENCE_MS / 1000},
        **({"pool_size": size, "max_overflow": 1} if url.database else {"poolclass": NullPool}),
    )

    @event.listens_for(made, "connect")
    def set_up(connection: Any, _record: Any) -> None:
        connection.isolation_level = None  # transactions are begun below, not by the driver
        for pragma in (
            "page_size=8192",
            "journal_mode=WAL",
            "synchronous=FULL",
            "foreign_keys=ON",
            "temp_store=MEMORY",
        ):
            connection.execute(f"PRAGMA {pragma}")
        if writing:
            connection.execute("PRAGMA cache_size=-32768")
            connection.execute("PRAGMA wal_autocheckpoint=4000")
        else:
            connection.execute("PRAGMA query_only=ON")

    @event.listens_for(made, "begin")
    def begin(tx: Connection) -> None:
        # Straight to the driver: at one arrival a commit, a statement's dress costs more than the statement.
        bulk.raw(tx).execute("BEGIN IMMEDIATE" if writing else "BEGIN")

    return made


@contextmanager
def once(url: str, state_dir: Path | None = None, *, writing: bool = True) -> Iterator[Connection]:
    """One transaction for a program without a reactor (the command line), also beside a running server.

    With ``writing`` false it only reads, as of now, keeps no writer waiting and upgrades nothing.

    Raises:
        Busy, DiskFull, StoreError: as they say; nothing is written.
    """
    parsed = make_url(url)
    folder = state_dir or Path(parsed.database or ".").parent
    made = engine(parsed, folder, size=1, writing=writing)
    try:
        with made.begin() as tx:
            if writing:
                migrations.upgrade(tx)
            yield tx
    except Exception as error:
        worded = in_words(error)
        if worded is error:
            raise
        raise worded from error
    finally:
        made.dispose()


def peek(url: str, state_dir: Path, unit: Callable[[Connection], T]) -> T | None:
    """What a unit reads; None where there is no database yet, it does not answer, or it is of another version."""
    parsed = make_url(url)
    if parsed.get_backend_name() == "sqlite" and not Path(parsed.database or "").is_file():
        return None  # opening it would make one
    try:
        with once(url, state_dir, writing=False) as tx:
            return unit(tx)
    except (StoreError, DBAPIError):
        return None
