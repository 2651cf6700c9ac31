"""Deaths, locks, full disks and lost connections around the commits: nothing that was answered is lost."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys

import pytest
import pytest_twisted
from sqlalchemy import text
from twisted.internet import reactor
from twisted.internet.defer import DeferredList, ensureDeferred

from msgserver import failpoint
from msgserver.records import RawState
from msgserver.store import connecting, fsck, groups
from msgserver.store.door import Busy, DiskFull, Store, StoreError
from msgserver.store.journal import journal, unread
from tests.store.test_journal import row

KEEP = "INSERT INTO connector_state (connector, key, value, at) VALUES ('c', :key, '', 0)"


def keep(tx, key):
    tx.execute(text(KEEP), {"key": key})


def kept(tx):
    return sorted(tx.execute(text("SELECT key FROM connector_state")).scalars())


@pytest.fixture
def impatient(monkeypatch):
    """A store that does not wait long for others; before ``store``."""
    monkeypatch.setattr(connecting, "LOCK_PATIENCE_MS", 200)


@pytest.fixture
def store(url, tmp_path):
    store = Store(url, reactor, state_dir=tmp_path, writers=4)
    store.open()
    yield store
    pytest_twisted.blockon(ensureDeferred(store.close()))


@pytest.fixture
def fail(monkeypatch):
    """Arm a fail point: ``fail("C1.after")``."""

    def arm(place):
        monkeypatch.setattr(failpoint, "_points", {place: ("raise", 1)})
        monkeypatch.setattr(failpoint, "_reached", {})

    return arm


async def together(*waiting):
    return await DeferredList([ensureDeferred(one) for one in waiting], consumeErrors=True)


@pytest_twisted.ensureDeferred
async def test_a_failure_before_the_commit_is_made_good_by_running_each_alone(store, fail):
    fail("C1.before")
    outcomes = await together(*(store.batch(journal, row(f"{n}")) for n in range(5)))
    assert sum(succeeded for succeeded, _ in outcomes) >= 4
    assert len(await store.read(unread, 0, 10)) == sum(succeeded for succeeded, _ in outcomes)


@pytest_twisted.ensureDeferred
async def test_a_failure_after_the_commit_is_told_and_a_repeat_is_a_duplicate(store, fail):
    fail("C1.after")
    [(succeeded, failure)] = await together(store.batch(journal, row("a")))
    assert not succeeded
    assert failure.check(failpoint.FailPointReached)
    assert (await store.batch(journal, row("a"))).duplicate
    assert len(await store.read(unread, 0, 10)) == 1


@pytest_twisted.ensureDeferred
async def test_the_same_arrival_a_hundred_times_at_once_is_one_row(store):
    outcomes = await together(*(store.batch(journal, row("same")) for _ in range(100)))
    accepted = [outcome for succeeded, outcome in outcomes if succeeded]
    assert len(accepted) == 100
    assert len({one.raw_id for one in accepted}) == 1
    assert sum(not one.duplicate for one in accepted) == 1


@pytest_twisted.ensureDeferred
async def test_a_database_held_by_another_program_is_busy(impatient, store):
    if store.dialect != "sqlite":
        return
    other = sqlite3.connect(store.url.database, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(Busy, match="another program holds the database"):
        await store.write(keep, "a")
    other.execute("ROLLBACK")
    other.close()
    await store.write(keep, "a")


@pytest_twisted.ensureDeferred
async def test_a_full_disk_is_told_and_mends_itself(store):
    if store.dialect != "sqlite":
        return
    pages = await store.write(lambda tx: tx.exec_driver_sql("PRAGMA page_count").scalar_one())
    await store.write(lambda tx: tx.exec_driver_sql(f"PRAGMA max_page_count = {pages + 2}").scalar_one())
    outcomes = await together(*(store.batch(journal, row(f"{n}", b"x" * 50_000)) for n in range(3)))
    for succeeded, failure in outcomes:
        assert not succeeded
        assert failure.check(DiskFull), failure
    await store.write(lambda tx: tx.exec_driver_sql("PRAGMA max_page_count = 1000000").scalar_one())
    assert not (await store.batch(journal, row("0"))).duplicate


@pytest_twisted.ensureDeferred
async def test_too_much_waiting_is_busy(store, monkeypatch):
    monkeypatch.setattr(groups, "LONGEST_QUEUE", 3)
    outcomes = await together(*(store.write(keep, f"{n}") for n in range(6)))
    assert [succeeded for succeeded, _ in outcomes] == [True] * 3 + [False] * 3
    assert outcomes[-1][1].check(Busy)


class Once:
    """Something that happens the first time only."""

    def __init__(self, sql):
        self.sql = sql
        self.runs = 0

    def __call__(self, tx, key):
        self.runs += 1
        keep(tx, key)
        if self.runs == 1:
            tx.exec_driver_sql(self.sql)


@pytest.mark.parametrize(
    "sql",
    [
        "DO $$ BEGIN RAISE EXCEPTION 'x' USING ERRCODE = '40001'; END $$",
        "DO $$ BEGIN RAISE EXCEPTION 'x' USING ERRCODE = '40P01'; END $$",
        "SELECT pg_terminate_backend(pg_backend_pid())",
    ],
    ids=["serialization", "deadlock", "connection"],
)
@pytest_twisted.ensureDeferred
async def test_what_may_succeed_again_is_run_again(store, sql):
    if store.dialect == "sqlite":
        return
    unit = Once(sql)
    outcomes = await together(store.write(unit, "a"), store.write(keep, "b"))
    assert [succeeded for succeeded, _ in outcomes] == [True, True]
    assert unit.runs == 2
    assert await store.read(kept) == ["a", "b"]


@pytest_twisted.ensureDeferred
async def test_a_connection_lost_at_commit_is_told_as_not_known(store, postgresql_or_none, monkeypatch):
    if store.dialect == "sqlite":
        return
    database = store.url.database
    kill = f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{database}'"

    def cut(place):
        monkeypatch.setattr(failpoint, "reach", lambda place: None)
        postgresql_or_none.sql(kill)

    monkeypatch.setattr(failpoint, "reach", cut)
    with pytest.raises(Busy, match="not known whether"):
        await store.batch(journal, row("a"))
    assert not (await store.batch(journal, row("a"))).duplicate
    assert len(await store.read(unread, 0, 10)) == 1


@pytest.fixture
def postgresql_or_none(request, url):
    return request.getfixturevalue("postgresql") if url.startswith("postgresql") else None


def test_a_place_that_cannot_be_written_is_told_in_words(tmp_path):
    with pytest.raises(StoreError, match="cannot be"):
        Store(f"sqlite:///{tmp_path}/no/such/folder/x.db", reactor, state_dir=tmp_path).open()
    (tmp_path / "junk.db").write_bytes(b"this is no database at all" * 100)
    with pytest.raises(StoreError, match="damaged"):
        Store(f"sqlite:///{tmp_path}/junk.db", reactor, state_dir=tmp_path).open()
    with pytest.raises(StoreError, match=r"PostgreSQL at 127\.0\.0\.1:1 does not let us in"):
        Store("postgresql+psycopg://x@127.0.0.1:1/x", reactor, state_dir=tmp_path).open()
    with pytest.raises(StoreError, match="mysql is not known"):
        Store("mysql://x", reactor, state_dir=tmp_path)


LIFE = """
import sys
from sqlalchemy import create_engine
from twisted.internet import reactor
from twisted.internet.defer import ensureDeferred
from pathlib import Path
from msgserver.records import DeliveryState, Settlement
from msgserver.store import deliveries, recording
from msgserver.store.door import Store
from msgserver.store.journal import journal
from tests.store.people import NOW, connector, entity, plan
from tests.store.test_journal import row

