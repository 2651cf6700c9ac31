"""How fast the store is, on the database of your choice: ``python bench/store.py [url] [--seconds 3]``.

Prints rows a second of each hot unit in groups as they form under load, and the ratio to plain SQL with one commit a
row, measured in the same run on the same disk.
"""

from __future__ import annotations

import argparse
import hashlib
import itertools
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
from sqlalchemy import Connection, Engine, make_url, text
from twisted.internet import reactor
from twisted.internet.defer import DeferredList, ensureDeferred

from msgserver.formats.tokens import joined
from msgserver.message import Address, Arrival
from msgserver.records import DeliveryState, Hints, JournalRow, Plan, PlannedTag, Settlement
from msgserver.store import deliveries, migrations
from msgserver.store.connecting import engine as _engine
from msgserver.store.door import Store
from msgserver.store.journal import journal
from msgserver.store.recording import record
from msgserver.store.schema import (
    connector_status,
    msg_delivery_status,
    msg_raw,
    pe_contact,
    pe_entity,
    pe_subscription,
)

NOW = 1_000_000.0
BODY = ("The water rises at the bridge and the road to the village is closed for all but boats. " * 12)[:1000]
WORDS = joined(BODY)
PEOPLE = 500


def rows(numbers: Iterator[int], count: int) -> list[JournalRow]:
    """Arrivals of 1 KiB."""
    made = []
    for n in itertools.islice(numbers, count):
        raw = f"Message-ID: <{n}@bench>\r\n\r\n{BODY}".encode()
        digest = hashlib.sha256(raw).hexdigest()
        sender = Address("mailto", f"p{n % PEOPLE}@x.org")
        envelope = msgspec.json.encode(
            Arrival(wire_id=digest, sender=sender, recipients=(Address("mailto", "hub@y"),),
                    media_type="message/rfc822", facts={"peer": "127.0.0.1", "helo": "bench"})
        )  # fmt: skip
        made.append(
            JournalRow(connector="smtp", wire_id=digest, envelope=envelope, raw=raw, size=len(raw), sha256=digest,
                       received_at=NOW + n)
        )  # fmt: skip
    return made


def plans(numbers: Iterator[int], raw_ids: list[int], window: float = 0.0) -> list[Plan]:
    """What the parser makes of them: one tag with two subscribers, a sender out of many."""
    return [
        Plan(
            raw_id=raw_id, uid=f"00000000-0000-4000-8000-{n:012}", connector="smtp", received_at=NOW + n,
            sender=Address("mailto", f"p{n * 7919 % PEOPLE}@x.org"), sender_name="Ana", subject="Water at the bridge",
            recipients=(Address("mailto", "hub@y"),), body=BODY, wire_message_id=f"{n}@bench",
            tags=(PlannedTag("incident", "flood", 1, None, 'rule "flood": word "water"'),), search=f"n{n} {WORDS}",
            hints=Hints(window=window),
        )
        for n, raw_id in zip(numbers, raw_ids, strict=False)
    ]  # fmt: skip


def prepare(tx: Connection) -> None:
    """People, a subscription each of two, a connector."""
    tx.execute(connector_status.insert().values(name="mail", schemes='["mailto"]', since=0, seen_at=0))
    for n in range(PEOPLE):
        tx.execute(pe_entity.insert().values(id=n + 1, uid=f"e{n}", kind="person", name=f"P{n}", created_at=0))
        tx.execute(pe_contact.insert().values(entity_id=n + 1, scheme="mailto", address=f"p{n}@x", created_at=0))
    for n in (1, 2):
        tx.execute(
            pe_subscription.insert().values(pr_pe_id=n, resource="incident", record="flood", channel="", created_at=0)
        )


def measure(name: str, engine: Engine, size: int, seconds: float, act: Callable[[Connection, int], int]) -> float:
    """Groups of ``size``, a commit each; the making of the input is not counted."""
    done, spent, cpu = 0, 0.0, time.process_time()
    with engine.connect() as tx:
        end = time.perf_counter() + seconds
        while time.perf_counter() < end:
            with tx.begin():
                started = time.perf_counter()
                done += act(tx, size)
                making = made[0]
                made[0] = 0.0
            spent += time.perf_counter() - started - making
    rate = done / spent
    print(f"{name:44} {rate:9,.0f} rows/s   {(time.process_time() - cpu) / done * 1e6:6.1f} us CPU with its making")
    return rate


