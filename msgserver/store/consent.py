"""Who is asked before they are sent anything: a person whom somebody else subscribes, by an address nobody verified.

A question goes to that address, at most three a day whoever subscribes it (THREATS T25), and never to one that said
STOP. The answer YES, from there, agrees to whatever it was asked about, and proves that the address is theirs.
"""

from __future__ import annotations

import msgspec
from sqlalchemy import Connection, delete, func, select, update

from msgserver.formats.rendering import consent_question
from msgserver.message import Address
from msgserver.records import HUB, Draft, Viewer
from msgserver.store import audit
from msgserver.store.counting import add
from msgserver.store.schema import (
    counter,
    pe_contact,
    pe_entity,
    pe_subscription,
    resource_record,
    resource_type,
    saved_view,
    suppression,
)
from msgserver.store.writing import write_draft

A_DAY = 3  # questions to one address
DAY = 24 * 3600.0
OPEN = 7 * DAY  # how long a question can be answered
CAUSE = "consent"  # of the message that asks
_ASKED = "asked/"  # counters: by address and hour


class Question(msgspec.Struct, frozen=True):
    """Whom to ask at which address about what."""

    address: str
    name: str


def _best(entity_id: int, channel: str) -> object:
    row = pe_contact.c
    rows = select(row.address, row.verified_at).where(row.entity_id == entity_id)
    if channel:
        rows = rows.where(row.scheme == channel)
    return rows.order_by(row.bouncing_at.is_not(None), row.preferred.desc(), row.verified_at.is_(None), row.id).limit(1)


def wanted(tx: Connection, entity_id: int, channel: str) -> bool:
    """Whether a person must be asked before they get copies there; groups were put together by somebody, who answers
    for them."""
    if tx.scalar(select(pe_entity.c.kind).where(pe_entity.c.id == entity_id)) != "person":
        return False
    row = tx.execute(_best(entity_id, channel)).one_or_none()  # type: ignore[call-overload]
    return row is None or row.verified_at is None


def question(tx: Connection, subscription_id: int, now: float) -> Question | None:
    """Take one of the day's questions for a subscription that waits; None: nobody is to be asked (any more today)."""
    row = pe_subscription.c
    asked = tx.execute(
        select(row.pr_pe_id, row.channel, pe_entity.c.name)
        .join(pe_entity, pe_entity.c.id == row.pr_pe_id)
        .where(row.id == subscription_id, row.asked_at.is_not(None))
    ).one_or_none()
    contact = tx.execute(_best(asked.pr_pe_id, asked.channel)).one_or_none() if asked is not None else None  # type: ignore[call-overload]
    if contact is None or asked is None:
        return None
    if tx.scalar(select(suppression.c.address).where(suppression.c.address == contact.address)) is not None:
        return None
    name, hour = f"{_ASKED}{contact.address}", int(now // 3600)
    kept = counter.c
    tx.execute(delete(counter).where(kept.name == name, kept.user_id < hour - 23))
    if (tx.scalar(select(func.sum(kept.value)).where(kept.name == name)) or 0) >= A_DAY:
        return None
    add(tx, name, {"": 1}, hour)
    tx.execute(update(pe_subscription).where(row.id == subscription_id).values(asked_at=now))
    return Question(contact.address, asked.name)


def ask(
    tx: Connection, actor: Viewer, subscription_id: int, uid: str, hub: str, lanes: dict[str, str], now: float
) -> bool:
    """Send the question for a subscription that waits; False: nobody is to be asked (any more today)."""
    asked = question(tx, subscription_id, now)
    if asked is None:
        return False
    row = pe_subscription.c
    what = tx.execute(select(row.resource, row.record).where(row.id == subscription_id)).one()
    text = consent_question(hub, actor.name, named(tx, what.resource, what.record))
    draft = Draft(uid=uid, to=(Address.parse(asked.address),), text=text, cause=CAUSE, automatic=True)
    write_draft(tx, HUB, draft, lanes, now)
    return True


def named(tx: Connection, resource: str, record: str) -> str:
    """What people call something that is subscribed to."""
    if resource == "search" and record.isdecimal():
        found = tx.scalar(select(saved_view.c.name).where(saved_view.c.id == int(record)))
    elif record:
        found = tx.scalar(select(resource_record.c.name).where(resource_record.c.uid == record))
    else:
        found = tx.scalar(select(resource_type.c.label).where(resource_type.c.name == resource))
    return found or record or resource


def agreed(tx: Connection, address: str, now: float) -> list[tuple[str, str]]:
    """Somebody at an address says YES: what was asked about there holds from now on; returns it, tags."""
    row = pe_subscription.c
    owners = select(pe_contact.c.entity_id).where(pe_contact.c.address == address)
    scheme = address.partition(":")[0]
    waiting = (
        row.pr_pe_id.in_(owners),
        row.asked_at.is_not(None),
        row.asked_at > now - OPEN,
        row.channel.in_(["", scheme]),
    )
    found = list(tx.execute(select(row.pr_pe_id, row.resource, row.record).where(*waiting).order_by(row.id)))
    if not found:
        return []
    tx.execute(update(pe_subscription).where(*waiting).values(asked_at=None))
    theirs = pe_contact.c.entity_id.in_({one.pr_pe_id for one in found})
    fresh = (pe_contact.c.address == address, theirs, pe_contact.c.verified_at.is_(None))
    tx.execute(update(pe_contact).where(*fresh).values(verified_at=now))
    for entity_id in sorted({one.pr_pe_id for one in found}):
        audit.note(tx, HUB, "agree", f"entity/{entity_id}", {"address": address}, now)
    return [(one.resource, one.record) for one in found]
