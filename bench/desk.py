"""A large desk: what its pages ask for, and a message to everybody, at a million messages and 100,000 people.

::

    python -m bench.desk [--messages 100000] [--people 10000] [--subscriptions 1000] [--rounds 100] [--url ...]

With ``--messages 1000000 --people 100000 --subscriptions 10000`` it is the size we promise for. Printed are p50 and p99
of the reads, in the store; and how long it takes to plan the copies of a message for a group of everybody, how long
another writer had to wait meanwhile at most, and the ratio to a row a transaction, measured in the same run.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, make_url, text
from twisted.internet import reactor
from twisted.internet.defer import Deferred, ensureDeferred
from twisted.internet.task import deferLater

from bench.reads import NOW, fill, timed
from msgserver.records import HUB, Grant, Plan, Role, Viewer
from msgserver.routing.bus import Bus
from msgserver.routing.spreading import Spreader
from msgserver.store import bulk, counting, messages, resources, spreading, tagged, tickets, users
from msgserver.store.connecting import engine as _engine
from msgserver.store.connecting import once
from msgserver.store.door import Store
from msgserver.store.recording import record
from msgserver.store.schema import (
    connector_status,
    job,
    msg_delivery_status,
    pe_contact,
    pe_entity,
    pe_membership,
    pe_subscription,
    resource_record,
)

SLICE = 5_000
GROUP = 1  # the entity that everybody is in


def people(tx: Connection, count: int, subscriptions: int) -> None:
    """Persons with a phone number, all in one group; some subscribe to one record of fifty."""
    tx.execute(connector_status.insert().values(name="modem", schemes='["sms"]', since=0, seen_at=0))
    tx.execute(pe_entity.insert().values(id=GROUP, uid="all", kind="group", name="Everybody", created_at=0))
    for start in range(2, count + 2, SLICE):
        ids = range(start, min(start + SLICE, count + 2))
        rows = [(n, f"p{n}", "person", f"Person {n}", f"person {n}", 0.0) for n in ids]
        bulk.insert_rows(tx, pe_entity, ("id", "uid", "kind", "name", "name_folded", "created_at"), rows)
        numbers = [(n, "sms", f"sms:+1777{n:08}", 0.0) for n in ids]
        bulk.insert_rows(tx, pe_contact, ("entity_id", "scheme", "address", "created_at"), numbers)
        bulk.insert_rows(tx, pe_membership, ("group_id", "member_id", "at"), [(GROUP, n, 0.0) for n in ids])
    wishes = [(n + 2, "incident", f"r-{n % 50}", 0.0) for n in range(subscriptions)]
    bulk.insert_rows(tx, pe_subscription, ("pr_pe_id", "resource", "record", "created_at"), wishes)
    records = [(f"r-{n}", "incident", f"Incident {n}", f"incident {n}", 0.0, 0.0) for n in range(50)]
    columns = ("uid", "resource", "name", "name_folded", "created_at", "changed_at")
    bulk.insert_rows(tx, resource_record, columns, records)
    tx.execute(text("ANALYZE"))


def reads(count: int, viewer: Viewer) -> Iterator[tuple[str, Callable[[Connection], Any]]]:
    """What the desk's pages ask, by name."""
    uids = [f"r-{n}" for n in range(50)]

    def record_page(tx: Connection) -> None:
        resources.record(tx, viewer, "r-7")
        found = tagged.of_record(tx, viewer, "incident", "r-7").items
        messages.tags(tx, viewer, [one.id for one in found])
        resources.message_counts(tx, viewer, "incident", ["r-7"])

    yield "inbox", lambda tx: tickets.inbox(tx, viewer)
    yield "record page", record_page
    yield "search, common word", lambda tx: messages.log(tx, viewer, "word0")
    yield "search, rare word", lambda tx: messages.log(tx, viewer, f"unique{count // 2}")
    yield "search, two words", lambda tx: messages.log(tx, viewer, "word1 word150")
    yield "unread(read), inbox", lambda tx: tickets.counts(tx, viewer)
    yield "unread(read), 50 records", lambda tx: resources.message_counts(tx, viewer, "incident", uids)
    yield "unread(read), type", lambda tx: counting.of_types(tx, viewer, ["incident"])
    yield "unread(read), rare search", lambda tx: counting.of_search(tx, viewer, f"unique{count // 2}")
    yield "unread(read), wide search", lambda tx: counting.of_search(tx, viewer, "word3")


def told(name: str, wall: list[float], busy: list[float]) -> None:
    """Print one line: milliseconds by the clock, and of the processor: what a machine with nothing else to do takes."""
    figures = [one[int(len(one) * place)] for one in (wall, busy) for place in (0.5, 0.99)]
    print(f"  {name:26} " + " ".join(f"{figure:8.2f}" for figure in figures), flush=True)


def planned(number: int) -> Plan:
    """A message that goes to everybody."""
    uid = f"00000000-0000-4000-9000-{number:012}"
    return Plan(raw_id=0, uid=uid, connector="modem", received_at=NOW, sender=None, body="Go up.", routes=(GROUP,))