made = [0.0]


def making(make: Callable[[], list]) -> list:
    """Make the input with the clock stopped."""
    started = time.perf_counter()
    result = make()
    made[0] += time.perf_counter() - started
    return result


def run(url: str, state_dir: Path, seconds: float) -> None:
    """All of it."""
    engine = _engine(make_url(url), state_dir, size=2, writing=True)
    with engine.begin() as tx:
        migrations.upgrade(tx)
        prepare(tx)
    numbers = itertools.count(1)

    def one_row(tx: Connection, _size: int) -> int:
        [row] = making(lambda: rows(numbers, 1))
        tx.execute(
            msg_raw.insert().values(connector=row.connector, wire_id=row.wire_id, envelope=row.envelope.decode(),
                                    raw=row.raw, size=row.size, sha256=row.sha256, received_at=row.received_at)
        )  # fmt: skip
        return 1

    def journalled(tx: Connection, size: int) -> int:
        journal(tx, making(lambda: rows(numbers, size)))
        return size

    def recorded(tx: Connection, size: int) -> int:
        ids = list(tx.execute(text("SELECT id FROM msg_raw WHERE state = 'received' LIMIT :n"), {"n": size}).scalars())
        return len(record(tx, making(lambda: plans(numbers, ids)))) or 1

    def sent(tx: Connection, size: int) -> int:
        claimed = deliveries.claim(tx, "mail", "bench", size, NOW + 10**7)
        ended = [
            Settlement(delivery_id=one.id, attempt=one.attempt, state=DeliveryState.SENT, wire_ids=(f"d{one.id}@y",),
                       at=NOW) for one in claimed
        ]  # fmt: skip
        deliveries.settle(tx, ended)
        return len(claimed) or 1

    single = measure("one row a commit, plain SQL", engine, 1, seconds / 2, one_row)
    for size in (1, 12, 50):
        print(f"  {measure(f'journal, groups of {size}', engine, size, seconds, journalled) / single:.1f}x")
    measure("", engine, 200, seconds, journalled)
    for size in (12, 100):
        print(
            f"  {measure(f'record, index, 2 copies, groups of {size}', engine, size, seconds, recorded) / single:.1f}x"
        )
    with engine.begin() as tx:
        tx.execute(msg_delivery_status.update().values(expires=None, next_attempt=NOW))
    for size in (1, 10, 100):
        print(f"  {measure(f'claim + settle, groups of {size}', engine, size, seconds / 2, sent) / single:.1f}x")
    engine.dispose()


def through_the_door(url: str, state_dir: Path, seconds: float, waiting: int = 50) -> None:
    """Arrivals journalled and recorded through the store's door, ``waiting`` at once, the reactor watched meanwhile."""
    store = Store(url, reactor, state_dir=state_dir)
    store.open()
    numbers = itertools.count(10_000_000)
    done, late = 0, 0.0
    end = time.perf_counter() + seconds

    async def one() -> None:
        nonlocal done
        while time.perf_counter() < end:
            [row] = rows(numbers, 1)
            accepted = await store.batch(journal, row)
            await store.batch(record, plans(numbers, [accepted.raw_id])[0])
            done += 1

    def beat(due: float) -> None:
        nonlocal late
        late = max(late, time.perf_counter() - due)
        if time.perf_counter() < end:
            reactor.callLater(0.01, beat, time.perf_counter() + 0.01)

    def finish(_: object) -> object:
        return ensureDeferred(store.close()).addBoth(lambda _: reactor.stop())

    beat(time.perf_counter())
    DeferredList([ensureDeferred(one()) for _ in range(waiting)]).addBoth(finish)
    started = time.process_time()
    reactor.run()
    cpu = (time.process_time() - started) / max(done, 1) * 1e6
    print(
        f"door: journal + record, {waiting} at once {done / seconds:15,.0f} mails/s {cpu:8.1f} us CPU with its making;"
    )
    print(f"  the reactor was late by {late * 1000:.0f} ms at most")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("url", nargs="?")
    parser.add_argument("--seconds", type=float, default=3.0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as folder:
        url = options.url or f"sqlite:///{folder}/bench.db"
        run(url, Path(folder), options.seconds)
        through_the_door(url, Path(folder), options.seconds)
