"""The inbox: tickets in their views, their conversations and notes. Two or three statements a page, however long."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sqlalchemy import Connection, and_, delete, func, insert, select, update

from msgserver.formats.search import parse
from msgserver.records import Message, Note, Priority, Ticket, Viewer
from msgserver.store import audit, counting, messages, views, visible
from msgserver.store.bulk import clean
from msgserver.store.edits import Refused, Stale
from msgserver.store.paging import Page, size
from msgserver.store.schema import (
    auth_user,
    msg_log,
    ticket_assignee,
    ticket_note,
)
from msgserver.store.schema import ticket as _ticket
from msgserver.store.ticket_rows import filled, one_of


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
    view = view if view in views.VIEWS else "todo"
    asked = parse(query)
    limit = size(limit)
    found, following = views.page(tx, viewer, view, asked.tree, cursor_word, limit, now)
    return Page(tuple(filled(tx, viewer, found)), following, asked.ignored)


def ticket(tx: Connection, viewer: Viewer, ticket_id: int) -> Ticket | None:
    """One ticket, or the one it was merged into; None where there is none or the viewer may not see it."""
    found = filled(tx, viewer, list(tx.execute(one_of(viewer), {"ticket_id": ticket_id})))
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
    """How many tickets "todo", "mine", "unassigned" and "spam" hold; "unread": how many to do have something unread.

    Each count stops at ``views.COUNTED``.
    """
    return views.counts(tx, viewer, now)


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
    return ticket(tx, actor, edited.id) or edited  # whoever gave back what only its assignee sees, sees it no more


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
    here = and_(msg_log.c.ticket_id == edited.id, msg_log.c.direction == "in", msg_log.c.spam.is_(not spam))
    ids = list(tx.scalars(select(msg_log.c.id).where(here)))
    if spam:
        counting.count_tags(tx, msg_log.c.id.in_(ids), -1)
    tx.execute(update(msg_log).where(msg_log.c.id.in_(ids)).values(spam=spam))
    if not spam:
        counting.count_tags(tx, msg_log.c.id.in_(ids), +1)
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