def row_by_row(url: str, folder: Path, rows: int) -> float:
    """Rows a second with a transaction each, on the same table: the peer."""
    engine = _engine(make_url(url), folder, size=1, writing=True)
    with engine.begin() as tx:
        [recorded] = record(tx, [msgless(1)])
    started = time.perf_counter()
    for n in range(rows):
        with engine.begin() as tx:
            tx.execute(
                msg_delivery_status.insert().values(
                    message_id=recorded.message_id, ticket_id=recorded.ticket_id, address=f"sms:+1999{n}",
                    entity_id=n, connector="modem", next_attempt=NOW, expires=NOW, created_at=NOW, changed_at=NOW,
                )
            )  # fmt: skip
    spent = time.perf_counter() - started
    engine.dispose()
    return rows / spent


def msgless(number: int) -> Plan:
    """A message that goes to nobody."""
    uid = f"00000000-0000-4000-9100-{number:012}"
    return Plan(raw_id=0, uid=uid, connector="modem", received_at=NOW, sender=None, body="Nothing.")


def nothing(tx: Connection, number: int) -> None:
    """What the other writer writes."""
    tx.execute(job.insert().values(kind="bench", state="done", work=str(number), run_at=NOW))


async def to_everybody(url: str, folder: Path, rounds: int) -> tuple[list[float], list[float]]:
    """Seconds from the record to the last copy, each round; and how long another writer waited, each time."""
    store = Store(url, reactor, state_dir=folder, most_copies=10**9)
    store.open()
    spreader = Spreader(store, Bus(), "bench", 10**9, reactor)
    took, waits, running = [], [], True
    ended: Deferred[None] = Deferred()

    async def other() -> None:
        number = 0
        while running:
            began = time.perf_counter()
            await store.write(nothing, number)
            waits.append(time.perf_counter() - began)
            number += 1
            await deferLater(reactor, 0.002)
        ended.callback(None)

    ensureDeferred(other())
    spreader.start()
    for number in range(rounds):
        began = time.perf_counter()
        await store.write(record, [planned(number + 1)])
        spreader._rung("delivery", ("*",))
        while await store.read(spreading.waiting):
            await deferLater(reactor, 0.005)
        took.append(time.perf_counter() - began)
    running = False
    await ended
    await spreader.stop()
    await store.close()
    return took, waits


def plan_to_everybody(url: str, folder: Path, count: int, rounds: int) -> None:
    """Print the figures of a message to everybody."""
    single = row_by_row(url, folder, 300)
    result: list[tuple[list[float], list[float]]] = []
    busy = time.process_time()

    def finish(found: Any) -> None:
        result.append(found)
        reactor.stop()

    def begin() -> None:
        ensureDeferred(to_everybody(url, folder, rounds)).addBoth(finish)

    reactor.callWhenRunning(begin)
    reactor.run()
    if not isinstance(result[0], tuple):
        result[0].raiseException()
    took, waits = result[0]
    best, waits = min(took), sorted(waits)
    cpu = (time.process_time() - busy) / rounds
    print(f"\na message to a group of {count}: copies planned in {best:.2f} s (best of {rounds}; {cpu:.2f} s of CPU)")
    print(f"  {count / best:,.0f} rows/s; a row a transaction: {single:,.0f} rows/s; {count / best / single:.0f}x")
    print(
        f"  another writer's commit waited {waits[-1] * 1000:.0f} ms at most, p99"
        f" {waits[int(len(waits) * 0.99)] * 1000:.0f} ms, p50 {waits[len(waits) // 2] * 1000:.1f} ms"
    )


def main() -> None:
    """Fill a store, time the reads and the planning, print them."""
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--messages", type=int, default=100_000)
    asked.add_argument("--people", type=int, default=10_000)
    asked.add_argument("--subscriptions", type=int, default=1_000)
    asked.add_argument("--rounds", type=int, default=100)
    asked.add_argument("--url", default="")
    options = asked.parse_args()
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=Path.cwd())))
        url = options.url or f"sqlite:///{folder / 'desk.db'}"
        started = time.perf_counter()
        with once(url, folder) as tx:
            made = [users.create_user(tx, HUB, name, "", (Grant(Role.RESPONDER),), NOW) for name in ("ana", "ben")]
            ana, ben = (Viewer(one.id, one.name, one.grants) for one in made)
            fill(tx, options.messages, ana, ben)
            people(tx, options.people, options.subscriptions)
        size = f"{options.messages} messages, {options.people} people, {options.subscriptions} subscriptions"
        print(f"{size}, written in {time.perf_counter() - started:.0f} s; load {os.getloadavg()[0]:.1f}\n")
        print(f"{'':28} {'p50 ms':>8} {'p99 ms':>8} {'CPU p50':>8} {'CPU p99':>8}")
        with once(url, folder) as tx:
            for name, read in reads(options.messages, ana):
                told(name, *timed(tx, read, options.rounds))
        plan_to_everybody(url, folder, options.people, 3)


if __name__ == "__main__":
    main()
