"""All that is known of one message: how it came, what it became, where it went, with the far sides' own words."""

from __future__ import annotations

from typing import Any

import msgspec
from sqlalchemy import ColumnElement, Connection, literal_column, select

from msgserver.records import Delivery, DeliveryState, Message, Tag, Viewer
from msgserver.store import messages
from msgserver.store.schema import (
    msg_delivery_event,
    msg_delivery_part,
    msg_delivery_status,
    msg_log,
    msg_raw,
)

MOST = 500  # deliveries told of one message


class Came(msgspec.Struct, frozen=True, kw_only=True):
    """The arrival in the journal."""

    raw_id: int
    connector: str
    wire_id: str
    envelope: str  # what the session knew, JSON
    size: int
    sha256: str
    received_at: float
    read_at: float | None
    state: str
    reason: str


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """One line of a delivery's history."""

    at: float
    attempt: int
    state: str
    words: str
    node: str


class SentPart(msgspec.Struct, frozen=True, kw_only=True):
    """One piece of what went out, by the far side's name for it."""

    part: int
    attempt: int
    wire_id: str
    state: str
    at: float


class Went(msgspec.Struct, frozen=True, kw_only=True):
    """One delivery and all that happened to it."""

    delivery: Delivery
    why: str
    text_hash: str
    events: tuple[Event, ...]
    parts: tuple[SentPart, ...]


class Trace(msgspec.Struct, frozen=True, kw_only=True):
    """One message, from wire to wires. ``repeats`` are the journal's other arrivals that became part of it."""

    message: Message
    came: Came | None
    repeats: tuple[Came, ...]
    tags: tuple[Tag, ...]
    deliveries: tuple[Went, ...]  # the first 500
    decided: tuple[str, ...] = ()  # what the parser decided and why


def trace(tx: Connection, viewer: Viewer, message_id: int) -> Trace | None:
    """Everything known of a message; None where there is none or the viewer may not see it."""
    message = messages.message(tx, viewer, message_id)
    if message is None:
        return None
    came = [
        Came(**row._mapping)
        for row in tx.execute(
            select(
                msg_raw.c.id.label("raw_id"),
                *(msg_raw.c[name] for name in Came.__struct_fields__ if name != "raw_id"),
            )
            .where((msg_raw.c.id == message.raw_id) | _part_of(message_id))
            .order_by(msg_raw.c.id)
        )
    ]
    return Trace(
        message=message,
        came=next((one for one in came if one.raw_id == message.raw_id), None),
        repeats=tuple(one for one in came if one.raw_id != message.raw_id),
        tags=tuple(messages.tags(tx, viewer, [message_id]).get(message_id, ())),
        deliveries=_deliveries(tx, message_id),
        decided=_decided(tx, message_id),
    )


def _decided(tx: Connection, message_id: int) -> tuple[str, ...]:
    said = tx.scalar(select(msg_log.c.decided).where(msg_log.c.id == message_id)) or "[]"
    return msgspec.json.decode(said, type=tuple[str, ...])


def _part_of(message_id: int) -> ColumnElement[bool]:
    return (msg_raw.c.outcome == literal_column("'part'")) & (msg_raw.c.outcome_id == message_id)


def _deliveries(tx: Connection, message_id: int) -> tuple[Went, ...]:
    status, event, part = msg_delivery_status.c, msg_delivery_event.c, msg_delivery_part.c
    rows = tx.execute(
        select(msg_delivery_status).where(status.message_id == message_id).order_by(status.id).limit(MOST)
    ).all()
    ids = [row.id for row in rows]
    events: dict[int, list[Event]] = {}
    for row in tx.execute(select(msg_delivery_event).where(event.delivery_id.in_(ids)).order_by(event.id)):
        one = Event(at=row.at, attempt=row.attempt, state=row.state, words=row.words, node=row.node)
        events.setdefault(row.delivery_id, []).append(one)
    parts: dict[int, list[SentPart]] = {}
    for row in tx.execute(select(msg_delivery_part).where(part.delivery_id.in_(ids)).order_by(part.id)):
        sent = SentPart(part=row.part, attempt=row.attempt, wire_id=row.wire_id, state=row.state, at=row.at)
        parts.setdefault(row.delivery_id, []).append(sent)
    return tuple(
        Went(
            delivery=_delivery(row),
            why=row.why,
            text_hash=row.text_hash,
            events=tuple(events.get(row.id, ())),
            parts=tuple(parts.get(row.id, ())),
        )
        for row in rows
    )


def _delivery(row: Any) -> Delivery:
    fields = {name: row._mapping[name] for name in Delivery.__struct_fields__}
    return Delivery(**(fields | {"state": DeliveryState(row.state)}))
