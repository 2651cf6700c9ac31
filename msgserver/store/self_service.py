"""SUBSCRIBE, UNSUBSCRIBE and SUBS by text, chat and mail: done in the transaction that records the message.

A colleague (somebody with a login, over an address known to be theirs) may have what he may see. Anybody else may have
the types that the configuration opens to all (``[hub] open_topics``), and their records; an unknown sender becomes a
person. Over an address that anybody could have written, a mail's, it takes a YES from there before anything is sent.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from sqlalchemy import ColumnElement, Connection, func, or_, select, update

from msgserver.formats import asking
from msgserver.formats.asking import Asked, Verb
from msgserver.formats.tokens import fold
from msgserver.records import HUB, EntityKind, Plan, Viewer
from msgserver.store import audit, consent, people, subscriptions, users, visible
from msgserver.store.schema import pe_contact, pe_subscription, resource_record, resource_type

MOST = 50  # subscriptions that somebody may make for himself this way
_LISTED = 8  # topics that an answer names
_OWN = 200  # own subscriptions looked at


class Topic(msgspec.Struct, frozen=True):
    """Something that can be subscribed to: a type, or (``record``, its uid) one record of it."""

    resource: str
    record: str
    name: str
    code: str = ""


class Answer(msgspec.Struct, frozen=True):
    """What is said. ``hint``: nothing was done, so that once a day is enough; ``cause`` goes into the log."""

    words: str
    hint: bool = False
    cause: str = "topics"


def obey(
    tx: Connection, plan: Plan, wish: Asked, uid: str, hub: str, opened: Sequence[str], believed: bool, now: float
) -> Answer | None:
    """Do what is asked; what is to be answered, None where nothing is (it cannot be known who asks).

    Args:
        uid: of a person who is not known yet.
        opened: types that anybody may subscribe to.
        believed: the sender's address is known to be his.
    """
    assert plan.sender is not None
    address = str(plan.sender)
    owner = people.who(tx, [plan.sender]).get(address)
    viewer = _colleague(tx, owner.id, address) if owner is not None and believed else None
    if wish.verb is not Verb.SUBSCRIBE:
        if not believed:
            return None
        mine = _mine(tx, owner.id) if owner is not None else []
        if wish.verb is Verb.SUBS:
            return Answer(asking.has(hub, [topic.name for topic in mine][:_LISTED]))
        return _unsubscribe(tx, owner.id if owner is not None else 0, mine, wish.what, hub, now)
    found = _topics(tx, viewer, opened, wish.what)
    if not found:
        known = [topic.name for topic in _offered(tx, viewer, opened)][:_LISTED]
        return Answer(asking.unknown(hub, wish.what, known), hint=True) if known or viewer is not None else None
    if len(found) > 1:
        return Answer(
            asking.several(hub, wish.what, [topic.code or topic.name for topic in found][:_LISTED]), hint=True
        )
    [topic] = found
    entity_id = owner.id if owner is not None else _introduce(tx, plan, uid, believed, now)
    made = tx.scalar(select(func.count()).where(pe_subscription.c.pr_pe_id == entity_id)) or 0
    if made >= MOST:
        return Answer(asking.has(hub, [f"{made} topics already, which is all that one may ask for"]), hint=True)
    return _subscribe(tx, viewer, entity_id, topic, address, hub, believed, now)


def _colleague(tx: Connection, entity_id: int, address: str) -> Viewer | None:
    row = pe_contact.c
    proven = select(row.id).where(row.entity_id == entity_id, row.address == address, row.verified_at.is_not(None))
    return users.user_of_entity(tx, entity_id) if tx.scalar(proven) is not None else None


def _subscribe(
    tx: Connection,
    viewer: Viewer | None,
    entity_id: int,
    topic: Topic,
    address: str,
    hub: str,
    believed: bool,
    now: float,
) -> Answer | None:
    channel = address.partition(":")[0]
    row = pe_subscription.c
    thing = (row.resource == topic.resource, row.record == topic.record, row.channel == channel)
    there = tx.execute(select(row.id, row.asked_at).where(row.pr_pe_id == entity_id, *thing)).one_or_none()
    if there is not None and there.asked_at is None and not believed:
        return None  # they have it; nobody is bothered because somebody wrote in their name
    if there is not None:
        number = there.id  # its digest and quiet hours stay as they are
    else:
        made = subscriptions.subscribe(tx, viewer or HUB, entity_id, topic.resource, topic.record, now, channel)
        if made is None:
            return None
        number = made.id
    if believed:
        people.unsuppress(tx, address, now)  # whoever asks for messages has thought better of STOP
        tx.execute(update(pe_subscription).where(row.id == number).values(asked_at=None))
        return Answer(asking.got(hub, topic.name))
    tx.execute(update(pe_subscription).where(row.id == number).values(asked_at=now))
    if consent.question(tx, number, now) is None:
        return None
    return Answer(asking.to_confirm(hub, topic.name), cause=consent.CAUSE)


def _unsubscribe(tx: Connection, entity_id: int, mine: Sequence[Topic], what: str, hub: str, now: float) -> Answer:
    wanted = [topic for topic in mine if _is(topic, what)]
    if not wanted:
        return Answer(asking.has(hub, [topic.name for topic in mine][:_LISTED]), hint=True)
    for topic in wanted:
        subscriptions.unsubscribe_from(tx, HUB, entity_id, topic.resource, topic.record, now)
    return Answer(asking.ended(hub, wanted[0].name))


def _mine(tx: Connection, entity_id: int) -> list[Topic]:
    """Own subscriptions, each thing once, as people call it."""
    row, record = pe_subscription.c, resource_record.c
    rows = (
        select(row.resource, row.record, func.coalesce(record.code, "").label("code"))
        .join(resource_record, (record.uid == row.record) & (row.record != ""), isouter=True)
        .where(row.pr_pe_id == entity_id)
        .order_by(row.id)
        .limit(_OWN)
    )
    found: dict[tuple[str, str], Topic] = {}
    for one in tx.execute(rows):
        name = consent.named(tx, one.resource, one.record)
        found.setdefault((one.resource, one.record), Topic(one.resource, one.record, name, one.code))
    return list(found.values())


def _is(topic: Topic, what: str) -> bool:
    wanted = fold(what)
    return wanted in {fold(topic.name), fold(topic.code) or None, fold(topic.resource) if not topic.record else None}


def _topics(tx: Connection, viewer: Viewer | None, opened: Sequence[str], what: str) -> list[Topic]:
    """What is called so and may be had: a record by its code, else by its name; else a type."""
    if not fold(what):
        return []
    row, kind = resource_record.c, resource_type.c
    kinds = [one.name for one in tx.execute(select(kind.name))]
    may: ColumnElement[bool] = row.resource.in_(opened)
    if viewer is not None:
        may = or_(may, visible.records(viewer))
    rows = select(row.resource, row.uid, row.name, row.code).where(row.resource.in_(kinds), may)
    for called in (row.code.in_({what, what.lower(), what.upper()}), row.name_folded == fold(what)):
        found = [Topic(*one) for one in tx.execute(rows.where(called).order_by(row.id).limit(_LISTED + 1))]
        if found:
            return found
    return [topic for topic in _offered(tx, viewer, opened) if _is(topic, what)]


def _offered(tx: Connection, viewer: Viewer | None, opened: Sequence[str]) -> list[Topic]:
    """The types that somebody may have."""
    kind = resource_type.c
    rows = tx.execute(select(kind.name, kind.label).order_by(kind.name))
    return [Topic(one.name, "", one.label) for one in rows if one.name in opened or _sees_all(viewer, one.name)]


def _sees_all(viewer: Viewer | None, resource: str) -> bool:
    if viewer is None:
        return False
    return visible.whole_log(viewer) or any(one.resource == resource and not one.record for one in viewer.grants)


def _introduce(tx: Connection, plan: Plan, uid: str, believed: bool, now: float) -> int:
    """A person out of a sender nobody knows."""
    assert plan.sender is not None
    name = plan.sender_name.strip()[:100] or plan.sender.value
    entity = people.create_entity(tx, HUB, uid, EntityKind.PERSON, name, now)
    people.add_contact(tx, HUB, entity.id, plan.sender, now, verified=believed)
    audit.note(tx, HUB, "introduce", f"entity/{entity.id}", {"address": str(plan.sender), "by": "SUBSCRIBE"}, now)
    return entity.id
