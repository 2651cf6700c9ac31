"""A text in over HTTP and out through a gateway, durable on the way, against Jasmin end to end.

    python -m bench.gateway_through [--rounds 3] [--texts 6000] [--jasmin VENV] [--redis 6379]

Ours: a gateway brings a text to the webhook; it is journalled, read, logged as a message on its ticket with a tag, its
subscriber's copy is written, claimed, sent through the http connector and settled. Jasmin: ``/send`` is called, the
text goes through RabbitMQ and out over SMPP to a centre that says yes. Both are measured from the first call to the
last text at the far end (ours: to its outcome in the database), with 50 kept connections. ``--jasmin`` names a virtual
environment with Jasmin; see ``bench/jasmin.py``. Without it the ratio is to 650 a second, measured earlier on such a
machine.
"""

from __future__ import annotations

import argparse
import statistics
import time
from pathlib import Path

from bench.gateways import ProbedHub, Sink, source
from bench.jasmin import Jasmin, Smsc
from bench.smtp_wire import wait_for
from msgserver.message import Address
from msgserver.records import HUB, EntityKind, Rule
from msgserver.store import people, rules, subscriptions
from msgserver.store.connecting import once

CONNECTIONS = 50
QUOTED = 650.0


def prepare(hub: ProbedHub) -> None:
    """A rule that tags every text, and one person who wants copies."""
    with once(f"sqlite:///{hub.database}", hub.root / "var") as tx:
        ana = people.create_entity(tx, HUB, "ana", EntityKind.PERSON, "Ana", 1.0)
        people.add_contact(tx, HUB, ana.id, Address("sms", "+15559999999"), 1.0)
        rule = Rule(id=0, name="Water", position=0, words=("water",), resource="incident", record="flood")
        rules.create_rule(tx, HUB, rule, 1.0)
        subscriptions.subscribe(tx, HUB, ana.id, "incident", "flood", 1.0)


def through_hub(texts: int) -> tuple[float, float]:
    """Texts a second from end to end, and the reactor's lag (99 %, ms)."""
    with Sink() as sink:
        hub = ProbedHub(sink, web=True)
        prepare(hub)
        with hub:
            wait_for(hub.web_port)
            source(hub.web_port, 300, CONNECTIONS, "warm")
            _await(hub, 300)
            begun = time.perf_counter()
            source(hub.web_port, texts, CONNECTIONS, "t")
            _await(hub, texts + 300)
            rate = texts / (time.perf_counter() - begun)
            hub.stop()
            return rate, hub.lateness()[1]


def _await(hub: ProbedHub, texts: int) -> None:
    until = time.perf_counter() + 120
    while hub.count("SELECT count(*) FROM msg_delivery_status WHERE state = 'sent'") < texts:
        if time.perf_counter() > until:
            raise RuntimeError(f"it does not end: {hub.log.read_text()[-3000:]}")
        time.sleep(0.05)


def through_jasmin(texts: int, venv: Path, redis: int) -> float:
    """Texts a second from end to end."""
    with Smsc() as smsc, Jasmin(venv, smsc.port, redis) as jasmin:
        source(jasmin.port, 100, CONNECTIONS, "jasmin")
        _reach(smsc, 100)
        begun = time.perf_counter()
        source(jasmin.port, texts, CONNECTIONS, "jasmin")
        _reach(smsc, texts + 100)
        return texts / (time.perf_counter() - begun)


def _reach(smsc: Smsc, texts: int) -> None:
    until = time.perf_counter() + 120
    while smsc.taken() < texts:
        if time.perf_counter() > until:
            raise RuntimeError(f"Jasmin sent {smsc.taken()} of {texts}")
        time.sleep(0.02)


def main() -> None:
    """Print a line a round, and the medians' ratio."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--rounds", type=int, default=3)
    options.add_argument("--texts", type=int, default=6_000)
    options.add_argument("--jasmin", type=Path, help="a virtual environment with Jasmin")
    options.add_argument("--redis", type=int, default=6379, help="the port of its Redis")
    chosen = options.parse_args()
    theirs, ours = [], []
    print(f"{'Jasmin/s':>9} {'hub/s':>7} {'ratio':>6} {'lag p99 ms':>11}")
    for _ in range(chosen.rounds):
        peer = through_jasmin(chosen.texts // 4, chosen.jasmin, chosen.redis) if chosen.jasmin else QUOTED
        rate, lag = through_hub(chosen.texts)
        theirs.append(peer)
        ours.append(rate)
        print(f"{peer:9.0f} {rate:7.0f} {rate / peer:6.2f} {lag:11.1f}", flush=True)
    ratio = statistics.median(ours) / statistics.median(theirs)
    print(f"medians: {ratio:.2f} times {'Jasmin' if chosen.jasmin else 'the quoted 650 a second of Jasmin'}")


if __name__ == "__main__":
    main()
