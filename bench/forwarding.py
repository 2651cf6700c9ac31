"""How long it takes to route a message by hand to a large group, beside a delivery a transaction in the same run.

::

    python -m bench.forwarding [--people 100000] [--url sqlite:///... | postgresql+psycopg://...] [--alone 500]

Told are the time for all, the longest that any other writer had to wait (one slice), and how many times as fast it is
a delivery.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
import uuid
from pathlib import Path

from sqlalchemy import Connection, insert, make_url, text

from msgserver.records import HUB
from msgserver.store import bulk, forwarding
from msgserver.store.connecting import engine as _engine
from msgserver.store.connecting import once
from msgserver.store.schema import (
    connector_status,
    msg_delivery_status,
    msg_log,
    pe_contact,
    pe_entity,
    pe_membership,
)

NOW = 1_700_000_000.0


def fill(tx: Connection, count: int) -> tuple[int, int]:
    """A group of so many, each with a phone number, and a message; returns both ids."""
    ids = list(bulk.take_ids(tx, "pe_entity", count + 1))
    group, people = ids[-1], ids[:-1]
    rows = [(one, str(uuid.UUID(int=one)), "person", f"person {one}", NOW) for one in people]
    rows.append((group, str(uuid.UUID(int=group)), "group", "Everybody", NOW))
    bulk.insert_rows(tx, pe_entity, ("id", "uid", "kind", "name", "created_at"), rows)
    contacts = [(one, "sms", f"sms:+1{one}", NOW) for one in people]
    bulk.insert_rows(tx, pe_contact, ("entity_id", "scheme", "address", "created_at"), contacts)
    bulk.insert_rows(tx, pe_membership, ("group_id", "member_id", "at"), [(group, one, NOW) for one in people])
    tx.execute(insert(connector_status).values(name="modem1", schemes='["sms"]', since=NOW, seen_at=NOW))
    row = {"uid": "m", "direction": "in", "sender": "sms:+99", "body": "water", "received_at": NOW}
    message = tx.execute(insert(msg_log).values(**row).returning(msg_log.c.id)).scalar_one()
    tx.execute(text("ANALYZE"))
    return group, int(message)


def in_slices(tx: Connection, message: int, group: int) -> list[float]:
    """Route it; returns how long each transaction held the others up, in seconds."""
    held = []

    def timed(unit: object, *args: object) -> object:
        begun = time.perf_counter()
        with tx.begin():
            result = unit(tx, *args)  # type: ignore[operator]
        held.append(time.perf_counter() - begun)
        return result

    with tx.begin():
        way = forwarding.way(tx, HUB, message, group, NOW)  # a reader's work: it holds no writer up
    assert way is not None
    for start in range(0, len(way.to), forwarding.SLICE):
        timed(forwarding.deliver, way, way.to[start : start + forwarding.SLICE], NOW)
    timed(forwarding.settle, HUB, way, NOW)
    return held


def alone(tx: Connection, message: int, count: int) -> float:
    """The peer: a delivery a transaction; returns seconds for one."""
    begun = time.perf_counter()
    for number in range(count):
        with tx.begin():
            row = {"message_id": message, "address": f"sms:+7{number}", "connector": "modem1", "state": "pending"}
            tx.execute(insert(msg_delivery_status).values(created_at=NOW, changed_at=NOW, **row))
    return (time.perf_counter() - begun) / count


def main() -> None:
    """Read the options and measure."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--people", type=int, default=100_000)
    options.add_argument("--url", default="")
    options.add_argument("--alone", type=int, default=500)
    chosen = options.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        url = chosen.url or f"sqlite:///{folder}/bench.db"
        with once(url, Path(folder)) as tx:
            group, message = fill(tx, chosen.people)
        engine = _engine(make_url(url), Path(folder), size=1, writing=True)
        with engine.connect() as tx:
            single = alone(tx, message, chosen.alone)
            held = in_slices(tx, message, group)
        engine.dispose()
    whole = sum(held)
    print(f"a message routed to {chosen.people} people in slices of {forwarding.SLICE}: {whole:.2f} s")
    median, most = statistics.median(held) * 1000, max(held) * 1000
    print(f"held the other writers up for {median:.1f} ms (median), {most:.1f} ms (most)")
    times = single * chosen.people / whole
    print(f"a delivery a transaction: {single * 1e3:.2f} ms each; in slices {times:.0f} times as fast")


if __name__ == "__main__":
    main()
