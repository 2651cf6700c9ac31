"""Digests: what waits for an address becomes one message to it, in one transaction: never twice, and never lost.

A subscription with a digest makes its copies ``held``. When the hour has come where the receiver lives, all that was
held for an address until then is written together as a message of the hub's own, with a delivery; the copies are
``sent`` then, and say with which message. What was stopped or unsubscribed meanwhile is not in it.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy import Connection, and_, func, select

from msgserver.formats.rendering import Item, digest
from msgserver.formats.search import index
from msgserver.formats.zones import zone
from msgserver.store import bulk, fanout
from msgserver.store.recording import take_turn
from msgserver.store.schema import (
    msg_delivery_event,
    msg_delivery_status,
    msg_log,
    msg_tag,
    pe_entity,
    pe_subscription,
    suppression,
)

CAUSE = "digest"  # of the message
TAG = "digest"  # what it is tagged with: whoever does not see the whole log sees no digests
MOST_ITEMS = 100  # messages told one by one
STEP = 50  # receivers of one transaction
_held = msg_delivery_status.c.state == "held"


class Waiting(msgspec.Struct, frozen=True):
    """What waits for a digest in a time zone, and since when."""

    digest: str
    timezone: str
    since: float


def waiting(tx: Connection) -> list[Waiting]:
    """Everything that waits, by kind and time zone."""
    row = msg_delivery_status.c
    place = func.coalesce(pe_entity.c.timezone, "")
    rows = (
        select(row.waits_for, place, func.min(row.created_at))
        .select_from(msg_delivery_status.outerjoin(pe_entity, pe_entity.c.id == row.entity_id))
        .where(_held, row.waits_for.in_(["hourly", "daily"]))
        .group_by(row.waits_for, place)
        .order_by(row.waits_for, place)
    )
    return [Waiting(*found) for found in tx.execute(rows)]


def make(tx: Connection, kind: str, timezone: str, until: float, hub: str, uids: Sequence[str], now: float) -> int:
    """Write the digests of some receivers in a time zone, of what waited before ``until``; returns of how many.

    ``uids``: names for the new messages, one for each receiver; there is more to do while all are used.
    """
    take_turn(tx)
    row = msg_delivery_status.c
    place = func.coalesce(pe_entity.c.timezone, "")
    due = (
        select(row.address)
        .select_from(msg_delivery_status.outerjoin(pe_entity, pe_entity.c.id == row.entity_id))
        .where(_held, row.waits_for == kind, row.created_at < until, place == timezone)
        .distinct()
        .order_by(row.address)
        .limit(len(uids))
    )
    addresses = list(tx.scalars(due))
    if not addresses:
        return 0
    found = _copies(tx, kind, until, addresses)
    stopped = set(tx.scalars(select(suppression.c.address).where(suppression.c.address.in_(addresses))))
    lanes = fanout.lanes(tx)
    for address, uid in zip(addresses, uids, strict=False):
        copies = found[address]
        if address in stopped:
            _settle(tx, copies, "suppressed", "this address asked for no more messages", now)
            continue
        ended = [one for one in copies if one.ended]
        _settle(tx, ended, "cancelled", "the subscription was ended before the digest was made", now)
        kept = [one for one in copies if not one.ended]
        if kept:
            number = _write(tx, kept, address, kind, timezone, hub, uid, lanes, now)
            _settle(tx, kept, "sent", f"with the {kind} digest, message {number}", now)
    return len(addresses)


def _copies(tx: Connection, kind: str, until: float, addresses: Sequence[str]) -> dict[str, list[Any]]:
    """What waits for each address, oldest first. On PostgreSQL the rows are taken, so that nobody else takes them."""
    row, log = msg_delivery_status.c, msg_log.c
    rows = (
        select(
            row.id, row.attempt, row.address, row.entity_id, row.pe_contact_id, row.subscription_id, row.why,
            log.ticket_id, log.sender, log.sender_name, log.connector, log.subject, log.received_at,
            func.substr(log.body, 1, 2000).label("body"),
            and_(row.subscription_id.is_not(None), pe_subscription.c.id.is_(None)).label("ended"),
        )
        .select_from(msg_delivery_status.join(msg_log, log.id == row.message_id))
        .outerjoin(pe_subscription, pe_subscription.c.id == row.subscription_id)
        .where(_held, row.waits_for == kind, row.created_at < until, row.address.in_(addresses))
        .order_by(row.message_id)
        .with_for_update(of=msg_delivery_status)
    )  # fmt: skip
    found: dict[str, list[Any]] = {address: [] for address in addresses}
    for one in tx.execute(rows):
        found[one.address].append(one)
    return found


def _write(
    tx: Connection,
    copies: Sequence[Any],
    address: str,
    kind: str,
    timezone: str,
    hub: str,
    uid: str,
    lanes: dict[str, str],
    now: float,
) -> int:
    """One digest with its delivery; returns its id."""
    scheme = address.partition(":")[0]
    said = digest(
        [_item(one, timezone) for one in copies[:MOST_ITEMS]], max(0, len(copies) - MOST_ITEMS), hub, scheme == "sms"
    )
    [number] = bulk.take_ids(tx, "msg_log", 1)
    subject, body = bulk.clean(said.subject), bulk.clean(said.text)
    connector = lanes.get(scheme, "")
    message = {
        "id": number, "uid": uid, "direction": "out", "connector": connector, "recipients": bulk.encode([address]),
        "subject": subject, "body": body, "received_at": now, "cause": CAUSE, "automatic": True,
    }  # fmt: skip
    words = index("", "", [address], subject, body)
    bulk.insert_indexed(tx, msg_log, tuple(message), [tuple(message.values())], [words])
    tag = {"message_id": number, "resource": TAG, "record": kind, "why": f"the {kind} digest", "created_at": now}
    bulk.insert_rows(tx, msg_tag, tuple(tag), [tuple(tag.values())])
    first = copies[0]
    one = {
        "message_id": number, "address": address, "entity_id": first.entity_id, "pe_contact_id": first.pe_contact_id,
        "subscription_id": first.subscription_id, "why": f"your {kind} digest", "connector": connector,
        "state": "pending" if connector else "held", "reason": "" if connector else f"no connector sends {scheme}:",
        "next_attempt": now, "expires": now + fanout.LIFETIME, "created_at": now, "changed_at": now,
    }  # fmt: skip
    bulk.insert_rows(tx, msg_delivery_status, tuple(one), [tuple(one.values())])
    return number


def _item(one: Any, timezone: str) -> Item:
    when = datetime.fromtimestamp(one.received_at, zone(timezone))
    return Item(
        ticket=one.ticket_id,
        who=one.sender_name or one.sender.partition(":")[2],
        subject=one.subject,
        text=one.body,
        when=when.strftime("%d.%m. %H:%M"),
        channel=one.connector,
        why=one.why,
    )


_SETTLED = bulk.Statement(
    """
    WITH r AS MATERIALIZED ({rows})
    UPDATE msg_delivery_status SET state = CAST(:state AS text), waits_for = '', reason = CAST(:words AS text),
      next_attempt = NULL, changed_at = CAST(:now AS double precision)
    FROM r WHERE msg_delivery_status.id = r.id
    """,
    rows="id:int",
)


def _settle(tx: Connection, copies: Sequence[Any], state: str, words: str, now: float) -> None:
    if not copies:
        return
    _SETTLED.run(tx, [(one.id,) for one in copies], state=state, words=words, now=now)
    events = [(one.id, now, one.attempt, state, words) for one in copies]
    bulk.insert_rows(tx, msg_delivery_event, ("delivery_id", "at", "attempt", "state", "words"), events)
