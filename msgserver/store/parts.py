"""Pieces of longer messages: which wait for others, and which message each became part of.

A piece has a row here once it was read. It waits while ``message_id`` is NULL; a message that was shown with pieces
missing is completed by those that come late.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from sqlalchemy import Connection, func, select, update

from msgserver.message import Part
from msgserver.records import Outcome, Plan, Raw
from msgserver.store import bulk, fanout, journal
from msgserver.store.recording import snippet, write_tags
from msgserver.store.schema import msg_log, msg_part, msg_raw, msg_tag, ticket


class Piece(msgspec.Struct, frozen=True):
    """One piece that was read; ``message_id`` is None while it waits for others."""

    raw: Raw  # without its bytes
    place: int
    total: int
    at: float  # when it was read
    message_id: int | None


class Group(msgspec.Struct, frozen=True):
    """What the pieces of one message have in common. A number is used again for later messages."""

    connector: str
    sender: str  # the address's URI, or ""
    reference: str
    total: int


def keep(tx: Connection, raw_id: int, group: Group, place: int, message_id: int | None, at: float) -> None:
    """A piece was read: it waits for others, or belongs to a message that is there already."""
    row = (raw_id, group.connector, bulk.clean(group.sender), bulk.clean(group.reference), group.total, place, at)
    bulk.insert_rows(tx, msg_part, (*_COLUMNS, "message_id"), [(*row, message_id)], skip_existing=True)
    journal.mark(tx, raw_id, Outcome.PART, message_id, at)


_COLUMNS = ("raw_id", "connector", "sender", "reference", "total", "place", "at")


def find(tx: Connection, group: Group, since: float) -> list[Piece]:
    """The pieces of a group that wait, or were read since, in order of their coming."""
    row = msg_part.c
    query = (
        select(row.raw_id, row.place, row.at, row.message_id, msg_raw.c.wire_id, msg_raw.c.envelope)
        .add_columns(msg_raw.c.received_at)
        .join(msg_raw, msg_raw.c.id == row.raw_id)
        .where(
            row.connector == group.connector,
            row.sender == bulk.clean(group.sender),
            row.reference == bulk.clean(group.reference),
            row.total == group.total,
            row.message_id.is_(None) | (row.at >= since),
        )
        .order_by(row.raw_id)
    )
    return [
        Piece(
            raw=Raw(
                id=found.raw_id,
                connector=group.connector,
                wire_id=found.wire_id,
                envelope=found.envelope.encode(),
                raw=b"",
                blob="",
                received_at=found.received_at,
            ),
            place=found.place,
            total=group.total,
            at=found.at,
            message_id=found.message_id,
        )
        for found in tx.execute(query)
    ]


def belongs(tx: Connection, raw_id: int) -> bool:
    """Whether a piece was read before and is part of a message."""
    return tx.scalar(select(msg_part.c.message_id).where(msg_part.c.raw_id == raw_id)) is not None


def overdue(tx: Connection, before: float, limit: int = 100) -> list[Group]:
    """The groups whose newest waiting piece came before a time."""
    row = msg_part.c
    query = (
        select(row.connector, row.sender, row.reference, row.total)
        .where(row.message_id.is_(None))
        .group_by(row.connector, row.sender, row.reference, row.total)
        .having(func.max(row.at) < before)
        .order_by(func.min(row.raw_id))
        .limit(limit)
    )
    return [Group(*found) for found in tx.execute(query)]


def free(tx: Connection, raw_ids: Sequence[int]) -> bool:
    """Whether none of these pieces is part of a message; they stay so until the transaction ends."""
    query = select(msg_part.c.message_id).where(msg_part.c.raw_id.in_(raw_ids)).order_by(msg_part.c.raw_id)
    return all(message_id is None for message_id in tx.scalars(query.with_for_update()))


def keep_last(tx: Connection, raw_id: int, group: Group, place: int, message_id: int, at: float) -> None:
    """The piece that a message was recorded under belongs to it."""
    row = (raw_id, group.connector, bulk.clean(group.sender), bulk.clean(group.reference), group.total, place, at)
    bulk.insert_rows(tx, msg_part, (*_COLUMNS, "message_id"), [(*row, message_id)], skip_existing=True)
    tx.execute(update(msg_part).where(msg_part.c.raw_id == raw_id).values(message_id=message_id))


def settle(tx: Connection, raw_ids: Sequence[int], message_id: int, at: float) -> None:
    """Waiting pieces became part of a message."""
    tx.execute(update(msg_part).where(msg_part.c.raw_id.in_(raw_ids)).values(message_id=message_id))
    for raw_id in raw_ids:
        journal.mark(tx, raw_id, Outcome.PART, message_id, at)


def complete(tx: Connection, message_id: int, before: Plan, after: Plan) -> int | None:
    """Put the words into a message that was shown without them; returns its ticket, None where it is gone.

    Args:
        before: the plan as it was written, for the search index.
        after: the same with the words that came late. Tags that these give are added, and copies for them made.
    """
    row = tx.execute(select(msg_log.c.ticket_id, msg_log.c.number).where(msg_log.c.id == message_id)).one_or_none()
    if row is None:
        return None
    body = bulk.clean(after.body)
    changes = {"body": body, "trouble": bulk.encode(after.trouble)}
    tx.execute(update(msg_log).where(msg_log.c.id == message_id).values(changes))
    bulk.index_again(tx, message_id, before.search, after.search)
    shown = update(ticket).where(ticket.c.id == row.ticket_id, ticket.c.last_message_id == message_id)
    tx.execute(shown.values(snippet=snippet(body)))
    known = {tuple(tag) for tag in tx.execute(
        select(msg_tag.c.resource, msg_tag.c.record).where(msg_tag.c.message_id == message_id)
    )}  # fmt: skip
    fresh = tuple(tag for tag in after.tags if (tag.resource, tag.record) not in known)
    plan = msgspec.structs.replace(after, tags=fresh)
    write_tags(tx, [plan], [message_id])
    if plan.forward and not plan.spam:
        fanout.copy(tx, [(message_id, plan)])
    ticket_id: int = row.ticket_id
    return ticket_id


def group_of(connector: str, sender: str, part: Part) -> Group:
    """The group that a part says it belongs to."""
    return Group(connector, sender, part.reference, part.total)
