"""The inbox's views as statements: which tickets, in which order, page by page.

Building a statement takes longer than running it, so the common ones are kept for each viewer; what changes from one
look to the next (time, page length, ids) is a parameter.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Double,
    Integer,
    Select,
    and_,
    bindparam,
    exists,
    func,
    literal_column,
    not_,
    or_,
    select,
    union_all,
)

from msgserver.formats.query import Tree
from msgserver.records import Viewer
from msgserver.store import visible
from msgserver.store.paging import cursor, database_clock, position
from msgserver.store.schema import msg_log, ticket, ticket_assignee
from msgserver.store.search import answering, finding, unread
from msgserver.store.ticket_rows import rows_of

WAITING = ("todo", "mine", "unassigned")  # un-actioned, in the order unread first, priority, longest waiting
VIEWS = (*WAITING, "all", "done", "spam")  # the others: newest first
COUNTED = 300  # counts stop here: a person reads "300 or more" alike
FEW = 400  # messages found up to which their tickets are listed, beyond which each ticket is asked for one

_most = bindparam("most", type_=Integer)


def _assigned(*conditions: ColumnElement[bool]) -> ColumnElement[bool]:
    own = ticket_assignee.c.ticket_id == ticket.c.id
    return exists(select(ticket_assignee.c.user_id).where(own, *conditions).correlate(ticket))


def _in_view(view: str, viewer: Viewer) -> ColumnElement[bool]:
    """Parameter ``now``: the time, None for the database's own."""
    mine = _assigned(ticket_assignee.c.user_id == viewer.user_id)
    if view == "spam":
        return and_(ticket.c.spam, ticket.c.merged_into.is_(None))
    conditions = [ticket.c.merged_into.is_(None), not_(ticket.c.spam)]
    if view == "done":
        conditions.append(ticket.c.actioned_at.is_not(None))
    elif view != "all":
        awake = ticket.c.snoozed_until <= func.coalesce(bindparam("now", type_=Double), database_clock())
        conditions += [ticket.c.actioned_at.is_(None), or_(ticket.c.snoozed_until.is_(None), awake)]
        if view == "mine":
            # By the index of one user's tickets: the others are many.
            ids = select(ticket_assignee.c.ticket_id).where(ticket_assignee.c.user_id == viewer.user_id)
            conditions.append(ticket.c.id.in_(ids))
        elif view == "unassigned":
            conditions.append(~_assigned())
        else:
            conditions.append(or_(~_assigned(), mine))
    return and_(*conditions)


def _has_unread(viewer: Viewer) -> ColumnElement[bool]:
    fresh = select(msg_log.c.id).where(msg_log.c.ticket_id == ticket.c.id, unread(viewer), visible.messages(viewer))
    return exists(fresh.correlate(ticket))


@lru_cache(maxsize=512)
def _listing(viewer: Viewer, view: str, part: int) -> Select[Any]:
    """Of a waiting view the tickets with something unread (part 0) or without (1); of another all."""
    rows = rows_of(viewer).where(_in_view(view, viewer)).limit(_most)
    if view not in WAITING:
        return rows.order_by(ticket.c.last_at.desc(), ticket.c.id.desc())
    fresh = _has_unread(viewer)
    rows = rows.where(~fresh if part else fresh)
    return rows.order_by(ticket.c.priority.desc(), ticket.c.last_at, ticket.c.id)


def page(
    tx: Connection, viewer: Viewer, view: str, tree: Tree | None, word: str, limit: int, now: float | None
) -> tuple[list[Any], str]:
    """Rows of one page, and the next one's cursor."""
    narrowed = [] if tree is None else [_holding_an_answer(tx, tree, viewer, now)]
    if view in WAITING:
        return _waiting(tx, viewer, view, narrowed, word, limit, now)
    rows = _listing(viewer, view, 0)
    if narrowed:
        rows = rows.where(*narrowed)
    after = position(word, float, int)
    if after is not None:
        at, last = after
        rows = rows.where(ticket.c.last_at <= at, or_(ticket.c.last_at < at, ticket.c.id < last))
    found = list(tx.execute(rows, {"most": limit + 1, "now": now}))
    if len(found) <= limit:
        return found, ""
    return found[:limit], cursor(found[limit - 1].last_at, found[limit - 1].id)


def _waiting(
    tx: Connection,
    viewer: Viewer,
    view: str,
    narrowed: list[ColumnElement[bool]],
    word: str,
    limit: int,
    now: float | None,
) -> tuple[list[Any], str]:
    """Tickets with something unread, then (by the same index) those without: each half stops at the page's end."""
    half, *after = position(word, int, int, float, int) or (0, None)
    found: list[tuple[int, Any]] = []
    for part in (0, 1):
        if part < half or len(found) > limit:
            continue
        rows = _listing(viewer, view, part)
        if narrowed:
            rows = rows.where(*narrowed)
        if part == half and after[0] is not None:
            priority, at, last = after
            later = or_(ticket.c.last_at > at, and_(ticket.c.last_at == at, ticket.c.id > last))
            rows = rows.where(
                ticket.c.priority <= priority, or_(ticket.c.priority < priority, and_(ticket.c.last_at >= at, later))
            )
        found += [(part, row) for row in tx.execute(rows, {"most": limit + 1 - len(found), "now": now})]
    items = [row for _, row in found[:limit]]
    if len(found) <= limit:
        return items, ""
    part, row = found[limit - 1]
    return items, cursor(part, row.priority, row.last_at, row.id)


def _holding_an_answer(tx: Connection, tree: Tree, viewer: Viewer, now: float | None) -> ColumnElement[bool]:
    """Tickets with a visible message that answers the query.

    Rare words: the tickets of the messages found. Common words: each ticket is asked for such a message, which the
    page's end stops soon.
    """
    found = finding(tx, tree, viewer, now)
    if found.match:
        rows = found.over([msg_log.c.ticket_id]).where(visible.messages(viewer)).order_by(found.key.desc())
        ids = list(tx.scalars(rows.limit(FEW + 1)))
        if len(ids) <= FEW:
            return ticket.c.id.in_(sorted({one for one in ids if one is not None}))
    here = select(msg_log.c.id).where(msg_log.c.ticket_id == ticket.c.id, visible.messages(viewer), answering(found))
    return exists(here.correlate(ticket))


@lru_cache(maxsize=128)
def _counting(viewer: Viewer) -> Any:
    conditions = {view: _in_view(view, viewer) for view in (*WAITING, "spam")}
    conditions["unread"] = and_(conditions["todo"], _has_unread(viewer))
    legs: list[Any] = []
    for name, condition in conditions.items():
        some = select(ticket.c.id).where(condition, visible.tickets(viewer)).limit(_most).subquery()
        legs.append(select(literal_column(f"'{name}'").label("view"), func.count().label("held")).select_from(some))
    return union_all(*legs)


def counts(tx: Connection, viewer: Viewer, now: float | None) -> dict[str, int]:
    """How many tickets each of these views holds, up to ``COUNTED``; "all" and "done" are not for counting."""
    return {row.view: row.held for row in tx.execute(_counting(viewer), {"most": COUNTED, "now": now})}
