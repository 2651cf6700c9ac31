"""The store's door: reads in a few threads, writes in groups, both as plain functions of a transaction.

::

    tickets = await store.read(tickets.inbox, viewer, "todo")       # query(tx, *args), sees only what is committed
    recorded = await store.write(writing.write_draft, actor, ...)   # unit(tx, *args), shares a commit
    accepted = await store.batch(journal.journal, row)              # unit(tx, [item, ...]) for all that wait

SQLite: WAL, ``synchronous=FULL``, one writer. PostgreSQL: psycopg, two to four writers, READ COMMITTED; what must not
happen twice at once (choosing a ticket) takes an advisory lock. Units may run more than once before they commit.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar

from sqlalchemy import Connection, Engine, create_engine, event, make_url
from sqlalchemy.engine import URL, Result
from sqlalchemy.pool import NullPool
from twisted.internet.interfaces import IReactorFromThreads
from twisted.internet.threads import deferToThreadPool
from twisted.python.threadpool import ThreadPool

from msgserver.store import blobs, bulk, migrations
from msgserver.store.failures import Busy, DiskFull, StoreError, disconnected, in_words
from msgserver.store.fanout import MOST_COPIES
from msgserver.store.groups import GroupWriter

__all__ = ["Busy", "DiskFull", "Store", "StoreError", "once"]

P = ParamSpec("P")
T = TypeVar("T")
Item = TypeVar("Item")

LOCK_PATIENCE_MS = 20_000


class Store:
    """All that is remembered. ``dialect`` is "sqlite" or "postgresql"."""

    def __init__(
        self,
        url: str,
        reactor: IReactorFromThreads,
        *,
        readers: int = 3,
        writers: int = 1,
        state_dir: Path,
        most_copies: int = MOST_COPIES,
    ) -> None:
        self.url = make_url(url)
        self.dialect = self.url.get_backend_name()
        self.state_dir = Path(state_dir)
        if self.dialect not in ("sqlite", "postgresql"):
            raise StoreError(
                f"[store] url: {self.dialect} is not known; write sqlite:///... or postgresql+psycopg://..."
            )
        self._reactor = reactor
        self._readers = readers
        self._most_copies = most_copies
        self._writers = 1 if self.dialect == "sqlite" else max(2, min(writers, 4))
        self._lock: int | None = None
        self._opened = False

    def open(self) -> None:
        """Upgrade the schema, start the threads.

        Raises:
            StoreError: the database cannot be opened, or (SQLite) another server holds it.
        """
        self.state_dir.mkdir(parents=True, exist_ok=True)
        if self.dialect == "sqlite":
            self._take_file()
        try:
            self._write_engine = _engine(self.url, self.state_dir, size=self._writers, writing=True)
            self._write_engine.update_execution_options(most_copies=self._most_copies)
            self._read_engine = _engine(self.url, self.state_dir, size=self._readers, writing=False)
            with self._write_engine.begin() as tx:
                migrations.upgrade(tx)
        except Exception as error:
            self._release_file()
            if disconnected(error):
                where = f"{self.url.host or 'the local socket'}:{self.url.port or 5432}"
                raise StoreError(
                    f"PostgreSQL at {where} does not let us in: start it, or mend [store] url ({error})"
                ) from error
            worded = in_words(error)
            if isinstance(worded, StoreError):
                raise worded from error
            raise StoreError(f"the database cannot be opened: {error}") from error
        self._pool = ThreadPool(1, self._readers, "store-reader")
        self._pool.start()
        self._writer = GroupWriter(self._write_engine, self._reactor, self._writers)
        self._writer.start()
        self._opened = True

    async def close(self) -> None:
        """Commit what is queued, end the threads, let go of the file."""
        if not self._opened:
            return
        self._opened = False
        await self._writer.stop()
        self._pool.stop()
        self._read_engine.dispose()
        self._write_engine.dispose()
        self._release_file()

    @property
    def pending(self) -> int:
        """How many units wait for their commit."""
        return self._writer.pending if self._opened else 0

    async def read(self, query: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run ``query(tx, *args)`` in a reader's thread and return its value.

        Raises:
            StoreError: the store is closed or the database fails.
        """
        self._demand_open()
        return await deferToThreadPool(self._reactor, self._pool, self._query, query, args, kwargs)

    async def write(self, unit: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run ``unit(tx, *args)``; returned means committed.

        Raises:
            Busy, DiskFull, StoreError: as they say; the unit's own exceptions come as they are, nothing written.
        """
        self._demand_open()
        return await self._writer.submit(unit, args, False, **kwargs)  # type: ignore[no-any-return]

    async def batch(self, unit: Callable[[Connection, list[Item]], list[T]], item: Item) -> T:
        """Like write, but all waiting items of the same unit go in one call ``unit(tx, [item, ...])``."""
        self._demand_open()
        return await self._writer.submit(unit, (item,), True)  # type: ignore[no-any-return]

    async def keep(self, content: bytes) -> str:
        """Write bytes into the blob store, in a thread, synced to disk; returns their name (sha256)."""
        self._demand_open()
        return await deferToThreadPool(self._reactor, self._pool, blobs.put, self.state_dir, content)

    def _demand_open(self) -> None:
        if not self._opened:
            raise StoreError("the store is closed")

    def _query(self, query: Callable[..., T], args: tuple[Any, ...], kwargs: dict[str, Any]) -> T:
        try:
            with self._read_engine.connect() as tx, tx.begin():
                value = query(tx, *args, **kwargs)
        except Exception as error:
            worded = in_words(error)
            if worded is error:
                raise
            raise worded from error
        if isinstance(value, Result):
            raise TypeError("a query must return values, not a live result")
        return value

    def _take_file(self) -> None:
        path = f"{self.url.database}.lock"
        try:
            self._lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise StoreError(f"{path} cannot be written ({error.strerror}): look at its folder") from error
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            self._release_file()
            raise StoreError(
                f"another msgserver runs on {self.url.database}: stop it first, or give this one its own [store] url"
            ) from error

    def _release_file(self) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None


@contextmanager
def once(url: str, state_dir: Path | None = None, *, writing: bool = True) -> Iterator[Connection]:
    """One transaction for a program without a reactor (the command line), also beside a running server.

    With ``writing`` false it only reads, as of now, keeps no writer waiting and upgrades nothing.

    Raises:
        Busy, DiskFull, StoreError: as they say; nothing is written.
    """
    parsed = make_url(url)
    folder = state_dir or Path(parsed.database or ".").parent
    engine = _engine(parsed, folder, size=1, writing=writing)
    try:
        with engine.begin() as tx:
            if writing:
                migrations.upgrade(tx)
            yield tx
    except Exception as error:
        worded = in_words(error)
        if worded is error:
            raise
        raise worded from error
    finally:
        engine.dispose()


def _engine(url: URL, state_dir: Path, *, size: int, writing: bool) -> Engine:
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
    engine = create_engine(
        url,
        execution_options=options,
        connect_args={"check_same_thread": False, "cached_statements": 512, "timeout": LOCK_PATIENCE_MS / 1000},
        **({"pool_size": size, "max_overflow": 1} if url.database else {"poolclass": NullPool}),
    )

    @event.listens_for(engine, "connect")
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

    @event.listens_for(engine, "begin")
    def begin(tx: Connection) -> None:
        # Straight to the driver: at one arrival a commit, a statement's dress costs more than the statement.
        bulk.raw(tx).execute("BEGIN IMMEDIATE" if writing else "BEGIN")

    return engine
