"""The inbox: tickets in their views, their conversations and notes. Two or three statements a page, however long."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Select,
    and_,
    delete,
    exists,
    func,
    insert,
    literal_column,
    not_,
    or_,
    select,
    union_all,
    update,
)

from msgserver.formats.query import Tree
from msgserver.formats.search import parse
from msgserver.records import Message, Note, Priority, Ticket, Viewer
from msgserver.store import audit, messages, visible
from msgserver.store.bulk import clean
from msgserver.store.edits import Refused, Stale
from msgserver.store.paging import Page, cursor, database_clock, position, size
from msgserver.store.schema import (
    auth_user,
    msg_log,
    ticket_assignee,
    ticket_note,
)
from msgserver.store.schema import ticket as _ticket
from msgserver.store.search import finding, unread
from msgserver.store.ticket_rows import filled, rows_of

WAITING = ("todo", "mine", "unassigned")  # un-actioned, in the order unread first, priority, longest waiting
VIEWS = (*WAITING, "all", "done", "spam")  # the others: newest first
COUNTED = 1000  # counts stop here: a person reads "1000 or more" alike

_own = ticket_assignee.c.ticket_id == _ticket.c.id


def _assigned(*conditions: ColumnElement[bool]) -> ColumnElement[bool]:
    return exists(select(ticket_assignee.c.user_id).where(_own, *conditions).correlate(_ticket))


def _in_view(view: str, viewer: Viewer, now: float | None) -> ColumnElement[bool]:
    mine = _assigned(ticket_assignee.c.user_id == viewer.user_id)
    if view == "spam":
        return and_(_ticket.c.spam, _ticket.c.merged_into.is_(None))
    conditions = [_ticket.c.merged_into.is_(None), not_(_ticket.c.spam)]
    if view == "done":
        conditions.append(_ticket.c.actioned_at.is_not(None))
    elif view != "all":
        awake = _ticket.c.snoozed_until <= (database_clock() if now is None else now)
        conditions += [_ticket.c.actioned_at.is_(None), or_(_ticket.c.snoozed_until.is_(None), awake)]
        if view == "mine":
            # By the index of one user's tickets: the others are many.
            ids = select(ticket_assignee.c.ticket_id).where(ticket_assignee.c.user_id == viewer.user_id)
            conditions.append(_ticket.c.id.in_(ids))
        elif view == "unassigned":
            conditions.append(~_assigned())
        else:
            conditions.append(or_(~_assigned(), mine))
    return and_(*conditions)


def _has_unread(viewer: Viewer) -> ColumnElement[bool]:
    fresh = select(msg_log.c.id).where(msg_log.c.ticket_id == _ticket.c.id, unread(viewer), visible.messages(viewer))
    return exists(fresh.correlate(_ticket))


def _answering(tx: Connection, tree: Tree, viewer: Viewer, now: float | None) -> ColumnElement[bool]:
    """Tickets with a visible message that answers the query."""
    found = finding(tx, tree, viewer, now)
    return _ticket.c.id.in_(found.over([msg_log.c.ticket_id]).where(visible.messages(viewer)))


def inbox(
    tx: Connection,
    viewer: Viewer,
    view: str = "todo",
    query: str = "",
    cursor_word: str = "",
    limit: int = 50,
    *,
    now: float | None = None,
) -> Page[Ticket]:
    """One page of a view: "todo" (un-actioned, mine or nobody's), "mine", "unassigned", "all", "done" or "spam".

    ``query`` keeps the tickets that have a message answering it. ``now``: for snoozed tickets and relative dates
    (default: the database's clock). An unknown view is "todo".
    """
    view = view if view in VIEWS else "todo"
    asked = parse(query)
    limit = size(limit)
    rows = rows_of(viewer).where(_in_view(view, viewer, now))
    if asked.tree is not None:
        rows = rows.where(_answering(tx, asked.tree, viewer, now))
    if view in WAITING:
        found, following = _waiting(tx, rows, viewer, cursor_word, limit)
    else:
        found, following = _newest(tx, rows, cursor_word, limit)
    return Page(tuple(filled(tx, viewer, found)), following, asked.ignored)


def _newest(tx: Connection, rows: Select[Any], word: str, limit: int) -> tuple[list[Any], str]:
    after = position(word, float, int)
    if after is not None:
        at, last = after
        rows = rows.where(_ticket.c.last_at <= at, or_(_ticket.c.last_at < at, _ticket.c.id < last))
    rows = rows.order_by(_ticket.c.last_at.desc(), _ticket.c.id.desc()).limit(limit + 1)
    found = list(tx.execute(rows))
    if len(found) <= limit:
        return found, ""
    return found[:limit], cursor(found[limit - 1].last_at, found[limit - 1].id)


def _waiting(tx: Connection, rows: Select[Any], viewer: Viewer, word: str, limit: int) -> tuple[list[Any], str]:
    """Tickets with something unread, then (from the same index) those without: each half stops at the page's end."""
    half, *after = position(word, int, int, float, int) or (0, None)
    found: list[tuple[int, Any]] = []
    for part in (0, 1):
        if part < half or len(found) > limit:
            continue
        fresh = _has_unread(viewer)
        chosen = rows.where(~fresh if part else fresh)
        if part == half and after[0] is not None:
            priority, at, last = after
            later = or_(_ticket.c.last_at > at, and_(_ticket.c.last_at == at, _ticket.c.id > last))
            chosen = chosen.where(
                _ticket.c.priority <= priority, or_(_ticket.c.priority < priority, and_(_ticket.c.last_at >= at, later))
            )
        chosen = chosen.order_by(_ticket.c.priority.desc(), _ticket.c.last_at, _ticket.c.id)
        found += [(part, row) for row in tx.execute(chosen.limit(limit + 1 - len(found)))]
    items = [row for _, row in found[:limit]]
    if len(found) <= limit:
        return items, ""
    part, row = found[limit - 1]
    return items, cursor(part, row.priority, row.last_at, row.id)


def ticket(tx: Connection, viewer: Viewer, ticket_id: int) -> Ticket | None:
    """One ticket, or the one it was merged into; None where there is none or the viewer may not see it."""
    into = select(func.coalesce(_ticket.c.merged_into, _ticket.c.id)).where(_ticket.c.id == ticket_id).scalar_subquery()
    found = filled(tx, viewer, list(tx.execute(rows_of(viewer).where(_ticket.c.id == into))))
    return found[0] if found else None


def conversation(
    tx: Connection, viewer: Viewer, ticket_id: int, *, before: int | None = None, limit: int = 200
) -> list[Message]:
    """The latest messages on a ticket that may be seen, whole, oldest first; those before a number."""
    rows = select(*messages.columns(viewer, whole=True)).where(
        msg_log.c.ticket_id == ticket_id, visible.messages(viewer)
    )
    if before is not None:
        rows = rows.where(msg_log.c.number < before)
    found = tx.execute(rows.order_by(msg_log.c.number.desc(), msg_log.c.id.desc()).limit(size(limit)))
    return [messages.from_row(row) for row in found][::-1]


def notes(tx: Connection, viewer: Viewer, ticket_id: int) -> list[Note]:
    """The internal notes on a ticket, oldest first."""
    rows = (
        select(ticket_note, func.coalesce(auth_user.c.name, "").label("author"))
        .join(_ticket, _ticket.c.id == ticket_note.c.ticket_id)
        .outerjoin(auth_user, auth_user.c.id == ticket_note.c.user_id)
        .where(ticket_note.c.ticket_id == ticket_id, visible.tickets(viewer))
        .order_by(ticket_note.c.id)
    )
    return [Note(**row._mapping) for row in tx.execute(rows)]


def counts(tx: Connection, viewer: Viewer, *, now: float | None = None) -> dict[str, int]:
    """How many tickets each view holds, and ``unread``: of those to do, how many have something unread.

    Each count stops at ``COUNTED``.
    """
    conditions = {view: _in_view(view, viewer, now) for view in VIEWS}
    conditions["unread"] = and_(conditions["todo"], _has_unread(viewer))
    legs: list[Any] = []
    for name, condition in conditions.items():
        some = select(_ticket.c.id).where(condition, visible.tickets(viewer)).limit(COUNTED).subquery()
        legs.append(select(literal_column(f"'{name}'").label("view"), func.count().label("held")).select_from(some))
    return {row.view: row.held for row in tx.execute(union_all(*legs))}


# --- edits: each returns the ticket as it is afterwards, None where the actor may not see it ----------


def _edit(
    tx: Connection,
    actor: Viewer,
    ticket_id: int,
    now: float,
    expected_version: int | None,
    act: str,
    detail: dict[str, Any],
    **values: Any,
) -> Ticket | None:
    """Change a ticket's row, count up its version, write the audit.

    Raises:
        Stale: it is not at ``expected_version`` any more; carries the ticket.
    """
    before = ticket(tx, actor, ticket_id)
    if before is None:
        return None
    changed = update(_ticket).where(_ticket.c.id == before.id).values(version=_ticket.c.version + 1, **values)
    if expected_version is not None:
        changed = changed.where(_ticket.c.version == expected_version)
    if not tx.execute(changed).rowcount:
        raise Stale(ticket(tx, actor, ticket_id))
    audit.note(tx, actor, act, f"ticket/{before.id}", detail, now)
    return ticket(tx, actor, before.id)


def assign(
    tx: Connection,
    actor: Viewer,
    ticket_id: int,
    user_ids: Iterable[int],
    now: float,
    expected_version: int | None = None,
) -> Ticket | None:
    """Give a ticket to exactly these people (nobody: to all).

    Raises:
        Stale: see above.
        Refused: one of them is no active user.
    """
    wanted = sorted(set(user_ids))
    known = set(tx.scalars(select(auth_user.c.id).where(auth_user.c.id.in_(wanted), auth_user.c.active)))
    if len(known) < len(wanted):
        raise Refused("Nothing was assigned: one of these people has no login here any more. Choose somebody else.")
    edited = _edit(tx, actor, ticket_id, now, expected_version, "assign", {"users": wanted})
    if edited is None:
        return None
    row = ticket_assignee.c
    tx.execute(delete(ticket_assignee).where(row.ticket_id == edited.id, row.user_id.not_in(wanted)))
    here = {user for user, _ in edited.assignees}
    fresh = [
        {"ticket_id": edited.id, "user_id": user, "by_id": actor.user_id, "at": now}
        for user in wanted
        if user not in here
    ]
    if fresh:
        tx.execute(insert(ticket_assignee), fresh)
    return ticket(tx, actor, edited.id)


def set_priority(
    tx: Connection,
    actor: Viewer,
    ticket_id: int,
    priority: Priority,
    now: float,
    expected_version: int | None = None,
) -> Ticket | None:
    """Raise or lower it. Raises Stale."""
    detail = {"priority": priority.name.lower()}
    return _edit(tx, actor, ticket_id, now, expected_version, "priority", detail, priority=int(priority))


def set_actioned(
    tx: Connection, actor: Viewer, ticket_id: int, done: bool, now: float, expected_version: int | None = None
) -> Ticket | None:
    """Done, or to do again; either wakes a snoozed ticket. Raises Stale."""
    values = {"actioned_at": now if done else None, "actioned_by": actor.user_id if done else None}
    act = "done" if done else "to do"
    return _edit(tx, actor, ticket_id, now, expected_version, act, {}, snoozed_until=None, **values)


def set_subject(
    tx: Connection, actor: Viewer, ticket_id: int, subject: str, now: float, expected_version: int | None = None
) -> Ticket | None:
    """Call it something else. Raises Stale."""
    subject = clean(" ".join(subject.split())[:300])
    return _edit(tx, actor, ticket_id, now, expected_version, "subject", {"subject": subject}, subject=subject)


def snooze(
    tx: Connection,
    actor: Viewer,
    ticket_id: int,
    until: float | None,
    now: float,
    expected_version: int | None = None,
) -> Ticket | None:
    """Keep it out of the waiting views until then (None: wake it). Raises Stale."""
    return _edit(tx, actor, ticket_id, now, expected_version, "snooze", {"until": until}, snoozed_until=until)


def set_spam(
    tx: Connection, actor: Viewer, ticket_id: int, spam: bool, now: float, expected_version: int | None = None
) -> Ticket | None:
    """Into the spam view with everything that came in on it, or back out. Raises Stale."""
    edited = _edit(tx, actor, ticket_id, now, expected_version, "spam" if spam else "not spam", {}, spam=spam)
    if edited is None:
        return None
    tx.execute(update(msg_log).where(msg_log.c.ticket_id == edited.id, msg_log.c.direction == "in").values(spam=spam))
    return ticket(tx, actor, edited.id)


def add_note(tx: Connection, actor: Viewer, ticket_id: int, body: str, now: float) -> Note | None:
    """Write an internal note; it is never sent and does not make anybody's answer stale.

    Raises:
        Refused: it is empty.
    """
    body = clean(body)
    if not body.strip():
        raise Refused("Nothing was saved: the note is empty.")
    found = ticket(tx, actor, ticket_id)
    if found is None:
        return None
    written = insert(ticket_note).values(ticket_id=found.id, user_id=actor.user_id, body=body, at=now)
    note_id = tx.execute(written.returning(ticket_note.c.id)).scalar_one()
    audit.note(tx, actor, "note", f"ticket/{found.id}", {}, now)
    return Note(id=note_id, ticket_id=found.id, user_id=actor.user_id, author=actor.name, body=body, at=now)
