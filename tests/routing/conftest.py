"""A real store on SQLite in a directory of its own, and the rooms of the way in around it."""

from __future__ import annotations

import itertools
import shutil
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest
import pytest_twisted
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThread

from msgserver.formats.reading import ReadingLimits
from msgserver.message import Address
from msgserver.records import JournalRow
from msgserver.routing.bus import Bus
from msgserver.routing.conversation import Tokens
from msgserver.routing.desk import Desk
from msgserver.routing.reader import Reader
from msgserver.routing.recorder import Recorder
from msgserver.routing.router import Router
from msgserver.routing.snapshot import Snapshots
from msgserver.routing.trust import Examiner
from msgserver.store import blobs
from msgserver.store.connecting import once
from msgserver.store.door import Store

SIGNER = Tokens(b"k" * 32)
ANA = Address("sms", "+15551234")


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database file with the schema and nothing in it."""
    path = tmp_path_factory.mktemp("template") / "empty.db"
    with once(f"sqlite:///{path}"):
        pass
    return path


@pytest_twisted.async_yield_fixture
async def store(tmp_path: Path, empty_database: Path):
    shutil.copy(empty_database, tmp_path / "hub.db")
    store = Store(f"sqlite:///{tmp_path}/hub.db", reactor, readers=2, state_dir=tmp_path)
    store.open()
    yield store
    await store.close()


class Workers:
    """Reads mails in process; ``waiting`` holds back what it is told to hold back, ``poison`` cannot be read."""

    def __init__(self) -> None:
        self.batches: list[int] = []
        self.failures: deque[Exception] = deque()
        self.held: list[Deferred[None]] | None = None

    def release(self) -> None:
        """Let go of what is held back, and hold back no more."""
        held, self.held = self.held or [], None
        for waiting in held:
            waiting.callback(None)

    async def read_mails(self, mails: Sequence[bytes], keys: Sequence[Any] = ()) -> Sequence[Any]:
        from msgserver.formats import arc, signatures
        from msgserver.formats.mime import read_mail
        from msgserver.workers.frames import Unreadable

        self.batches.append(len(mails))
        if self.failures:
            raise self.failures.popleft()
        if self.held is not None:
            waiting: Deferred[None] = Deferred()
            self.held.append(waiting)
            await waiting
        readings: list[Any] = []
        for mail, mine in zip(mails, keys or [{}] * len(mails), strict=True):
            reading = read_mail(mail, ReadingLimits())
            checked = signatures.check(mail, mine)
            reading = msgspec.structs.replace(reading, signatures=checked, seals=arc.check(mail, mine))
            readings.append(Unreadable("its reader died") if b"poison" in mail else reading)
        return readings


class Dns:
    """Knows what is put into ``records`` by name and type; nothing else exists."""

    def __init__(self) -> None:
        self.records: dict[tuple[str, str], tuple[Any, ...]] = {}
        self.asked: list[tuple[str, str]] = []

    async def ask(self, name: str, kind: str) -> tuple[Any, ...]:
        self.asked.append((name, kind))
        return self.records.get((name, kind), ())


class WayIn:
    """Router, reader and recorder as ``service`` puts them together."""

    def __init__(self, store: Store, state: Path) -> None:
        self.store = store
        self.bus = Bus()
        self.rung: list[tuple[str, tuple[Any, ...]]] = []
        self.bus.listen(lambda topic, ids: self.rung.append((topic, ids)))
        self.workers = Workers()
        numbers = itertools.count(1)

        def new_uid() -> str:
            return f"00000000-0000-4000-8000-{next(numbers):012d}"

        self.desk = Desk(store, self.bus, {"sms": "modem1", "mailto": "mail"}, "Test desk", new_uid, reactor)
        self.rules = Snapshots(store)
        self.recorder = Recorder(
            store, self.bus, SIGNER, frozenset({"hub.example"}), self.rules, self.desk.wish, new_uid, reactor,
        )  # fmt: skip
        self.dns = Dns()
        self.borders: dict[str, str] = {}
        examiner = Examiner(self.workers, self.dns, self.borders, reactor)
        self.reader = Reader(
            store, self.recorder, examiner, lambda name: deferToThread(blobs.get, state, name), reactor
        )
        self.router = Router(store, self.bus, self.reader, reactor)

    async def rows(self, sql: str, **values: Any) -> list[tuple[Any, ...]]:
        """What stands in the database."""
        from sqlalchemy import text

        return await self.store.read(lambda tx: [tuple(row) for row in tx.execute(text(sql), values)])

    async def run(self, sql: str, **values: Any) -> None:
        """Change it behind everybody's back."""
        from sqlalchemy import text

        await self.store.write(lambda tx: tx.execute(text(sql), values) and None)

    async def settled(self) -> None:
        """Wait until what arrives is read straight from memory, nothing older being left in the journal."""
        for _ in range(6000):
            if not any(self.reader._behind.values()) and not self.reader._fetching:
                return
            await deferLater(reactor, 0.01)
        raise AssertionError("the reader still looks through the journal")

    async def read(self) -> None:
        """Wait until everything journalled has an outcome, and all have heard of it (fails after a minute)."""
        for _ in range(3000):
            if not (await self.rows("SELECT id FROM msg_raw WHERE state = 'received'")):
                # What is committed may not have been told yet; the writer tells in the order of its commits.
                await self.store.write(lambda tx: None)
                return
            await deferLater(reactor, 0.02)
        left = await self.rows("SELECT id, wire_id, state FROM msg_raw WHERE state = 'received'")
        raise AssertionError(f"not read: {left}")


@pytest_twisted.async_yield_fixture
async def way_in(store: Store, tmp_path: Path):
    way = WayIn(store, tmp_path)
    way.reader.start()
    yield way
    way.workers.release()
    await way.reader.stop()


def journal_row_of(n: int, **changes: Any) -> JournalRow:
    from msgserver.message import Arrival
    from msgserver.routing.journalling import journal_row

    return journal_row("modem1", Arrival(wire_id=f"w{n}", sender=ANA, text=f"text {n}"), 1000.0 + n)
