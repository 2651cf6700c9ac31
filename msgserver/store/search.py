"""A query's tree as SQL over ``msg_log``: the same messages that ``formats.search.matches`` would pick.

Words go to FTS5 (``msg_search``, rowid = message id) or to ``msg_log.search`` (a tsvector), every term quoted. On
SQLite the part of a query that is only words becomes one MATCH that is walked newest first, so that a page of a word
in every second message costs as little as one of a rare word.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any as Anything

import msgspec
from sqlalchemy import (
    ColumnElement,
    Connection,
    FromClause,
    Select,
    and_,
    cast,
    column,
    exists,
    false,
    func,
    literal,
    literal_column,
    not_,
    or_,
    select,
    table,
    true,
    union_all,
)
from sqlalchemy.dialects.postgresql import TSQUERY

from msgserver.formats.query import All, Any, Moment, Not, Numbered, OfPriority, OfRecord, Term, Tree, Words
from msgserver.formats.search import KEYWORD, marked, spellings
from msgserver.records import Viewer
from msgserver.store import bulk
from msgserver.store.paging import database_clock
from msgserver.store.schema import (
    auth_user,
    msg_attachment,
    msg_delivery_status,
    msg_log,
    msg_read_status,
    msg_tag,
    resource_record,
    ticket,
    ticket_assignee,
)

msg_search = table("msg_search", column("rowid"), column("tokens"))
_match = literal_column("msg_search").op("MATCH", is_comparison=True)


class Finding(msgspec.Struct, frozen=True):
    """How to find: a full-text expression to walk by (SQLite only; else empty), and what must hold besides."""

    match: str
    where: Anything  # ColumnElement[bool]

    def over(self, columns: Iterable[Anything]) -> Select[Anything]:
        """The SELECT of the messages found, in no order yet."""
        found = select(*columns).where(self.where)
        if not self.match:
            return found.select_from(msg_log)
        walked = found.select_from(msg_search.join(msg_log, msg_log.c.id == msg_search.c.rowid))
        return walked.where(_match(self.match))

    @property
    def key(self) -> ColumnElement[int]:
        """The column to sort and to page by: newest messages have the largest."""
        return literal_column("msg_search.rowid") if self.match else msg_log.c.id


def finding(tx: Connection, tree: Tree | None, viewer: Viewer, now: float | None = None) -> Finding:
    """Plan a tree for this database. ``now`` counts for newer: and older: (default: the database's clock)."""
    if tree is None:
        return Finding("", true())
    compiling = _Compiling(
        tx.dialect.name == "postgresql", viewer, literal(now) if now is not None else database_clock()
    )
    parts = tree.parts if isinstance(tree, All) else (tree,)
    match = "" if compiling.postgresql else _fts5(All(tuple(part for part in parts if _wordy(part))))
    if not match:
        return Finding("", compiling.where(tree))
    return Finding(match, and_(true(), *(compiling.where(part) for part in parts if not _wordy(part))))


def answering(found: Finding) -> ColumnElement[bool]:
    """A finding as a condition on one row of msg_log at a time."""
    if not found.match:
        return found.where  # type: ignore[no-any-return]
    here = select(msg_search.c.rowid).where(_match(found.match), msg_search.c.rowid == msg_log.c.id)
    return and_(exists(here.correlate(msg_log)), found.where)


def unread_from(viewer: Viewer) -> ColumnElement[int]:
    """The last message that counts as read because it was there before the viewer."""
    mine = select(auth_user.c.unread_from).where(auth_user.c.id == viewer.user_id).scalar_subquery()
    return func.coalesce(mine, 0)


def inbound(log: FromClause = msg_log) -> ColumnElement[bool]:
    """What can be read or unread at all: incoming, not spam."""
    return and_(log.c.direction == literal_column("'in'"), not_(log.c.spam))


def of_others(viewer: Viewer, log: FromClause = msg_log) -> ColumnElement[bool]:
    """What the viewer did not send in themselves."""
    return true() if viewer.entity_id is None else func.coalesce(log.c.entity_id, 0) != viewer.entity_id


def unread(viewer: Viewer, log: FromClause = msg_log) -> ColumnElement[bool]:
    """Of msg_log: what the viewer has yet to read, nothing of their own.

    A row with ``read_at`` 0 marks a message unread that lies below the viewer's watermark.
    """
    mine = (
        select(msg_read_status.c.message_id)
        .where(msg_read_status.c.message_id == log.c.id, msg_read_status.c.auth_user_id == viewer.user_id)
        .correlate(log)
    )
    return and_(
        inbound(log),
        of_others(viewer, log),
        ~exists(mine.where(msg_read_status.c.read_at > 0)),
        or_(log.c.id > unread_from(viewer), exists(mine.where(msg_read_status.c.read_at <= 0))),
    )


def escape(text: str) -> str:
    """A text as a literal within LIKE ... ESCAPE '/'."""
    return bulk.clean(text).replace("/", "//").replace("%", "/%").replace("_", "/_")


def _wordy(tree: Tree) -> bool:
    """Whether a tree is about words alone."""
    if isinstance(tree, Not):
        return _wordy(tree.part)
    if isinstance(tree, All | Any):
        return all(_wordy(part) for part in tree.parts)
    return isinstance(tree, Words)


def _fts5(tree: Tree) -> str:
    """An FTS5 expression; empty where there is none because nothing positive is asked."""
    match tree:
        case Words():
            star = " *" if tree.beginning else ""
            return "(" + " OR ".join(f'"{" ".join(written)}"{star}' for written in marked(tree)) + ")"
        case Any(parts):
            found = [_fts5(part) for part in parts]
            return f"({' OR '.join(found)})" if all(found) else ""
        case All(parts):
            wanted = [_fts5(part) for part in parts if not isinstance(part, Not)]
            unwanted = [_fts5(part.part) for part in parts if isinstance(part, Not)]
            if not wanted or not all(wanted) or not all(unwanted):
                return ""
            both = f"({' AND '.join(wanted)})"
            return f"({both} NOT ({' OR '.join(unwanted)}))" if unwanted else both
    return ""


def _tsquery(words: Words) -> str:
    """A tsquery: tokens hold neither quotes nor backslashes."""
    star = ":*" if words.beginning else ""
    return " | ".join("(" + " <-> ".join(f"'{token}'" for token in written) + star + ")" for written in marked(words))


class _Compiling(msgspec.Struct, frozen=True):
    """A tree's leaves as conditions on msg_log; none is ever NULL, so that NOT means everything else."""

    postgresql: bool
    viewer: Viewer
    now: Anything

    def where(self, tree: Tree) -> ColumnElement[bool]:
        """One condition on msg_log."""
        match tree:
            case All(parts):
                return and_(*(self.where(part) for part in parts))
            case Any(parts):
                return or_(*(self.where(part) for part in parts))
            case Not(part):
                return not_(self.where(part).self_group())
            case Words():
                return self._words(tree)
            case OfRecord(resource, record):
                return _tagged(resource, record)
            case OfPriority(priority):
                return _on_ticket(ticket.c.priority == int(priority))
            case Numbered(number, place):
                here = and_(msg_log.c.ticket_id.is_not(None), msg_log.c.ticket_id == number)
                return and_(here, msg_log.c.number == place) if place else here
            case Moment(at, after, back):
                moment = self.now - at if back else literal(at)
                return msg_log.c.received_at >= moment if after else msg_log.c.received_at < moment
            case Term(key, value):
                return self._term(key, value)

    def _words(self, words: Words) -> ColumnElement[bool]:
        if self.postgresql:
            vector: ColumnElement[Anything] = literal_column("msg_log.search")  # never NULL, see the migration
            return vector.op("@@", is_comparison=True)(cast(_tsquery(words), TSQUERY))
        return msg_log.c.id.in_(select(msg_search.c.rowid).where(_match(_fts5(words))))

    def _term(self, key: str, value: str) -> ColumnElement[bool]:
        match key:
            case "is":
                return self._flag(value)
            case "has":
                return exists(select(msg_attachment.c.id).where(msg_attachment.c.message_id == msg_log.c.id))
            case "tag":
                return _named_tag(value)
            case "channel":
                start, listed = f"{escape(value)}:%", escape(f'"{value}:')
                return or_(
                    msg_log.c.sender.like(start, escape="/"),
                    msg_log.c.recipients.like(f"[{listed}%", escape="/"),
                    msg_log.c.recipients.like(f"%,{listed}%", escape="/"),
                )
            case "connector":
                return msg_log.c.connector == value
            case "status":
                rows = msg_delivery_status.c
                return exists(select(rows.id).where(rows.message_id == msg_log.c.id, rows.state == value))
        return _assigned(self.viewer, value)

    def _flag(self, flag: str) -> ColumnElement[bool]:
        match flag:
            case "unread":
                return unread(self.viewer)
            case "read":
                return and_(inbound(), not_(unread(self.viewer).self_group()))
            case "todo":
                return _on_ticket(ticket.c.actioned_at.is_(None))
            case "done":
                return _on_ticket(ticket.c.actioned_at.is_not(None))
            case "verified":
                return msg_log.c.verified != ""
            case "actionable":
                return func.coalesce(msg_log.c.actionable, false())
            case "spam":
                return msg_log.c.spam
            case "unparsed":
                return msg_log.c.trouble != "[]"
        return msg_log.c.direction == ("in" if flag == "incoming" else "out")


def _on_ticket(condition: ColumnElement[bool]) -> ColumnElement[bool]:
    return exists(select(ticket.c.id).where(ticket.c.id == msg_log.c.ticket_id, condition).correlate(msg_log))


def _assigned(viewer: Viewer, whom: str) -> ColumnElement[bool]:
    mine = select(ticket_assignee.c.user_id).where(ticket_assignee.c.ticket_id == msg_log.c.ticket_id)
    if whom == "none":
        return ~exists(mine.correlate(msg_log))
    if whom == "me":
        return exists(mine.where(ticket_assignee.c.user_id == viewer.user_id).correlate(msg_log))
    named = mine.join(auth_user, auth_user.c.id == ticket_assignee.c.user_id).where(auth_user.c.name == whom)
    return exists(named.correlate(msg_log))


def _records_named(name: str) -> ColumnElement[bool]:
    *written, folded = spellings(name)
    ways: list[ColumnElement[bool]] = [resource_record.c.code.in_(written)]
    if folded:
        ways.append(resource_record.c.name_folded == folded)
    return or_(*ways)


def _of_type(names: Iterable[str]) -> ColumnElement[bool]:
    """Tagged with a type: in many messages, so each is asked, newest first, until a page is full."""
    rows = select(msg_tag.c.id).where(msg_tag.c.message_id == msg_log.c.id, msg_tag.c.resource.in_(list(names)))
    return exists(rows.correlate(msg_log))


def _tagged(resource: str, record: str) -> ColumnElement[bool]:
    if not record:
        return _of_type([resource])
    names = [name for name in dict.fromkeys(spellings(record)) if name]
    uids = select(resource_record.c.uid).where(resource_record.c.resource == resource, _records_named(record))
    rows = select(msg_tag.c.message_id).where(msg_tag.c.resource == resource)
    return msg_log.c.id.in_(union_all(rows.where(msg_tag.c.record.in_(names)), rows.where(msg_tag.c.record.in_(uids))))


def _named_tag(name: str) -> ColumnElement[bool]:
    """A keyword, a type, or any type's record by code or name."""
    written = spellings(name)
    keywords = select(msg_tag.c.message_id).where(
        msg_tag.c.resource == KEYWORD, msg_tag.c.record.in_([word for word in dict.fromkeys(written) if word])
    )
    same = and_(resource_record.c.resource == msg_tag.c.resource, resource_record.c.uid == msg_tag.c.record)
    of_records = select(msg_tag.c.message_id).join(resource_record, same).where(_records_named(name))
    return or_(_of_type(written[:-1]), msg_log.c.id.in_(union_all(keywords, of_records)))
