"""Sending mails to Postfix's smtp-sink, the outcome of each durable, against Postfix relaying the same and smtplib.

    python -m bench.relay [--mails 10000] [--rounds 3]

Ours: the deliveries lie in the store; the clock runs from the first claim to the last outcome committed. Postfix: it is
given the same mails by its own smtp-source, ten sessions, and the clock runs until its queue is empty; "queued" has
the mails in its queue before the clock starts. smtplib: threads with kept connections, as many as the hub may have;
nothing is written down. The mail is built once for Postfix and smtplib; the hub composes each.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import smtplib
import socket
import statistics
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

from sqlalchemy import Connection, insert

from bench.hub import Hub
from bench.postfix import Postfix, free_port, smtp_source
from msgserver.records import HUB, Draft
from msgserver.store.connecting import once
from msgserver.store.schema import pe_contact, pe_entity, pe_membership
from msgserver.store.writing import write_draft

CONNECTIONS = 10
_TEXT = "The water point at the school is open from 8 to 17. Bring your own cans.\n" * 12
_MAIL = (
    "From: Bench desk <hub@hub.example>\r\nTo: ana@far.example\r\nSubject: [#1] Water\r\n"
    "Message-ID: <x@hub.example>\r\nDate: Wed, 25 Nov 2026 01:00:00 +0000\r\nMIME-Version: 1.0\r\n"
    "Content-Type: text/plain; charset=us-ascii\r\n\r\n" + _TEXT.replace("\n", "\r\n")
)


@contextlib.contextmanager
def sink() -> Iterator[int]:
    """A running smtp-sink's port."""
    port = free_port()
    user = ["-u", "nobody"] if os.geteuid() == 0 else []
    process = subprocess.Popen(["smtp-sink", "-c", *user, f"inet:127.0.0.1:{port}", "200"], stdout=subprocess.DEVNULL)
    try:
        for _ in range(100):
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                break
            time.sleep(0.05)
        yield port
    finally:
        process.terminate()
        process.wait()


def _people(tx: Connection, count: int) -> int:
    """A group of so many people with an address each."""
    group = tx.execute(
        insert(pe_entity).values(uid="g", kind="group", name="Everybody", created_at=0.0).returning(pe_entity.c.id)
    ).scalar_one()
    rows = [{"uid": f"p{n}", "kind": "person", "name": f"Person {n}", "created_at": 0.0} for n in range(count)]
    ids = list(tx.scalars(insert(pe_entity).returning(pe_entity.c.id), rows))
    contacts = [
        {"entity_id": one, "scheme": "mailto", "address": f"mailto:p{one}@far.example", "created_at": 0.0}
        for one in ids
    ]
    tx.execute(insert(pe_contact), contacts)
    tx.execute(insert(pe_membership), [{"group_id": group, "member_id": one, "at": 0.0} for one in ids])
    return group


def _draft(tx: Connection, group: int, count: int, now: float) -> int:
    draft = Draft(uid="0190a0a0-0000-7000-8000-00000000000a", entities=(group,), subject="Water", text=_TEXT)
    made = write_draft(tx, HUB, draft, {"mailto": "mail"}, now)
    assert made.deliveries == count, made
    return made.deliveries


def prepare(hub: Hub, count: int) -> None:
    """Let so many deliveries wait in the store of a hub that does not run yet."""
    with once(f"sqlite:///{hub.database}", hub.root / "var") as tx:
        _draft(tx, _people(tx, count), count, time.time())


def ours(count: int, port: int) -> float:
    """Mails a second: composed, sent, each outcome committed."""
    hub = Hub(relay_port=port, mail=f"connections = {CONNECTIONS}")
    prepare(hub, count)
    with hub:
        used = -hub.cpu()
        states = "SELECT count(*) FROM msg_delivery_status WHERE state {}"
        begun = time.perf_counter()
        while (done := hub.count(states.format("= 'sent'"))) < count:
            if time.perf_counter() - begun > 300:
                raise RuntimeError(f"{done} of {count} sent\n{hub.log.read_text()[-2000:]}")
            time.sleep(0.05)
        first, last = hub.span("SELECT min(at), max(at) FROM msg_delivery_event WHERE state = 'sent'")
        used += hub.cpu()
    print(f"hub: {used / count * 1e6:.0f} µs of processor time a mail", flush=True)
    return count / (last - first)


def postfix(count: int, port: int, queued: bool) -> float:
    """Mails a second through Postfix's queue to the sink."""
    with Postfix(relay_port=port) as peer:
        if queued:
            peer.hold(True)
            smtp_source(peer.port, count, CONNECTIONS, len(_MAIL))
            begun = time.perf_counter()
            peer.hold(False)
        else:
            begun = time.perf_counter()
            smtp_source(peer.port, count, CONNECTIONS, len(_MAIL))
        while peer.waiting():
            time.sleep(0.02)
        return count / (time.perf_counter() - begun)


def stdlib(count: int, port: int) -> float:
    """Mails a second by smtplib, threads with kept connections."""

    def work(share: int) -> None:
        with smtplib.SMTP("127.0.0.1", port, local_hostname="hub.example") as line:
            for _ in range(share):
                line.sendmail("hub@hub.example", ["ana@far.example"], _MAIL)

    begun, used = time.perf_counter(), -time.process_time()
    with ThreadPoolExecutor(CONNECTIONS) as pool:
        list(pool.map(work, [count // CONNECTIONS] * CONNECTIONS))
    print(f"smtplib: {(used + time.process_time()) / count * 1e6:.0f} µs of processor time a mail", flush=True)
    return count / (time.perf_counter() - begun)


def main() -> None:
    """Print medians and ratios."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--mails", type=int, default=10_000)
    options.add_argument("--rounds", type=int, default=3)
    chosen = options.parse_args()
    kinds = {
        "hub": lambda port: ours(chosen.mails, port),
        "Postfix, received and relayed": lambda port: postfix(chosen.mails, port, queued=False),
        "Postfix, queued before": lambda port: postfix(chosen.mails, port, queued=True),
        "smtplib in threads": lambda port: stdlib(chosen.mails, port),
    }
    rates: dict[str, list[float]] = {kind: [] for kind in kinds}
    with sink() as port:
        for _ in range(chosen.rounds):
            for kind, measure in kinds.items():
                rates[kind].append(measure(port))
    hub = statistics.median(rates["hub"])
    for kind, found in rates.items():
        middle = statistics.median(found)
        print(f"{kind:30} {middle:8.0f} mails/s   hub is {hub / middle:5.2f}x", flush=True)


if __name__ == "__main__":
    main()
