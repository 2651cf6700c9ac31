"""Answers to copies: who wrote them, to which message, and how they are written down."""

from __future__ import annotations

import msgspec
from sqlalchemy import Connection, func, select, update

from msgserver.records import HUB, Draft, Outcome, Plan, Recorded, Viewer
from msgserver.store import bulk, fanout, journal, tickets, users
from msgserver.store.choosing import our_ref
from msgserver.store.committing import place
from msgserver.store.recording import record
from msgserver.store.schema import msg_delivery_part, msg_delivery_status, msg_log, pe_contact, ticket
from msgserver.store.writing import write_draft


class CopyAnswered(msgspec.Struct, frozen=True):
    """The ticket, and the message of which the writer got a copy. ``viewer``: the writer's login, if there is one;
    ``verified``: whether the address is known to be theirs."""

    ticket_id: int
    message_id: int
    viewer: Viewer | None
    verified: bool


def copy_answered(tx: Connection, plan: Plan) -> CopyAnswered | None:
    """The copy that an arrival answers; None where it answers none, or its writer is the one who asked."""
    if plan.sender is None:
        return None
    address = bulk.clean(str(plan.sender))
    for ticket_id in _named(tx, plan):
        row, log = msg_delivery_status.c, msg_log.c
        copied = (
            select(log.id)
            .join(msg_delivery_status, row.message_id == log.id)
            .where(log.ticket_id == ticket_id, log.direction == "in", row.address == address)
        )
        message_id = tx.scalar(copied.order_by(log.number.desc()).limit(1))
        if message_id is None:
            continue
        known = pe_contact.c
        whose = select(known.entity_id, known.verified_at).where(known.address == address)
        owner = tx.execute(whose.order_by(known.verified_at.is_(None), known.id).limit(1)).one_or_none()
        entity_id = owner.entity_id if owner is not None else None
        asker = tx.execute(select(ticket.c.address, ticket.c.entity_id).where(ticket.c.id == ticket_id)).one()
        if asker.address == address or (entity_id is not None and asker.entity_id == entity_id):
            return None
        viewer = users.user_of_entity(tx, entity_id) if entity_id is not None else None
        verified = owner is not None and owner.verified_at is not None
        return CopyAnswered(ticket_id, message_id, viewer, verified)
    return None


def _named(tx: Connection, plan: Plan) -> list[int]:
    """The tickets that its hints name, the surest first; merged ones are followed."""
    hints = plan.hints
    found = [hints.token]
    for reference in hints.references[:5]:
        number, uid = our_ref(reference)
        row, log = msg_delivery_status.c, msg_log.c
        if number is not None:
            ours = select(row.ticket_id).join(msg_log, log.id == row.message_id).where(row.id == number)
            found.append(tx.scalar(ours.where(func.substr(log.uid, 25) == uid)))
        part = msg_delivery_part.c
        told = select(row.ticket_id).join(msg_delivery_part, part.delivery_id == row.id)
        found.append(tx.scalar(told.where(part.wire_id == reference).limit(1)))
    found.append(hints.subject_tag)
    names = dict.fromkeys(number for number in found if number is not None)
    seen = (tickets.ticket(tx, HUB, number) for number in names)
    return [one.id for one in seen if one is not None]


@place("C2")
def record_answer(tx: Connection, actor: Viewer, draft: Draft, plan: Plan, now: float) -> Recorded:
    """Write a colleague's answer to the one who asked; the arrival's outcome is that message.

    Where the ticket is out of the writer's reach it is a message like any other, copied to nobody.
    """
    if tickets.ticket(tx, actor, draft.ticket_id or 0) is None:
        return record(tx, [msgspec.structs.replace(plan, forward=False)])[0]
    recorded = write_draft(tx, actor, draft, fanout.lanes(tx), now)
    if plan.raw_id:
        tx.execute(update(msg_log).where(msg_log.c.id == recorded.message_id).values(raw_id=plan.raw_id))
        journal.mark(tx, plan.raw_id, Outcome.MESSAGE, recorded.message_id, now)
    return recorded
