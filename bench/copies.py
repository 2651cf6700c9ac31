"""One mail in, three copies out to Postfix's smtp-sink, against Postfix with an alias of three.

    python -m bench.copies [--mails 4000] [--rounds 3] [--sessions 10]

The clock runs from the first mail in to the last outcome: at the hub every copy is a delivery of its own, settled in
the store; Postfix hands the three recipients on in one transaction, and is done when its queue is empty.
"""

from __future__ import annotations

import argparse
import statistics
import time

from sqlalchemy import Connection

from bench.hub import Hub
from bench.postfix import Postfix, smtp_source
from bench.relay import CONNECTIONS, sink
from msgserver.message import Address
from msgserver.records import HUB, EntityKind, Rule
from msgserver.store import people, rules, subscriptions
from msgserver.store.connecting import once

READERS = ("bo", "cy", "di")


def _subscribe(tx: Connection) -> None:
    rule = Rule(id=0, name="all", position=0, sender="ana@far.example", resource="tag", record="bench")
    rules.create_rule(tx, HUB, rule, 1.0)
    for name in READERS:
        one = people.create_entity(tx, HUB, f"uid-{name}", EntityKind.PERSON, name, 1.0)
        people.add_contact(tx, HUB, one.id, Address("mailto", f"{name}@there.example"), 1.0)
        subscriptions.subscribe(tx, HUB, one.id, "tag", "bench", 1.0)


def ours(count: int, sessions: int, port: int) -> float:
    """Mails in a second, each with its three copies out."""
    hub = Hub(relay_port=port, mail=f"connections = {CONNECTIONS}", extra="[trust]\ncheck = false\n")
    with once(f"sqlite:///{hub.database}", hub.root / "var") as tx:
        _subscribe(tx)
    with hub:
        begun = time.perf_counter()
        smtp_source(hub.port, count, sessions)
        wanted = count * len(READERS)
        while (done := hub.count("SELECT count(*) FROM msg_delivery_status WHERE state = 'sent'")) < wanted:
            if time.perf_counter() - begun > 300:
                raise RuntimeError(f"{done} of {wanted} copies sent\n{hub.log.read_text()[-2000:]}")
            time.sleep(0.05)
        return count / (time.perf_counter() - begun)


def postfix(count: int, sessions: int, port: int) -> float:
    """The same by an alias."""
    alias = f"hub: {', '.join(f'{name}@there.example' for name in READERS)}\n"
    with Postfix(relay_port=port, aliases=alias) as peer:
        begun = time.perf_counter()
        smtp_source(peer.port, count, sessions)
        while peer.waiting():
            time.sleep(0.02)
        return count / (time.perf_counter() - begun)


def main() -> None:
    """Print medians and the ratio."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--mails", type=int, default=4_000)
    options.add_argument("--sessions", type=int, default=10)
    options.add_argument("--rounds", type=int, default=3)
    chosen = options.parse_args()
    mine, theirs = [], []
    with sink() as port:
        for _ in range(chosen.rounds):
            mine.append(ours(chosen.mails, chosen.sessions, port))
            theirs.append(postfix(chosen.mails, chosen.sessions, port))
    hub, peer = statistics.median(mine), statistics.median(theirs)
    print(f"hub {hub:.0f} mails/s in, Postfix {peer:.0f}; {hub / peer:.2f}x", flush=True)


if __name__ == "__main__":
    main()
