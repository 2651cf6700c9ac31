"""What a person routes by hand: tags that bring subscribers their copies, and messages sent on to people.

To route a message to a person, group or organisation writes a delivery for each of them that the outbox sends, and a
tag of the kind ``entity`` that says so (MISSION M8). Groups are taken in slices, so that nobody else waits to write;
the tag comes last: until it is there the act can be repeated and goes on where it broke off. Whatever has not gone
out can be taken back.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
from sqlalchemy import Connection, and_, exists, func, select, update

from msgserver.records import EntityKind, Message, Plan, PlannedTag, Priority, Tag, Viewer
from msgserver.store import audit, bulk, counting, fanout, membership, messages, people
from msgserver.store.bulk import clean
from msgserver.store.edits import Refused
from msgserver.store.messages import ENTITY
from msgserver.store.schema import (
    msg_delivery_status,
    msg_tag,
    pe_contact,
    pe_entity,
    pe_subscription,
    ticket,
)
from msgserver.store.sweeping import take_back
from msgserver.store.upsert import insert_new

SLICE = 1_000  # people written in one transaction


class Way(msgspec.Struct, frozen=True):
    """A message on its way to an entity: whom it reaches, and since when it is routed there."""

    message: Message
    entity_id: int
    uid: str
    why: str
    to: tuple[int, ...]  # everybody it may reach, the entity itself included
    nobody: int  # of these, how many have no address
    back: bool  # something of it was taken back before
    at: float


# --- to people ----------


def way(tx: Connection, actor: Viewer, message_id: int, entity_id: int, now: float) -> Way | None:
    """Whom it reaches to route a message to an entity; None where the actor may not see one of them."""
    found, entity = messages.message(tx, actor, message_id), people.entity(tx, actor, entity_id)
    if found is None or entity is None:
        return None
    inside = [entity_id] if entity.kind is EntityKind.PERSON else _inside(tx, entity_id)
    without = select(func.count()).select_from(pe_entity)
    lone = without.where(
        pe_entity.c.kind == EntityKind.PERSON.value,
        ~exists(select(pe_contact.c.id).where(pe_contact.c.entity_id == pe_entity.c.id).correlate(pe_entity)),
    )
    nobody = sum(
        tx.scalar(lone.where(pe_entity.c.id.in_(inside[start : start + 10_000]))) or 0
        for start in range(0, len(inside), 10_000)
    )
    since = tx.scalar(select(msg_tag.c.created_at).where(_tag_of(message_id, entity.uid)))
    name = "you" if entity.kind is EntityKind.PERSON else entity.name
    back = tx.scalar(select(msg_delivery_status.c.id).where(_taken_back(message_id)).limit(1)) is not None
    return Way(found, entity_id, entity.uid, f"forwarded to {name}", tuple(inside), nobody, back, since or now)


def _inside(tx: Connection, entity_id: int) -> list[int]:
    """The entity, then everybody in it at any depth: a group's own addresses count as well."""
    return [entity_id, *sorted(membership.inside(tx, [entity_id]))]


def _tag_of(message_id: int, uid: str) -> Any:
    return and_(msg_tag.c.message_id == message_id, msg_tag.c.resource == ENTITY, msg_tag.c.record == uid)


