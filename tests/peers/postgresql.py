"""A PostgreSQL server, and a new empty database for each test."""

from __future__ import annotations

import contextlib
import itertools
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.peers.programs import Program, free_port, home, program, wait_until

_numbers = itertools.count(1)


class PostgreSQL:
    """A server on 127.0.0.1 that trusts everybody and does not wait for the disk."""

    def __init__(self, directory: Path) -> None:
        bins = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name))
        self.bin = bins[-1] if bins else Path(program("initdb", "postgresql")).parent
        self.directory = directory
        self.port = free_port()
        options = ["-A", "trust", "-U", "postgres", "-E", "UTF8", "--locale=C.UTF-8", "--no-sync"]
        self._run([self.bin / "initdb", "-D", directory / "db", *options])
        self.start()

    def _run(self, argv: list[str | Path]) -> None:
        user = {"user": "postgres", "group": "postgres", "extra_groups": []} if os.geteuid() == 0 else {}
        done = subprocess.run(argv, check=False, cwd=self.directory, capture_output=True, **user)  # type: ignore[call-overload]
        assert done.returncode == 0, done.stderr.decode()

    def start(self) -> None:
        """Start it; returns when it takes connections."""
        settings = [
            "listen_addresses=127.0.0.1",
            f"unix_socket_directories={self.directory}",
            "fsync=off",
            "max_connections=200",
            "logging_collector=off",
        ]
        options = [word for setting in settings for word in ("-c", setting)]
        argv = [self.bin / "postgres", "-D", self.directory / "db", "-p", str(self.port), *options]
        self.log = self.directory / "log"
        self.program = Program(argv, self.log, user="postgres", cwd=self.directory)
        ready = [self.bin / "pg_isready", "-q", "-h", "127.0.0.1", "-p", str(self.port)]
        self.program.wait_ready(lambda: subprocess.run(ready, check=False).returncode == 0)

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """Stop it; SIGINT cuts its clients off and keeps what is committed."""
        self.program.stop(how)

    def sql(self, statement: str) -> None:
        """Run one statement in the server's own database, outside a transaction."""
        import psycopg

        with psycopg.connect(f"host=127.0.0.1 port={self.port} user=postgres", autocommit=True) as connection:
            connection.execute(statement)  # type: ignore[arg-type]

    def create(self, database: str, template: str = "template1") -> None:
        """Make a database; where somebody is still busy leaving the template, a little later."""
        import psycopg

        def made() -> bool:
            with contextlib.suppress(psycopg.errors.ObjectInUse):
                self.sql(f"CREATE DATABASE {database} TEMPLATE {template}")
                return True
            return False

        wait_until(made, f"nobody uses {template}")

    def url(self, database: str) -> str:
        """The URL that SQLAlchemy takes."""
        return f"postgresql+psycopg://postgres@127.0.0.1:{self.port}/{database}"


@pytest.fixture(scope="session")
def postgresql() -> Iterator[PostgreSQL]:
    """The server; shared by all tests of a run."""
    with home("postgresql", "postgres") as directory:
        server = PostgreSQL(directory)
        try:
            yield server
        finally:
            server.stop()


@pytest.fixture
def postgresql_url(postgresql: PostgreSQL) -> Iterator[str]:
    """The URL of a new empty database."""
    name = f"test_{next(_numbers)}"
    postgresql.create(name)
    yield postgresql.url(name)
    postgresql.sql(f"DROP DATABASE {name} WITH (FORCE)")
