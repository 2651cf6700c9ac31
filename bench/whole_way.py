"""The whole way of a mail, sustained: journal, MIME, ticket, tag, search index, and copies to two subscribers.

    python -m bench.whole_way [--seconds 60] [--unsent]

Postfix receives into its queue and discards, before and after, at the same 50 sessions. Each of the hub's mails matches
a rule; each of its two copies is claimed, handed to the loopback connector and settled, durably. What is not yet read
and not yet sent is looked at while it runs, and the rate counts until the last copy is settled. ``--unsent`` leaves the
copies where they were planned, as with a channel that is not connected.
"""

from __future__ import annotations

import argparse
import statistics
import time

from bench.hub import Hub
from bench.postfix import Postfix, smtp_source
from msgserver.message import Address
from msgserver.records import HUB, EntityKind, Rule
from msgserver.store import people, rules, subscriptions
from msgserver.store.connecting import once

SESSIONS = 50
_LOOP = '[connector.loop]\ntype = "loopback"\n'
_UNSENT = "SELECT count(*) FROM msg_delivery_status WHERE state NOT IN ('sent', 'delivered')"


def prepare(hub: Hub) -> None:
    """A rule that tags what is about a flood, and two people who want to hear of it."""
    with once(f"sqlite:///{hub.database}") as tx:
        rule = Rule(id=0, name="Flood", position=0, words=("flood",), resource="incident")
        rules.create_rule(tx, HUB, rule, 1.0)
        for name in ("bo", "cy"):
            entity = people.create_entity(tx, HUB, name, EntityKind.PERSON, name, 1.0)
            people.add_contact(tx, HUB, entity.id, Address("loop", name), 1.0)
            subscriptions.subscribe(tx, HUB, entity.id, "incident", "", 1.0)


def main() -> None:
    """Print both rates, their ratio, and what was waiting."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--seconds", type=float, default=60.0)
    options.add_argument("--unsent", action="store_true")
    chosen = options.parse_args()
    hub = Hub(extra="" if chosen.unsent else _LOOP)
    prepare(hub)
    with Postfix() as postfix, hub:
        smtp_source(postfix.port, 500, SESSIONS)
        smtp_source(hub.port, 500, SESSIONS, subject="A flood of ticks")
        peer = [smtp_source(postfix.port, 6000, SESSIONS)]
        sent, unread, unsent, begun = 0, [], [], time.perf_counter()
        while time.perf_counter() - begun < chosen.seconds:
            smtp_source(hub.port, 4000, SESSIONS, subject="A flood of ticks")
            sent += 4000
            unread.append(hub.backlog())
            unsent.append(hub.count(_UNSENT))
        while not chosen.unsent and hub.count(_UNSENT):
            time.sleep(0.02)
        hub.drain()
        rate = sent / (time.perf_counter() - begun)
        peer.append(smtp_source(postfix.port, 6000, SESSIONS))
        copies = hub.count("SELECT count(*) FROM msg_delivery_status")
        tagged = hub.count("SELECT count(*) FROM msg_tag")
    theirs = statistics.median(peer)
    print(f"Postfix {theirs:.0f}/s; hub {rate:.0f}/s over {sent / rate:.0f} s; ratio {rate / theirs:.2f}")
    print(
        f"{sent + 500} mails, {tagged} tags, {copies} copies; waiting while it ran: {unread} to read, {unsent} to send"
    )


if __name__ == "__main__":
    main()
