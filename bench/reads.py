"""How long the pages' reads take on a large store: p50 and p99 of inbox, log, search, ticket and counts.

::

    python -m bench.reads [--messages 100000] [--url sqlite:///... | postgresql+psycopg://...] [--rounds 60]

The store is made up: ten messages a ticket, one ticket in twenty still to do, words by Zipf's law, one tag in three
messages, one user who has read four fifths and one with a scope.
"""

from __future__ import annotations

import argparse
import contextlib
import random
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, text

from msgserver.formats.search import index
from msgserver.records import HUB, Grant, Role, Viewer
from msgserver.store import bulk, counting, messages, resources, tickets, users
from msgserver.store.connecting import once
from msgserver.store.schema import msg_log, msg_read_status, msg_tag, ticket, ticket_assignee

NOW = 1_700_000_000.0
SLICE = 5_000
PER_TICKET = 10
TO_DO = 20
WORDS = [f"word{n}" for n in range(20_000)]
WEIGHTS = [1 / (n + 1) for n in range(20_000)]

_MESSAGE = (
    "id", "uid", "direction", "connector", "sender", "recipients", "subject", "body", "received_at", "ticket_id",
    "number",
)  # fmt: skip
_TICKET = (
    "id", "uid", "address", "connector", "subject", "priority", "actioned_at", "messages", "last_message_id", "snippet",
    "created_at", "last_at",
)  # fmt: skip