_DELIVER = bulk.Statement(
    """
    WITH r AS MATERIALIZED ({rows}),
    lane AS MATERIALIZED ({lanes})
    INSERT INTO msg_delivery_status (message_id, ticket_id, address, entity_id, pe_contact_id, why, connector, state,
      reason, priority, next_attempt, expires, created_at, changed_at)
    SELECT CAST(:message_id AS bigint), CAST(:ticket_id AS bigint), c.address, c.entity_id, c.id, CAST(:why AS text),
      COALESCE(l.connector, ''),
      CASE WHEN x.address IS NOT NULL THEN 'suppressed' WHEN c.bouncing_at IS NOT NULL THEN 'failed'
           WHEN l.connector IS NULL THEN 'held' ELSE 'pending' END,
      CASE WHEN x.address IS NOT NULL THEN 'this address asked for no more messages'
           WHEN c.bouncing_at IS NOT NULL THEN 'messages to this address bounce: ' || c.bounce_words
           WHEN l.connector IS NULL THEN 'no connector sends ' || c.scheme || ':' ELSE '' END,
      CAST(:rank AS integer), CAST(:now AS double precision), CAST(:expires AS double precision),
      CAST(:at AS double precision), CAST(:now AS double precision)
    FROM r JOIN pe_contact c ON c.id =
      (SELECT o.id FROM pe_contact o WHERE o.entity_id = r.id
       ORDER BY o.bouncing_at IS NOT NULL, o.preferred DESC, o.verified_at IS NULL, o.id LIMIT 1)
    LEFT JOIN suppression x ON x.address = c.address
    LEFT JOIN lane l ON l.scheme = c.scheme
    WHERE c.address <> CAST(:sender AS text) AND c.entity_id <> CAST(:writer AS bigint)
    ORDER BY c.id
    ON CONFLICT (message_id, address, step) DO NOTHING
    """,
    rows="id:int",
    lanes=(
        "SELECT value->>0 AS scheme, value->>1 AS connector FROM json_each(:lanes)",
        "SELECT value->>0 AS scheme, value->>1 AS connector FROM json_array_elements(:lanes ::json)",
    ),
)


def deliver(tx: Connection, going: Way, slice_: Sequence[int], now: float) -> int:
    """Write the deliveries to some of those whom a message reaches; again is harmless. Returns how many are new.

    Each is written to at the address they prefer. The message's sender gets nothing; who said STOP or cannot be
    reached gets a row that says so.
    """
    row, before, found = msg_delivery_status.c, _last(tx), going.message
    rank = tx.scalar(select(ticket.c.priority).where(ticket.c.id == found.ticket_id))
    _DELIVER.run(
        tx,
        [(one,) for one in slice_],
        lanes=bulk.encode(list(fanout.lanes(tx).items())),
        message_id=found.id,
        ticket_id=found.ticket_id,
        why=going.why,
        rank=int(Priority.NORMAL) if rank is None else rank,
        at=going.at,
        now=now,
        expires=now + fanout.LIFETIME,
        sender=found.sender,
        writer=found.entity_id or 0,
    )
    fresh = tx.scalar(select(func.count()).where(row.id > before, row.message_id + 0 == found.id)) or 0  # by the ids
    return fresh + (_once_more(tx, found.id, row.entity_id.in_(slice_), going.at, now) if going.back else 0)


def settle(tx: Connection, actor: Viewer, going: Way, now: float) -> Tag:
    """All deliveries are written: tag the message with where it went."""
    words = {"resource": ENTITY, "record": going.uid, "user_id": actor.user_id or None}
    tag = {"message_id": going.message.id, **words, "why": f"by hand: {actor.name}", "created_at": going.at}
    if insert_new(tx, msg_tag, [tag]):
        counting.count_tags(tx, _tag_of(going.message.id, going.uid), +1)
    audit.note(tx, actor, "route", f"message/{going.message.id}", {"entity": going.entity_id}, now)
    found = messages.tags(tx, actor, [going.message.id]).get(going.message.id, [])
    return next(one for one in found if (one.resource, one.record) == (ENTITY, going.uid))


# --- to records ----------


def tag(tx: Connection, actor: Viewer, message_id: int, resource: str, record: str, now: float) -> Tag | None:
    """Tag a message by hand; those who subscribe to it get their copies now. None: it may not be seen.

    Raises:
        Refused: the resource's name is none.
    """
    resource, record = clean(resource), clean(record)
    found = messages.message(tx, actor, message_id)
    if found is None:
        return None
    if resource == ENTITY:
        raise Refused("Nothing was tagged: route the message to a person or group instead.")
    there = select(msg_tag.c.id).where(
        msg_tag.c.message_id == message_id, msg_tag.c.resource == resource, msg_tag.c.record == record
    )
    again = tx.scalar(there) is not None
    made = messages.add_tag(tx, actor, message_id, resource, record, now)
    if again or made is None or found.spam or found.direction != "in":
        return made
    before = _last(tx)
    rank = tx.scalar(select(ticket.c.priority).where(ticket.c.id == found.ticket_id))
    fanout.copy(tx, [(message_id, _plan(found, rank, now, tags=(PlannedTag(resource, record),)))])
    _dated(tx, message_id, before, now, created_at=now)
    _once_more(tx, message_id, msg_delivery_status.c.subscription_id.in_(_subscribed(resource, record)), now, now)
    return made


