"""What a subscription would have sent in the last days, before anybody subscribes."""

from __future__ import annotations

import msgspec
from sqlalchemy import ColumnElement, Connection, func, select

from msgserver.formats.query import parse
from msgserver.formats.zones import last_edge
from msgserver.records import HUB, Viewer
from msgserver.store import people, saved, visible
from msgserver.store.edits import Refused
from msgserver.store.membership import everybody
from msgserver.store.schema import msg_log, msg_tag, pe_contact, pe_entity, suppression
from msgserver.store.search import answering, finding

DAYS = 7
MOST = 10_000  # messages counted


class Preview(msgspec.Struct, frozen=True, kw_only=True):
    """``messages`` of the last ``days`` days; ``people`` behind the entity, ``reached`` of them by the channel;
    ``sends``: how many messages would have gone out in all."""

    days: int
    messages: int
    people: int
    reached: int
    sends: int


def preview(
    tx: Connection, viewer: Viewer, entity_id: int, resource: str, record: str, now: float, channel: str, digest: str
) -> Preview | None:
    """Count it; None where the viewer may not see the entity.

    Raises:
        Refused: there is no such saved search.
    """
    one = people.entity(tx, viewer if entity_id != viewer.entity_id else HUB, entity_id)
    if one is None:
        return None
    which = _which(tx, viewer, resource, record, now)
    row = msg_log.c
    since = now - DAYS * 86400.0
    rows = select(row.received_at).where(
        row.id >= _first_since(tx, since), row.received_at >= since, row.direction == "in", row.spam.is_(False),
        func.coalesce(row.entity_id, 0) != entity_id, visible.messages(viewer), which,
    )  # fmt: skip
    times = list(tx.scalars(rows.limit(MOST)))
    persons = {entity_id} if one.kind.value == "person" else {entity_id, *everybody(tx, [entity_id])}
    reached = _reached(tx, persons, channel)
    each = len(times)
    if digest:
        each = len({last_edge(at, digest, one.timezone) for at in times})
    people_behind = len(persons) - (one.kind.value != "person")
    return Preview(days=DAYS, messages=len(times), people=people_behind, reached=reached, sends=each * reached)


def _which(tx: Connection, viewer: Viewer, resource: str, record: str, now: float) -> ColumnElement[bool]:
    if resource == saved.SEARCH:
        view = saved.saved(tx, viewer, int(record)) if record.isdecimal() and len(record) < 16 else None
        tree = parse(view.query).tree if view is not None else None
        if tree is None:
            raise Refused("There is no such saved search.")
        return answering(finding(tx, tree, viewer, now))
    tagged = select(msg_tag.c.message_id).where(msg_tag.c.resource == resource)
    if record:
        tagged = tagged.where(msg_tag.c.record == record)
    return msg_log.c.id.in_(tagged.where(msg_tag.c.message_id >= _first_since(tx, now - DAYS * 86400.0)))


def _first_since(tx: Connection, since: float) -> int:
    """An id below which every message is older: found by halving, because messages are numbered as they come."""
    low, high = 0, tx.scalar(select(func.max(msg_log.c.id))) or 0
    while low < high:
        middle = (low + high) // 2
        at = tx.scalar(select(msg_log.c.received_at).where(msg_log.c.id > middle).order_by(msg_log.c.id).limit(1))
        if at is not None and at < since - 86400.0:  # a day's grace: clocks are set back now and then
            low = middle + 1
        else:
            high = middle
    return low


def _reached(tx: Connection, entity_ids: set[int], channel: str) -> int:
    """How many of them have an address of the channel that may be written to."""
    row = pe_contact.c
    stopped = select(suppression.c.address)
    usable = select(row.entity_id).where(row.bouncing_at.is_(None), row.address.not_in(stopped))
    if channel:
        usable = usable.where(row.scheme == channel)
    if len(entity_ids) == 1:
        usable = usable.where(row.entity_id == next(iter(entity_ids)))
    found = set(tx.scalars(usable.join(pe_entity, pe_entity.c.id == row.entity_id)))
    return len(found & entity_ids)
