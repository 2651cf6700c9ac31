"""The writer process: what it answered is committed, whatever becomes of it, of the hub, or of what it is given."""

from __future__ import annotations

import os
import pkgutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import msgspec
import pytest
import pytest_twisted
from sqlalchemy import Connection, text
from twisted.internet import reactor
from twisted.internet.defer import DeferredList, ensureDeferred
from twisted.logger import globalLogPublisher

from msgserver import store as store_room
from msgserver.message import Accepted
from msgserver.records import DeliveryState, Plan, ReportRow, Settlement
from msgserver.store import deliveries, edits, errands, recording
from msgserver.store.committing import Job
from msgserver.store.door import Busy, Store, StoreError
from msgserver.store.journal import journal, unread
from tests.peers.programs import wait_until
from tests.store.people import plan
from tests.store.test_journal import row

KEEP = "INSERT INTO connector_state (connector, key, value, at) VALUES ('c', :key, :value, 0)"


def keep(tx: Connection, key: str, value: str = "") -> str:
    tx.execute(text(KEEP), {"key": key, "value": value})
    return key


def kept(tx: Connection) -> list[str]:
    return sorted(tx.execute(text("SELECT key FROM connector_state")).scalars())


def given_back(tx: Connection, value: bytes) -> bytes:
    return value


def refuse(tx: Connection, key: str) -> None:
    keep(tx, key)
    raise edits.Stale(7, "somebody was faster")


def fail(tx: Connection, key: str) -> None:
    keep(tx, key)
    raise ZeroDivisionError("a bug")


def give_what_cannot_travel(tx: Connection) -> object:
    return lambda: None


def identity(tx: Connection) -> int:
    return os.getpid()


def sleep(tx: Connection, seconds: float) -> None:
    time.sleep(seconds)


@pytest.fixture
def lost() -> list[str]:
    """What was said when a writer was lost."""
    return []


@pytest.fixture
def store(url, tmp_path, lost):
    store = Store(url, reactor, state_dir=tmp_path, apart=True, lost=lost.append)
    store.open()
    yield store
    pytest_twisted.blockon(ensureDeferred(store.close()))


async def together(*waiting):
    return await DeferredList([ensureDeferred(one) for one in waiting], consumeErrors=True)


@pytest_twisted.ensureDeferred
async def test_what_it_answered_is_committed_and_each_gets_its_own_answer(store):
    outcomes = await together(*(store.batch(journal, row(f"{n}")) for n in range(300)))
    accepted = [outcome for succeeded, outcome in outcomes if succeeded]
    assert len({one.raw_id for one in accepted}) == 300
    assert not any(one.duplicate for one in accepted)
    assert (await store.batch(journal, row("7"))) == msgspec.structs.replace(accepted[7], duplicate=True)
    assert len(await store.read(unread, 0, 400)) == 300
    assert store.pending == 0


@pytest_twisted.ensureDeferred
async def test_plans_travel_and_come_back_recorded(store):
    one = await store.write(plan_one)
    first, again = await store.batch(recording.record, one), await store.read(unread, 0, 10)
    assert first.message_id
    assert again == []


def plan_one(tx: Connection) -> Plan:
    return plan(tx, body="with half a pair: \ud83d, and an umlaut: ä")


@pytest_twisted.ensureDeferred
async def test_a_refusal_comes_as_it_is_and_only_the_guilty_one_fails(store):
    outcomes = await together(store.write(keep, "a"), store.write(refuse, "b"), store.write(keep, "c"))
    assert [succeeded for succeeded, _ in outcomes] == [True, False, True]
    error = outcomes[1][1].value
    assert isinstance(error, edits.Stale)
    assert (error.current, str(error)) == (7, "somebody was faster")
    assert await store.read(kept) == ["a", "c"]


@pytest_twisted.ensureDeferred
async def test_the_way_to_a_fault_is_in_the_log(store):
    said = []
    globalLogPublisher.addObserver(said.append)
    try:
        with pytest.raises(ZeroDivisionError, match="a bug"):
            await store.write(fail, "a")
    finally:
        globalLogPublisher.removeObserver(said.append)
    assert any("in fail" in event.get("way", "") for event in said)
    assert await store.read(kept) == []


@pytest_twisted.ensureDeferred
async def test_what_cannot_travel_harms_nobody_else(store):
    outcomes = await together(
        store.write(keep, "a"),
        store.write(lambda tx: None),
        store.write(give_what_cannot_travel),
        store.write(keep, "b"),
    )
    assert [succeeded for succeeded, _ in outcomes] == [True, False, False, True]
    assert await store.read(kept) == ["a", "b"]


@pytest_twisted.ensureDeferred
async def test_arrivals_go_before_what_nobody_outside_waits_for(store):
    done = []
    first = ensureDeferred(store.write(sleep, 0.5))  # all below has come when it ends
    others = [ensureDeferred(store.write(keep, f"{n}")) for n in range(3)]
    arrivals = [ensureDeferred(store.batch(journal, row(f"{n}"))) for n in range(3)]
    for one in others + arrivals:
        one.addCallback(lambda result: done.append(isinstance(result, Accepted)))
    await together(first, *others, *arrivals)
    assert done == [True] * 3 + [False] * 3
    assert await store.read(kept) == ["0", "1", "2"]


@pytest_twisted.ensureDeferred
async def test_much_travels_both_ways(store):
    large = os.urandom(20_000_000)
    many = [store.write(given_back, large)] + [store.write(given_back, bytes([n]) * 100_000) for n in range(50)]
    outcomes = await together(*many)
    assert outcomes[0][1] == large
    assert [outcome for _, outcome in outcomes[1:]] == [bytes([n]) * 100_000 for n in range(50)]


