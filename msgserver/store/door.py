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
import time
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar

from sqlalchemy import Connection, make_url
from sqlalchemy.engine import Result
from twisted.internet.interfaces import IReactorFromThreads
from twisted.internet.threads import deferToThreadPool
from twisted.python.threadpool import ThreadPool

from msgserver.store import blobs, migrations
from msgserver.store.apart import ProcessWriter
from msgserver.store.connecting import engine
from msgserver.store.errands import Settings
from msgserver.store.failures import Busy, DiskFull, StoreError, disconnected, in_words
from msgserver.store.fanout import MOST_COPIES
from msgserver.store.groups import GroupWriter, ThreadWriter
from msgserver.store.owning import Locks

__all__ = ["Busy", "DiskFull", "Store", "StoreError"]

P = ParamSpec("P")
T = TypeVar("T")
Item = TypeVar("Item")

FILE_PATIENCE = 2.0  # seconds for the writer of a hub that was killed to end its commit


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
        apart: bool = False,
        lost: Callable[[str], None] | None = None,
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
        self._apart = apart
        self._lost = lost or _nobody_asks
        self._writers = 1 if self.dialect == "sqlite" else max(2, min(writers, 4))
        self._locks = Locks(self.url) if self.dialect == "postgresql" else None
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
            self._write_engine = engine(self.url, self.state_dir, size=self._writers, writing=True)
            self._write_engine.update_execution_options(most_copies=self._most_copies)
            self._read_engine = engine(self.url, self.state_dir, size=self._readers, writing=False)
            self._writer = self._make_writer()
            if self._apart:
                self._writer.start()  # now, so that it gets ready meanwhile
            with self._write_engine.begin() as tx:
                migrations.upgrade(tx)
        except Exception as error:
            self._release_file()
            raise self._in_words(error) from error
        self._pool = ThreadPool(1, self._readers, "store-reader")
        self._pool.start()
        if self._apart:
            self._write_engine.dispose()
        else:
            self._writer.start()
        self._opened = True

    def _make_writer(self) -> GroupWriter:
        if not self._apart:
            return ThreadWriter(self._write_engine, self._reactor, self._writers)
        url = self.url.render_as_string(hide_password=False)
        settings = Settings(url, str(self.state_dir), self._writers, self._most_copies)
        return ProcessWriter(settings, self._reactor, self._lock, self._lost)

    def _in_words(self, error: Exception) -> StoreError:
        if disconnected(error):
            where = f"{self.url.host or 'the local socket'}:{self.url.port or 5432}"
            return StoreError(f"PostgreSQL at {where} does not let us in: start it, or mend [store] url ({error})")
        worded = in_words(error)
        return worded if isinstance(worded, StoreError) else StoreError(f"the database cannot be opened: {error}")

    async def close(self) -> None:
        """Commit what is queued, end the threads, let go of the file."""
        if not self._opened:
            return
        self._opened = False
        await self._writer.stop()
        if self._locks is not None:
            self._locks.release()
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

    async def own(self, names: Collection[str]) -> frozenset[str]:
        """Of connectors that only one process may run, those that this one runs; it takes what nobody else has.

        On SQLite all, there is no other process.

        Raises:
            StoreError: the database does not answer.
        """
        self._demand_open()
        if self._locks is None or not names:
            return frozenset(names)
        try:
            return await deferToThreadPool(self._reactor, self._pool, self._locks.take, names)
        except Exception as error:
            worded = in_words(error)
            if worded is error:
                raise
            raise worded from error

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
        until = time.monotonic() + FILE_PATIENCE
        while True:
            try:
                fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                if time.monotonic() < until:
                    time.sleep(0.05)
                    continue
                self._release_file()
                where = self.url.database
                raise StoreError(
                    f"another msgserver runs on {where}: stop it first, or give this one its own [store] url"
                ) from error
            return

    def _release_file(self) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None


def _nobody_asks(words: str) -> None:
    """The waiters are told; there is nobody else."""