async def live():
    store = Store(sys.argv[1], reactor, state_dir=Path(sys.argv[2]))
    store.open()
    def prepare(tx):
        connector(tx, "modem1", "sms")
        return plan(tx, routes=(entity(tx, "Ana", "sms:+9"),))
    one = await store.write(prepare)
    await store.batch(journal, row("a"))
    print("C1", flush=True)
    await store.batch(recording.record, one)
    print("C2", flush=True)
    [claimed] = await store.write(deliveries.claim, "modem1", "n1", 5, NOW)
    print("C3", flush=True)
    ended = Settlement(delivery_id=claimed.id, attempt=1, state=DeliveryState.SENT, wire_ids=("w",), at=NOW)
    await store.batch(deliveries.settle, ended)
    print("C4", flush=True)

ensureDeferred(live()).addErrback(lambda failure: failure.printTraceback()).addBoth(lambda _: reactor.stop())
reactor.run()
"""


@pytest.mark.slow
@pytest.mark.parametrize("place", [f"C{n}.{side}" for n in (1, 2, 3, 4) for side in ("before", "after")])
def test_killed_around_a_commit_leaves_all_of_it_or_nothing(database, place, tmp_path):
    environment = os.environ | {"MSGSERVER_FAIL": f"{place}:kill"}
    command = [sys.executable, "-c", LIFE, database.url, str(tmp_path)]
    died = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=600)
    assert died.returncode == -signal.SIGKILL, died.stderr
    number, side = int(place[1]), place[3:]
    assert died.stdout.split() == [f"C{n}" for n in range(1, number)], "nothing was answered before its commit"
    reached = number if side == "after" else number - 1
    assert database.value("SELECT count(*) FROM msg_raw WHERE wire_id = 'a'") == (reached >= 1)
    assert database.value("SELECT count(*) FROM msg_log") == (reached >= 2)
    states = [state for (state,) in database.rows("SELECT state FROM msg_delivery_status")]
    assert states == {0: [], 1: [], 2: ["pending"], 3: ["claimed"], 4: ["sent"]}[reached]
    assert database.value("SELECT count(*) FROM msg_delivery_part") == (reached >= 4)
    with database() as tx:
        wrong = [one for one in fsck.check(tx, 0) if "bytes of arrival" not in one]
    assert wrong == []
    assert RawState.RECEIVED in {state for (state,) in database.rows("SELECT state FROM msg_raw")}