def test_it_loads_nothing_of_the_rooms_above():
    names = [module.name for module in pkgutil.iter_modules(store_room.__path__, "msgserver.store.")]
    units = [name for name in names if name.rpartition(".")[2] not in ("door", "groups", "apart")]
    look = "print([name for name in sys.modules if name.startswith(('twisted', 'msgserver.routing', 'msgserver.web'))])"
    command = [sys.executable, "-c", f"import sys, {', '.join(units)}\n{look}"]
    assert subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout == "[]\n"


@pytest_twisted.ensureDeferred
async def test_one_that_is_killed_is_told_and_what_was_answered_is_there(store, lost):
    await store.write(keep, "a")
    process = await store.write(identity)
    waiting = ensureDeferred(store.write(sleep, 30.0))
    os.kill(process, signal.SIGKILL)
    with pytest.raises(Busy, match="not known whether"):
        await waiting
    assert len(lost) == 1
    assert "killed by signal 9" in lost[0]
    with pytest.raises(StoreError, match="has ended"):
        await store.write(keep, "b")
    assert await store.read(kept) == ["a"]


@pytest_twisted.ensureDeferred
async def test_it_listens_to_no_signal_but_to_the_end_of_the_hub(url, tmp_path, lost):
    store = Store(url, reactor, state_dir=tmp_path, apart=True, lost=lost.append)
    store.open()
    process = await store.write(identity)
    os.kill(process, signal.SIGTERM)
    os.kill(process, signal.SIGINT)
    waiting = [ensureDeferred(store.write(keep, f"{n:03}")) for n in range(100)]
    await store.close()
    assert [await one for one in waiting] == [f"{n:03}" for n in range(100)]
    assert lost == []
    with pytest.raises(ProcessLookupError):
        os.kill(process, 0)


LIFE = """
import os, sys
from pathlib import Path
from twisted.internet import reactor
from twisted.internet.defer import ensureDeferred
from msgserver.store.door import Store
from tests.store import test_apart

async def live():
    store = Store(sys.argv[1], reactor, state_dir=Path(sys.argv[2]), apart=True)
    store.open()
    print(await store.write(test_apart.identity), await store.write(test_apart.keep, "a"), flush=True)
    ensureDeferred(store.write(test_apart.sleep, 1.0)).addErrback(print)

ensureDeferred(live()).addErrback(lambda failure: failure.printTraceback())
reactor.run()
"""


def ended(process: str) -> bool:
    """Whether a process runs no more; that nobody asked yet how it ended does not count."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True


def live_and_die(url: str, state_dir: Path) -> str:
    """A hub that is killed while its writer is at a commit; returns the writer's process."""
    command = [sys.executable, "-c", LIFE, url, str(state_dir)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as hub:
        assert hub.stdout is not None
        process, key = hub.stdout.readline().split()
        assert key == "a"
        hub.kill()
    return process


@pytest.mark.slow
@pytest_twisted.ensureDeferred
async def test_when_the_hub_is_killed_it_ends_by_itself_and_the_next_hub_waits_for_that(database, tmp_path):
    process = live_and_die(database.url, tmp_path)
    store = Store(database.url, reactor, state_dir=tmp_path)
    store.open()  # at once, while the other one is at its last commit
    assert store.dialect != "sqlite" or ended(process)
    await store.close()
    wait_until(lambda: ended(process), "the writer ends", 30)
    assert database.rows("SELECT key FROM connector_state") == [("a",)]


# --- how they travel ----------

SETTLEMENT = Settlement(delivery_id=1, attempt=2, state=DeliveryState.SENT, wire_ids=("a", "b"), at=3.5)
REPORT = ReportRow(connector="m", state=DeliveryState.DELIVERED, wire_id="a", at=2.0)


@pytest.mark.parametrize(
    ("unit", "item"),
    [
        (journal, row("a", b"\x00\xff bytes")),
        (journal, msgspec.structs.replace(row("a"), cursor=("place", b"\x00"))),
        (deliveries.settle, SETTLEMENT),
        (deliveries.report, REPORT),
    ],
    ids=["journal", "cursor", "settle", "report"],
)
@pytest.mark.parametrize("joined", [True, False])
def test_hot_units_travel_as_they_are(unit, item, joined):
    argument = item if joined else [item, item]
    number, [job] = errands.read_errand(errands.errand(9, [Job(unit, (argument,), joined, {})])[4:])
    assert number == 9
    assert job.unit is unit
    assert job.args == (argument,)


def test_a_plan_travels_as_it_is(database):
    with database() as tx:
        one = plan(tx, body="ä")
    many = msgspec.structs.replace(one, tags=one.tags, attachments=one.attachments, replies=((1, "x"),), assign=(3,))
    for argument, joined in ((many, True), ([one, many], False)):
        _, [job] = errands.read_errand(errands.errand(1, [Job(recording.record, (argument,), joined, {})])[4:])
        assert job.args == (argument,)


def test_an_errand_that_cannot_be_read_says_so_to_all_its_waiters():
    frame = errands.errand(5, [Job(keep, ("a",), False, {})])[4:]
    number, [job] = errands.read_errand(frame.replace(b"test_apart", b"test_nobody"[:10]))
    assert number == 5
    with pytest.raises(StoreError, match="nothing was written"):
        job.unit(None, *job.args)
