"""Which of several processes runs a connector that only one may run: session locks of PostgreSQL.

A lock is held by a connection of its own and goes when that goes: with the process, with its machine (within some 25 s,
the server asks whether it is still there), or with PostgreSQL itself; then whoever asks first has it next.
"""

from __future__ import annotations

import threading
from collections.abc import Collection

from sqlalchemy import Connection, create_engine, text
from sqlalchemy.engine import URL
from sqlalchemy.pool import NullPool

_CLASS = 0x6D736777  # of our locks among those of the database; the other half of the key is the name's hash
_ALIVE = "-c tcp_keepalives_idle=10 -c tcp_keepalives_interval=5 -c tcp_keepalives_count=3"


class Locks:
    """The names that this process holds. Called from one thread after the other."""

    def __init__(self, url: URL) -> None:
        self._engine = create_engine(
            url.set(drivername="postgresql+psycopg"),
            poolclass=NullPool,
            isolation_level="AUTOCOMMIT",
            connect_args={"connect_timeout": 10, "options": f"-c statement_timeout=10000 {_ALIVE}"},
        )
        self._connection: Connection | None = None
        self._held: set[str] = set()
        self._turn = threading.Lock()

    def take(self, names: Collection[str]) -> frozenset[str]:
        """Take what nobody holds; returns those of the names that are held here now.

        Raises:
            sqlalchemy.exc.DBAPIError: the database does not answer; nothing is held any more.
        """
        with self._turn:
            try:
                if self._connection is None:
                    self._connection = self._engine.connect()
                self._connection.execute(text("SELECT 1"))  # the line may be gone, and all locks with it
                for name in sorted(set(names) - self._held):
                    asked = text("SELECT pg_try_advisory_lock(:class, hashtext(:name))")
                    if self._connection.scalar(asked, {"class": _CLASS, "name": name}):
                        self._held.add(name)
            except Exception:
                self._let_go()
                raise
            return frozenset(self._held & set(names))

    def release(self) -> None:
        """Let all go, for the others to take."""
        with self._turn:
            self._let_go()

    def _let_go(self) -> None:
        self._held = set()
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.invalidate()
            connection.close()