def fill(tx: Connection, count: int, ana: Viewer, ben: Viewer) -> None:
    """Write ``count`` messages and what belongs to them."""
    chance = random.Random(1)
    bodies = [" ".join(chance.choices(WORDS, WEIGHTS, k=30)) for _ in range(2_000)]
    found = [index("sms:+1555", "", (), "", body) for body in bodies]
    for start in range(0, count, SLICE):
        made = range(start, min(start + SLICE, count))
        ids = list(bulk.take_ids(tx, "msg_log", len(made)))
        rows, words = [], []
        for n, message_id in zip(made, ids, strict=True):
            body = chance.randrange(len(bodies))
            way = "out" if n % 4 == 3 else "in"
            thread = n // PER_TICKET + 1
            rows.append((
                message_id, f"m{n}", way, f"modem{n % 3}", f"sms:+{thread}", "[]", "", bodies[body], NOW + n, thread,
                n % PER_TICKET + 1,
            ))  # fmt: skip
            words.append((message_id, f"{found[body]} unique{n}"))
        bulk.insert_rows(tx, msg_log, _MESSAGE, rows)
        bulk.index(tx, words)
        tags = [(m, "incident", f"r-{m % 50}", NOW) for m in ids if m % 3 == 0]
        bulk.insert_rows(tx, msg_tag, ("message_id", "resource", "record", "created_at"), tags)
        read = [(m, ana.user_id, NOW) for m in ids if m % 5]
        bulk.insert_rows(tx, msg_read_status, ("message_id", "auth_user_id", "read_at"), read)
    threads = range(1, count // PER_TICKET + 1)
    last = {t: t * PER_TICKET for t in threads}
    rows = [
        (t, f"t{t}", f"sms:+{t}", "modem1", f"subject {t}", t % 4, None if t % TO_DO == 0 else NOW, PER_TICKET, last[t],
         "snippet", NOW, NOW + last[t])
        for t in threads
    ]  # fmt: skip
    bulk.take_ids(tx, "ticket", len(rows))
    for start in range(0, len(rows), SLICE):
        bulk.insert_rows(tx, ticket, _TICKET, rows[start : start + SLICE])
    shared = [(t, (ana if t % 3 else ben).user_id, NOW) for t in threads if t % 40 == 0]
    bulk.insert_rows(tx, ticket_assignee, ("ticket_id", "user_id", "at"), shared)
    counting.recount(tx)
    tx.execute(text("ANALYZE"))


def reads(count: int, viewer: Viewer) -> Iterator[tuple[str, Callable[[Connection], Any]]]:
    """What the pages ask, by name."""
    middle = count // PER_TICKET // 2 // TO_DO * TO_DO
    yield "inbox", lambda tx: tickets.inbox(tx, viewer)
    yield (
        "inbox, second page",
        lambda tx: tickets.inbox(tx, viewer, "todo", "", tickets.inbox(tx, viewer, limit=1).next),
    )
    yield "inbox, mine", lambda tx: tickets.inbox(tx, viewer, "mine")
    yield "inbox, all", lambda tx: tickets.inbox(tx, viewer, "all")
    yield "inbox, rare word", lambda tx: tickets.inbox(tx, viewer, "all", f"unique{count // 2}")
    yield "inbox, common word", lambda tx: tickets.inbox(tx, viewer, "all", "word0")
    yield "counts", lambda tx: tickets.counts(tx, viewer)
    yield "log", lambda tx: messages.log(tx, viewer)
    yield "log, unread", lambda tx: messages.log(tx, viewer, "is:unread")
    yield "search, rare word", lambda tx: messages.log(tx, viewer, f"unique{count // 2}")
    yield "search, common word", lambda tx: messages.log(tx, viewer, "word0")
    yield "search, two words", lambda tx: messages.log(tx, viewer, "word1 word150")
    yield "search, word and field", lambda tx: messages.log(tx, viewer, "word3 is:unread connector:modem1")
    yield "search, tag", lambda tx: messages.log(tx, viewer, "resource:incident/r-7")
    yield "ticket", lambda tx: tickets.ticket(tx, viewer, middle)
    yield "conversation", lambda tx: tickets.conversation(tx, viewer, middle)
    yield "record counts", lambda tx: resources.message_counts(tx, viewer, "incident", [f"r-{n}" for n in range(50)])


def main() -> None:
    """Fill a store, time the reads, print them."""
    asked = argparse.ArgumentParser()
    asked.add_argument("--messages", type=int, default=100_000)
    asked.add_argument("--rounds", type=int, default=60)
    asked.add_argument("--url", default="")
    options = asked.parse_args()
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        url = options.url or f"sqlite:///{folder / 'reads.db'}"
        started = time.perf_counter()
        with once(url, folder) as tx:
            everywhere, scoped = (Grant(Role.RESPONDER),), (Grant(Role.RESPONDER, "incident", "r-7"),)
            made = [
                users.create_user(tx, HUB, name, "", grants, NOW)
                for name, grants in (("ana", everywhere), ("ben", everywhere), ("cy", scoped))
            ]
            ana, ben, cy = (Viewer(one.id, one.name, one.grants) for one in made)
            fill(tx, options.messages, ana, ben)
        print(f"{options.messages} messages written in {time.perf_counter() - started:.1f} s\n")
        for who in (ana, cy):
            title = who.name + (" (whole log)" if who is ana else " (one record)")
            print(f"{title:28} {'p50 ms':>8} {'p99 ms':>8} {'CPU ms':>8}")
            with once(url, folder) as tx:
                for name, read in reads(options.messages, who):
                    report(name, *timed(tx, read, options.rounds))


def timed(tx: Connection, read: Callable[[Connection], Any], rounds: int) -> tuple[list[float], list[float]]:
    """Milliseconds by the clock and of this thread's processor, sorted; the first read, which compiles, left out."""
    read(tx)
    wall: list[float] = []
    busy: list[float] = []
    while len(wall) < rounds and sum(wall) < 5_000:
        began, worked = time.perf_counter(), time.thread_time()
        read(tx)
        wall.append((time.perf_counter() - began) * 1000)
        busy.append((time.thread_time() - worked) * 1000)
    return sorted(wall), sorted(busy)


def report(name: str, wall: list[float], busy: list[float]) -> None:
    """Print one line."""
    p99 = wall[int(len(wall) * 0.99)]
    print(f"  {name:26} {statistics.median(wall):8.2f} {p99:8.2f} {statistics.median(busy):8.2f}", flush=True)


if __name__ == "__main__":
    main()
