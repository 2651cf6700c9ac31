"""Tickets as records: a page's rows with their assignees, tags and counts, in one more statement."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import Any, NamedTuple

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    Select,
    and_,
    bindparam,
    func,
    literal_column,
    select,
    union_all,
)

from msgserver.records import Priority, Ticket, Viewer
from msgserver.store import messages, visible
from msgserver.store.recording import snippet
from msgserver.store.schema import (
    auth_user,
    msg_log,
    msg_tag,
    pe_entity,
    resource_record,
    resource_type,
    ticket,
    ticket_assignee,
)
from msgserver.store.search import unread

_OWN = tuple(name for name in Ticket.__struct_fields__ if name in ticket.c)
_NAMES = (*_OWN, "entity_name")
_ids = bindparam("ids", expanding=True, type_=BigInteger)


def rows_of(viewer: Viewer) -> Select[Any]:
    """The tickets that may be seen, as :func:`filled` takes them."""
    return (
        select(*(ticket.c[name] for name in _OWN), func.coalesce(pe_entity.c.name, "").label("entity_name"))
        .outerjoin(pe_entity, pe_entity.c.id == ticket.c.entity_id)
        .where(visible.tickets(viewer))
    )


@lru_cache(maxsize=512)
def one_of(viewer: Viewer) -> Select[Any]:
    """The ticket with the parameter ``ticket_id``, or the one it was merged into."""
    asked = ticket.alias("asked")
    into = select(func.coalesce(asked.c.merged_into, asked.c.id)).where(asked.c.id == bindparam("ticket_id"))
    return rows_of(viewer).where(ticket.c.id == into.scalar_subquery())


class _Fact(NamedTuple):
    """One row of the statement that fills a page: what it says, of which ticket."""

    kind: str
    ticket_id: int
    number: int
    first: str
    second: str
    third: str


def filled(tx: Connection, viewer: Viewer, rows: list[Any]) -> list[Ticket]:
    """Rows with their assignees, tags and unread counts: one more statement, two where a scope narrows the view."""
    if not rows:
        return []
    ids = [row.id for row in rows]
    people: dict[int, list[tuple[int, str]]] = {}
    about: dict[int, list[tuple[str, str, str]]] = {}
    fresh: dict[int, int] = {}
    seen: dict[int, int] = {}
    for fact in map(_Fact._make, tx.execute(_facts(viewer), {"ids": ids})):
        if fact.kind == "assignee":
            people.setdefault(fact.ticket_id, []).append((fact.number, fact.first))
        elif fact.kind == "tag":
            about.setdefault(fact.ticket_id, []).append((fact.first, fact.second, fact.third))
        elif fact.kind == "unread":
            fresh[fact.ticket_id] = fact.number
        else:
            seen[fact.ticket_id] = fact.number
    items = [
        _ticket(row, sorted(people.get(row.id, ())), sorted(about.get(row.id, ())), fresh.get(row.id, 0))
        for row in rows
    ]
    if visible.whole_log(viewer):
        return items
    latest = {row.ticket_id: row for row in tx.execute(_latest_visible(viewer), {"ids": ids})}
    return [_narrowed(item, latest.get(item.id), seen.get(item.id, 0)) for item in items]


@lru_cache(maxsize=512)
def _facts(viewer: Viewer) -> Any:
    """Parameter ``ids``: of tickets."""
    here = and_(msg_log.c.ticket_id.in_(_ids), visible.messages(viewer))
    nothing: ColumnElement[str] = literal_column("''")
    name = func.coalesce(
        resource_record.c.name,
        pe_entity.c.name,
        func.nullif(msg_tag.c.record, ""),
        resource_type.c.label,
        msg_tag.c.resource,
    )
    assignees = (
        select(
            literal_column("'assignee'"),
            ticket_assignee.c.ticket_id,
            ticket_assignee.c.user_id,
            auth_user.c.name,
            nothing,
            nothing,
        )
        .join(auth_user, auth_user.c.id == ticket_assignee.c.user_id)
        .where(ticket_assignee.c.ticket_id.in_(_ids))
    )
    tags = (
        select(
            literal_column("'tag'"),
            msg_log.c.ticket_id,
            literal_column("0"),
            msg_tag.c.resource,
            msg_tag.c.record,
            name,
        )
        .join(msg_tag, msg_tag.c.message_id == msg_log.c.id)
        .outerjoin(
            resource_record,
            and_(resource_record.c.uid == msg_tag.c.record, resource_record.c.resource == msg_tag.c.resource),
        )
        .outerjoin(resource_type, resource_type.c.name == msg_tag.c.resource)
        .outerjoin(pe_entity, and_(pe_entity.c.uid == msg_tag.c.record, msg_tag.c.resource == messages.ENTITY))
        .where(here, msg_tag.c.resource != literal_column("'search'"))
        .distinct()
    )
    number = func.count()
    fresh = select(literal_column("'unread'"), msg_log.c.ticket_id, number, nothing, nothing, nothing)
    legs: list[Select[Any]] = [assignees, tags, fresh.where(here, unread(viewer)).group_by(msg_log.c.ticket_id)]
    if not visible.whole_log(viewer):
        held = select(literal_column("'seen'"), msg_log.c.ticket_id, number, nothing, nothing, nothing)
        legs.append(held.where(here).group_by(msg_log.c.ticket_id))
    return union_all(*legs)


@lru_cache(maxsize=512)
def _latest_visible(viewer: Viewer) -> Select[Any]:
    latest = (
        select(func.max(msg_log.c.id))
        .where(msg_log.c.ticket_id.in_(_ids), visible.messages(viewer))
        .group_by(msg_log.c.ticket_id)
    )
    beginning = func.substr(msg_log.c.body, 1, messages.GLIMPSE).label("body")
    rows = select(msg_log.c.id, msg_log.c.ticket_id, msg_log.c.subject, beginning, msg_log.c.received_at)
    return rows.where(msg_log.c.id.in_(latest))


def _ticket(row: Any, assignees: Iterable[tuple[int, str]], tags: Iterable[tuple[str, str, str]], fresh: int) -> Ticket:
    values = dict(zip(_NAMES, row, strict=True))
    values["priority"] = Priority(row.priority)
    values["spam"] = bool(row.spam)
    return Ticket(**values, assignees=tuple(assignees), tags=tuple(tags), unread=fresh)


def _narrowed(whole: Ticket, latest: Any, seen: int) -> Ticket:
    """A ticket as somebody with a scope sees it: nothing in it comes from a message outside."""
    values = {name: getattr(whole, name) for name in Ticket.__struct_fields__}
    if seen < whole.messages:
        values |= {
            "messages": seen,
            "last_message_id": latest.id if latest else 0,
            "last_at": latest.received_at if latest else whole.created_at,
            "subject": latest.subject if latest else "",
            "snippet": snippet(latest.body) if latest else "",
        }
    return Ticket(**values)
