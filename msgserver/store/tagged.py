"""The messages that are about a record or a type: those of its page, its feeds and its export.

A tag names a record by type and uid; the record itself may live in another application, or be gone.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from typing import Any

import msgspec
from sqlalchemy import ColumnElement, Connection, and_, not_, select

from msgserver.records import Message, Priority, Viewer
from msgserver.store import visible
from msgserver.store.messages import columns, from_row
from msgserver.store.paging import Page, cursor, position, size
from msgserver.store.schema import auth_user, msg_log, msg_tag, ticket, ticket_assignee
from msgserver.store.search import inbound, unread


class Shown(StrEnum):
    """Which of them."""

    ALL = "all"
    UNREAD = "unread"  # by the viewer
    READ = "read"
    VERIFIED = "verified"


def of_record(
    tx: Connection,
    viewer: Viewer,
    resource: str,
    uid: str,
    shown: Shown = Shown.ALL,
    cursor_word: str = "",
    limit: int = 50,
    *,
    whole: bool = False,
    spam: bool = True,
) -> Page[Message]:
    """The messages tagged with one record, newest first; without ``spam`` only what is none."""
    row = msg_tag.c
    rows = select(*columns(viewer, whole=whole)).join(msg_tag, row.message_id == msg_log.c.id)
    rows = rows.where(row.resource == resource, row.record == uid, visible.messages(viewer), *_which(viewer, shown))
    return _page(tx, rows if spam else rows.where(not_(msg_log.c.spam)), row.message_id, cursor_word, limit)


def of_type(
    tx: Connection,
    viewer: Viewer,
    resource: str,
    shown: Shown = Shown.ALL,
    cursor_word: str = "",
    limit: int = 50,
    *,
    whole: bool = False,
) -> Page[Message]:
    """The messages tagged with a type or any record of it that lies in the viewer's scopes, newest first; no spam."""
    row = msg_tag.c
    tagged = select(row.message_id).where(row.resource == resource, visible.in_scope(viewer, row.resource, row.record))
    after = position(cursor_word, int)
    if after is not None:
        tagged = tagged.where(row.message_id < after[0])
    rows = select(*columns(viewer, whole=whole)).where(msg_log.c.id.in_(tagged), not_(msg_log.c.spam))
    return _page(tx, rows.where(visible.messages(viewer), *_which(viewer, shown)), msg_log.c.id, cursor_word, limit)


def _which(viewer: Viewer, shown: Shown) -> Iterable[ColumnElement[bool]]:
    match shown:
        case Shown.UNREAD:
            return (unread(viewer),)
        case Shown.READ:
            return (and_(inbound(), not_(unread(viewer).self_group())),)
        case Shown.VERIFIED:
            return (msg_log.c.verified != "",)
        case Shown.ALL:
            return ()


def _page(tx: Connection, rows: Any, key: ColumnElement[int], cursor_word: str, limit: int) -> Page[Message]:
    limit = size(limit)
    after = position(cursor_word, int)
    if after is not None:
        rows = rows.where(key < after[0])
    items = [from_row(row) for row in tx.execute(rows.order_by(key.desc()).limit(limit + 1))]
    return Page(tuple(items[:limit]), cursor(items[limit - 1].id) if len(items) > limit else "")


def known(tx: Connection, viewer: Viewer, resource: str, uid: str) -> bool:
    """Whether messages are tagged with this, record of ours or not, that lies in the viewer's scopes."""
    row = msg_tag.c
    rows = (
        select(row.id)
        .join(msg_log, msg_log.c.id == row.message_id)
        .where(row.resource == resource, row.record == uid, visible.messages(viewer))
        .where(visible.in_scope(viewer, row.resource, row.record))
    )
    return tx.scalar(rows.limit(1)) is not None


class OnTicket(msgspec.Struct, frozen=True):
    """How the conversation of a message stands."""

    done: bool
    priority: Priority
    assignees: tuple[str, ...]


def on_tickets(tx: Connection, viewer: Viewer, ticket_ids: Iterable[int]) -> dict[int, OnTicket]:
    """Of each ticket that may be seen: whether it is done, how urgent it is, and who has it."""
    ids = list(dict.fromkeys(ticket_ids))
    mine = ticket_assignee.c
    rows = (
        select(ticket.c.id, ticket.c.actioned_at, ticket.c.priority, auth_user.c.name)
        .outerjoin(ticket_assignee, mine.ticket_id == ticket.c.id)
        .outerjoin(auth_user, auth_user.c.id == mine.user_id)
        .where(ticket.c.id.in_(ids), visible.tickets(viewer))
        .order_by(auth_user.c.name)
    )
    found: dict[int, OnTicket] = {}
    for row in tx.execute(rows):
        names = (*(found[row.id].assignees if row.id in found else ()), *((row.name,) if row.name else ()))
        found[row.id] = OnTicket(row.actioned_at is not None, Priority(row.priority), names)
    return found
