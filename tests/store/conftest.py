"""Every store test runs on a new database, on SQLite and on PostgreSQL alike."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, make_url

from msgserver.store.connecting import once

DATABASES = [pytest.param("sqlite", id="sqlite"), pytest.param("postgresql", marks=pytest.mark.peer, id="postgresql")]
TEMPLATE = "msgserver_template"


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database file with the schema and nothing in it."""
    path = tmp_path_factory.mktemp("template") / "empty.db"
    with once(f"sqlite:///{path}"):
        pass
    return path


@pytest.fixture(scope="session")
def postgresql_template(postgresql: Any) -> str:
    """The same on the server."""
    postgresql.create(TEMPLATE)
    with once(postgresql.url(TEMPLATE)):
        pass
    return TEMPLATE


@pytest.fixture(params=DATABASES)
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The URL of a database with the schema and nothing in it."""
    if request.param == "sqlite":
        shutil.copy(request.getfixturevalue("sqlite_template"), tmp_path / "hub.db")
        yield f"sqlite:///{tmp_path / 'hub.db'}"
        return
    server = request.getfixturevalue("postgresql")
    request.getfixturevalue("postgresql_template")
    name = "test_" + tmp_path.name.lower().replace("-", "_")[:50]
    server.create(name, TEMPLATE)
    yield server.url(name)
    server.sql(f"DROP DATABASE {name} WITH (FORCE)")


class Database:
    """Plain write transactions on the test's database."""

    def __init__(self, url: str, state_dir: Path) -> None:
        self.url = url
        self.state_dir = state_dir

    @property
    def dialect(self) -> str:
        return make_url(self.url).get_backend_name()

    def __call__(self) -> AbstractContextManager[Connection]:
        return once(self.url, self.state_dir)

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        with self() as tx:
            return [tuple(row) for row in tx.exec_driver_sql(sql)]

    def value(self, sql: str) -> Any:
        [[value]] = self.rows(sql)
        return value


@pytest.fixture
def database(url: str, tmp_path: Path) -> Database:
    """Transactions on a new database: ``with database() as tx``."""
    return Database(url, tmp_path)
