"""Which messages belong together, by hand: merge tickets, split one, move messages from one to another.

Numbers go on where they are moved to ("42.3" names one message for as long as it stays); what hangs on a message
goes with it. The emptied ticket stays as a pointer to where its messages went.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sqlalchemy import Connection, bindparam, func, insert, literal, select, update

from msgserver.records import Ticket, Viewer
from msgserver.store import audit, messages, tickets
from msgserver.store.edits import Refused, Stale
from msgserver.store.recording import snippet
from msgserver.store.schema import msg_delivery_status, msg_log, ticket, ticket_assignee, ticket_note
from msgserver.store.upsert import inserting

MOST = 10_000  # messages moved at once


def merge(
    tx: Connection, actor: Viewer, ticket_id: int, into_id: int, now: float, expected_version: int | None = None
) -> Ticket | None:
    """Put everything on one ticket onto another, which is returned; the first then leads to it.

    The urgent one's priority stays, and it is done only if both were. None where the actor may not see both.

    Raises:
        Stale: the first is not at ``expected_version`` any more.
        Refused: they are one already, or there is too much to move at once.
    """
    source, target = tickets.ticket(tx, actor, ticket_id), tickets.ticket(tx, actor, into_id)
    if source is None or target is None:
        return None
    if source.id == target.id:
        raise Refused(f"Nothing was merged: #{ticket_id} and #{into_id} are one ticket already.")
    _at_version(tx, actor, source, expected_version)
    ids = list(tx.scalars(select(msg_log.c.id).where(msg_log.c.ticket_id == source.id)))
    if len(messages.visible_ids(tx, actor, ids)) < len(ids):
        raise Refused(f"Nothing was merged: there are messages on #{source.id} that you may not see.")
    _carry(tx, ids, target.id)
    tx.execute(update(ticket_note).where(ticket_note.c.ticket_id == source.id).values(ticket_id=target.id))
    row = ticket_assignee.c
    people = select(literal(target.id), row.user_id, row.by_id, row.at).where(row.ticket_id == source.id)
    copied = inserting(tx, ticket_assignee).from_select(["ticket_id", "user_id", "by_id", "at"], people)
    tx.execute(copied.on_conflict_do_nothing())
    both_done = source.actioned_at is not None and target.actioned_at is not None
    values: dict[str, Any] = {"priority": max(source.priority, target.priority)}
    if not both_done:
        values |= {"actioned_at": None, "actioned_by": None}
    tx.execute(update(ticket).where(ticket.c.id == target.id).values(**values))
    pointing = (ticket.c.id == source.id) | (ticket.c.merged_into == source.id)
    tx.execute(update(ticket).where(pointing).values(merged_into=target.id))
    _refresh(tx, source.id)
    _refresh(tx, target.id)
    audit.note(tx, actor, "merge", f"ticket/{target.id}", {"from": source.id}, now)
    return tickets.ticket(tx, actor, target.id)


def split(
    tx: Connection, actor: Viewer, ticket_id: int, message_ids: Iterable[int], uid: str, now: float
) -> Ticket | None:
    """Give some messages of a ticket a new one of their own, which is returned; ``uid`` is its outside name.

    Raises:
        Refused: none of them, or all of them, are on the ticket.
    """
    source = tickets.ticket(tx, actor, ticket_id)
    if source is None:
        return None
    ids = _of_ticket(tx, actor, source.id, message_ids)
    rest = tx.scalar(select(func.count()).where(msg_log.c.ticket_id == source.id, msg_log.c.id.not_in(ids)))
    if not rest:
        raise Refused(f"Nothing was split: all of #{source.id} would go. Leave at least one message on it.")
    asked = select(msg_log).where(msg_log.c.id.in_(ids)).order_by(msg_log.c.direction, msg_log.c.id).limit(1)
    first = tx.execute(asked).one()
    inbound = first.direction == "in"
    row = {
        "uid": uid,
        "entity_id": first.entity_id if inbound else source.entity_id,
        "address": first.sender if inbound else source.address,
        "connector": first.connector or source.connector,
        "subject": first.subject or snippet(first.body)[:80] or source.subject,
        "priority": int(source.priority),
        "created_at": now,
        "last_at": now,
    }
    made = tx.execute(insert(ticket).values(**row).returning(ticket.c.id)).scalar_one()
    people = [{"ticket_id": made, "user_id": user, "by_id": actor.user_id, "at": now} for user, _ in source.assignees]
    if people:
        tx.execute(insert(ticket_assignee), people)
    _carry(tx, ids, made)
    _refresh(tx, source.id)
    _refresh(tx, made)
    audit.note(tx, actor, "split", f"ticket/{source.id}", {"to": made, "messages": ids}, now)
    return tickets.ticket(tx, actor, made)


def move(
    tx: Connection, actor: Viewer, ticket_id: int, message_ids: Iterable[int], into_id: int, now: float
) -> Ticket | None:
    """Move some messages of a ticket to another, which is returned.

    Raises:
        Refused: none of them is on the ticket, or all are: then merge.
    """
    source, target = tickets.ticket(tx, actor, ticket_id), tickets.ticket(tx, actor, into_id)
    if source is None or target is None:
        return None
    if source.id == target.id:
        raise Refused(f"Nothing was moved: it is on #{target.id} already.")
    ids = _of_ticket(tx, actor, source.id, message_ids)
    rest = tx.scalar(select(func.count()).where(msg_log.c.ticket_id == source.id, msg_log.c.id.not_in(ids)))
    if not rest:
        raise Refused(f"Nothing was moved: nothing would be left on #{source.id}. Merge it into #{target.id} instead.")
    _carry(tx, ids, target.id)
    _refresh(tx, source.id)
    _refresh(tx, target.id)
    audit.note(tx, actor, "move", f"ticket/{source.id}", {"to": target.id, "messages": ids}, now)
    return tickets.ticket(tx, actor, target.id)


def _at_version(tx: Connection, actor: Viewer, source: Ticket, expected: int | None) -> None:
    if expected is not None and source.version != expected:
        raise Stale(tickets.ticket(tx, actor, source.id))


def _of_ticket(tx: Connection, actor: Viewer, ticket_id: int, message_ids: Iterable[int]) -> list[int]:
    seen = messages.visible_ids(tx, actor, message_ids)
    ids = list(tx.scalars(select(msg_log.c.id).where(msg_log.c.ticket_id == ticket_id, msg_log.c.id.in_(seen))))
    if not ids:
        raise Refused(f"Nothing was moved: choose messages of #{ticket_id}.")
    return sorted(ids)


def _carry(tx: Connection, ids: list[int], into_id: int) -> None:
    """Bring messages and their deliveries to a ticket, numbered on in their order."""
    if len(ids) > MOST:
        raise Refused(f"Nothing was moved: {len(ids)} messages are more than can be moved at once ({MOST}).")
    held = select(ticket.c.messages).where(ticket.c.id == into_id).with_for_update()
    last = tx.scalar(held) or 0
    order = tx.scalars(
        select(msg_log.c.id).where(msg_log.c.id.in_(ids)).order_by(msg_log.c.ticket_id, msg_log.c.number)
    )
    rows = [{"this": one, "place": place} for place, one in enumerate(order, last + 1)]
    if not rows:
        return
    changed = update(msg_log).where(msg_log.c.id == bindparam("this"))
    tx.execute(changed.values(ticket_id=into_id, number=bindparam("place")), rows)
    deliveries = msg_delivery_status.c.message_id.in_(ids)
    tx.execute(update(msg_delivery_status).where(deliveries).values(ticket_id=into_id))


def _refresh(tx: Connection, ticket_id: int) -> None:
    """Make a ticket's row say what is on it now; its version goes up, so that nobody answers what they do not see."""
    row = msg_log.c
    held = select(func.max(row.number), func.max(row.id), func.max(row.received_at)).where(row.ticket_id == ticket_id)
    number, last, at = tx.execute(held).one()
    values: dict[str, Any] = {"messages": number or 0, "last_message_id": last or 0, "version": ticket.c.version + 1}
    if last is not None:
        body, subject = tx.execute(select(row.body, row.subject).where(row.id == last)).one()
        values |= {"last_at": at, "snippet": snippet(body) or snippet(subject)}
    tx.execute(update(ticket).where(ticket.c.id == ticket_id).values(**values))