def untag(tx: Connection, actor: Viewer, tag_id: int, now: float) -> Tag | None:
    """Take a tag off, and back whatever has not gone out because of it; None: there is none the actor may see.

    Copies are taken back only where the tag was set by hand, and where no other tag of the message calls for them.
    """
    message_id = tx.scalar(select(msg_tag.c.message_id).where(msg_tag.c.id == tag_id))
    known = messages.tags(tx, actor, [message_id]).get(message_id, []) if message_id is not None else []
    gone = next((one for one in known if one.id == tag_id), None)
    if gone is None or not messages.remove_tag(tx, actor, tag_id, now):
        return None
    where = "message_id = :message_id AND created_at = :made AND "
    values: dict[str, Any] = {"message_id": gone.message_id, "made": gone.created_at}
    if gone.resource == ENTITY:
        take_back(tx, actor, where + "subscription_id IS NULL", now, **values)
    elif gone.user_id is not None or not gone.rule_id:
        kept = any(one.resource == gone.resource for one in known if one is not gone)
        named = "record = :record" if kept else "record IN ('', :record)"
        where += f"subscription_id IN (SELECT id FROM pe_subscription WHERE resource = :resource AND {named})"  # noqa: S608
        take_back(tx, actor, where, now, resource=gone.resource, record=gone.record, **values)
    return gone


def _subscribed(resource: str, record: str) -> Any:
    row = pe_subscription.c
    return select(row.id).where(row.resource == resource, row.record.in_(["", record]))


# --- how copies are written ----------


def _plan(found: Message, rank: int | None, now: float, **wish: Any) -> Plan:
    """What the fan-out asks of a message: its tags, its routes, how urgent it is."""
    priority = Priority.NORMAL if rank is None else Priority(rank)
    seen: dict[str, Any] = {"connector": found.connector, "sender": None, "received_at": now, "priority": priority}
    return Plan(raw_id=0, uid=found.uid, **seen, **wish)


def _last(tx: Connection) -> int:
    return tx.scalar(select(func.max(msg_delivery_status.c.id))) or 0


def _dated(tx: Connection, message_id: int, before: int, now: float, **values: Any) -> None:
    """Copies written by the fan-out count from when the message came; these count from now."""
    row = msg_delivery_status.c
    fresh = update(msg_delivery_status).where(row.message_id == message_id, row.id > before)
    tx.execute(fresh.values(next_attempt=now, expires=now + fanout.LIFETIME, changed_at=now, **values))


_COPIED = (
    "message_id", "ticket_id", "address", "step", "entity_id", "pe_contact_id", "subscription_id", "why", "connector",
    "priority",
)  # fmt: skip


def _taken_back(message_id: int) -> Any:
    row = msg_delivery_status.c
    return and_(row.message_id == message_id, row.state == "cancelled", row.reason.like("% took it back"))


def _once_more(tx: Connection, message_id: int, which: Any, at: float, now: float) -> int:
    """What was taken back and is wanted after all goes as a new delivery: an ended one never wakes up."""
    row, later = msg_delivery_status.c, msg_delivery_status.alias()
    newer = exists(
        select(later.c.id).where(
            later.c.message_id == row.message_id, later.c.address == row.address, later.c.step > row.step
        )
    )
    back = and_(_taken_back(message_id), which)
    rows = tx.execute(select(*(row[name] for name in _COPIED)).where(back, ~newer)).mappings().all()
    if not rows:
        return 0
    fresh = {"next_attempt": now, "expires": now + fanout.LIFETIME, "created_at": at, "changed_at": now}
    again = [
        dict(one) | fresh | {"step": one["step"] + 1, "state": "pending" if one["connector"] else "held"}
        for one in rows
    ]
    tx.execute(msg_delivery_status.insert(), again)
    return len(again)
