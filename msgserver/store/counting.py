"""Kept numbers: versions that go up by one, and how many messages each record has, in all and read by whom.

Kept are, for each tag (``key`` is "resource/record"): ``total``, its incoming messages that are not spam; and for
each user ``read``, those of them with a read mark, or from before the user and not marked unread. What somebody has
yet to read is total less read, less what they wrote themselves. The same is kept of each type (``key`` is its name):
a message with two records of a type counts once.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
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
    literal,
    literal_column,
    not_,
    or_,
    select,
    true,
)

from msgserver.formats.query import parse
from msgserver.records import Viewer
from msgserver.store import search, visible
from msgserver.store.schema import auth_user, counter, msg_log, msg_read_status, msg_tag, pe_contact
from msgserver.store.upsert import inserting

TOTAL = "total"
READ = "read"
TYPE_TOTAL = "type total"
TYPE_READ = "type read"
KEPT = (TOTAL, READ, TYPE_TOTAL, TYPE_READ)
MOST_FOUND = 300  # what a search finds is counted so far: a person reads "300 or more" alike

_key = msg_tag.c.resource + literal_column("'/'") + msg_tag.c.record
_counted = and_(msg_log.c.direction == literal_column("'in'"), msg_log.c.spam.is_(False))
_NAMES = ["name", "key", "user_id", "value"]


def add(tx: Connection, name: str, amounts: Mapping[str, int], user_id: int = 0) -> None:
    """Add to counters of one name, by their keys."""
    rows = [{"name": name, "key": key, "user_id": user_id, "value": by} for key, by in sorted(amounts.items()) if by]
    if rows:
        _added(tx, inserting(tx, counter).values(rows))


def bump(tx: Connection, name: str) -> None:
    """Count a version up by one."""
    add(tx, name, {"": 1})


def _added(tx: Connection, insertion: Any) -> None:
    key = [counter.c.name, counter.c.key, counter.c.user_id]
    value = counter.c.value + insertion.excluded.value
    tx.execute(insertion.on_conflict_do_update(index_elements=key, set_={"value": value}))


def _seen() -> ColumnElement[bool]:
    mark = msg_read_status.c
    return or_(mark.read_at > 0, and_(mark.read_at.is_(None), msg_log.c.id <= auth_user.c.unread_from))


def _by_users(rows: Select[Any], user_id: int | None = None) -> Select[Any]:
    """Join messages with every user (or one) and their read marks."""
    mark = msg_read_status.c
    mine = literal(True) if user_id is None else auth_user.c.id == user_id
    rows = rows.join(auth_user, mine)
    return rows.outerjoin(
        msg_read_status, and_(mark.message_id == msg_log.c.id, mark.auth_user_id == auth_user.c.id)
    ).where(_seen())


def _tagged(*columns: Any) -> Select[Any]:
    """Tags of what counts."""
    rows = select(*columns).select_from(msg_tag)
    return rows.join(msg_log, msg_log.c.id == msg_tag.c.message_id).where(_counted)


_messages = func.count(msg_tag.c.message_id.distinct())


def _counts(sign: int, which: ColumnElement[bool], of_types: ColumnElement[bool]) -> list[Select[Any]]:
    """The four kept counts of some tags; ``of_types``: of those that decide whether a message counts for its type."""
    user, kind = auth_user.c.id, msg_tag.c.resource
    totals = _tagged(literal(TOTAL), _key, literal(0), func.count() * sign).where(which).group_by(_key)
    reads = _by_users(_tagged(literal(READ), _key, user, func.count() * sign)).where(which)
    types = _tagged(literal(TYPE_TOTAL), kind, literal(0), _messages * sign).where(of_types).group_by(kind)
    read_types = _by_users(_tagged(literal(TYPE_READ), kind, user, _messages * sign)).where(of_types)
    return [
        totals.order_by(_key),
        reads.group_by(user, _key).order_by(_key, user),
        types.order_by(kind),
        read_types.group_by(user, kind).order_by(kind, user),
    ]


def _added_all(tx: Connection, rows: Iterable[Select[Any]]) -> None:
    for one in rows:
        _added(tx, inserting(tx, counter).from_select(_NAMES, one))


def count_tags(tx: Connection, which: ColumnElement[bool], sign: int) -> None:
    """Count tags of msg_tag joined with msg_log in (+1, after they were written) or out (-1, before they go)."""
    # A message counts for a type as long as it has any tag of it: others than these keep it where it is.
    other = msg_tag.alias("other")
    these = select(msg_tag.c.id).join(msg_log, msg_log.c.id == msg_tag.c.message_id).where(which)
    kept = exists(
        select(other.c.id)
        .where(
            other.c.message_id == msg_tag.c.message_id,
            other.c.resource == msg_tag.c.resource,
            other.c.id.not_in(these.correlate(None)),
        )
        .correlate(msg_tag)
    )
    _added_all(tx, _counts(sign, which, and_(which, ~kept)))


def count_marks(tx: Connection, user_id: int, message_ids: Iterable[int], sign: int) -> None:
    """Count messages as read by a user, or no longer."""
    ids = list(message_ids)
    if not ids:
        return
    here, kind = msg_log.c.id.in_(ids), msg_tag.c.resource
    records = _tagged(literal(READ), _key, literal(user_id), func.count() * sign).where(here)
    types = _tagged(literal(TYPE_READ), kind, literal(user_id), _messages * sign).where(here)
    _added_all(tx, [records.group_by(_key).order_by(_key), types.group_by(kind).order_by(kind)])


def count_user(tx: Connection, user_id: int) -> None:
    """For a new user all that is there counts as read."""
    for total, read in ((TOTAL, READ), (TYPE_TOTAL, TYPE_READ)):
        rows = select(literal(read), counter.c.key, literal(user_id), counter.c.value).where(counter.c.name == total)
        tx.execute(insert(counter).from_select(_NAMES, rows))


def recount(tx: Connection) -> None:
    """Count everything again."""
    tx.execute(delete(counter).where(counter.c.name.in_(KEPT)))
    for rows in _counts(1, true(), true()):
        tx.execute(insert(counter).from_select(_NAMES, rows))


def differences(tx: Connection) -> Iterator[str]:
    """Where a kept count is not what counting again gives, in sentences (I8)."""
    row = counter.c
    for name, rows in zip(KEPT, _counts(1, true(), true()), strict=True):
        counted = {(key, user): value for _, key, user, value in tx.execute(rows)}
        kept = {
            (key, user): value
            for key, user, value in tx.execute(select(row.key, row.user_id, row.value).where(row.name == name))
        }
        for key, user in sorted(counted.keys() | kept.keys()):
            is_, should = kept.get((key, user), 0), counted.get((key, user), 0)
            if is_ != should:
                whose = f" of user {user}" if user else ""
                yield f"I8: {is_} messages are kept as the {name}{whose} of {key}, counting gives {should}"


def of_types(tx: Connection, viewer: Viewer, names: Iterable[str]) -> dict[str, tuple[int, int]]:
    """Of each resource type: unread and read messages. For whoever sees a part of it, that part is counted."""
    found: dict[str, tuple[int, int]] = {}
    row = counter.c
    for name in names:
        if not visible.sees_type(viewer, name):
            found[name] = _of_part(tx, viewer, name)
            continue
        rows = select(row.name, row.value).where(
            row.key == name,
            or_(
                and_(row.name == TYPE_TOTAL, row.user_id == 0),
                and_(row.name == TYPE_READ, row.user_id == viewer.user_id),
            ),
        )
        kept = {one.name: one.value for one in tx.execute(rows)}
        own = _own_of_type(tx, viewer, name) if viewer.entity_id is not None else 0
        total = kept.get(TYPE_TOTAL, 0)
        fresh = total - kept.get(TYPE_READ, 0) - own
        found[name] = (fresh, total - fresh)
    return {name: count for name, count in found.items() if any(count)}


def _of_part(tx: Connection, viewer: Viewer, name: str) -> tuple[int, int]:
    tagged = select(msg_tag.c.message_id).where(
        msg_tag.c.resource == name, visible.in_scope(viewer, msg_tag.c.resource, msg_tag.c.record)
    )
    here = select(func.count()).select_from(msg_log).where(msg_log.c.id.in_(tagged), search.inbound())
    fresh = tx.scalar(here.where(search.unread(viewer))) or 0
    return fresh, (tx.scalar(here) or 0) - fresh


def of_search(tx: Connection, viewer: Viewer, query: str) -> tuple[int, int]:
    """What a search finds that the viewer has yet to read and has read, each counted up to ``MOST_FOUND``."""
    tree = parse(query).tree
    if tree is None:
        return 0, 0
    found = search.finding(tx, tree, viewer)
    rows = found.over([msg_log.c.id]).where(visible.messages(viewer), search.inbound()).order_by(found.key.desc())
    fresh = search.unread(viewer)
    counted = [
        tx.scalar(select(func.count()).select_from(rows.where(one).limit(MOST_FOUND).subquery())) or 0
        for one in (fresh, not_(fresh.self_group()))
    ]
    return counted[0], counted[1]


def unread_read(tx: Connection, viewer: Viewer, resource: str, records: Iterable[str]) -> dict[str, tuple[int, int]]:
    """Of each record of a type: unread and read messages, as kept; records without any are left out."""
    keys = {f"{resource}/{record}": record for record in records}
    row = counter.c
    rows = select(row.name, row.key, row.value).where(
        row.key.in_(list(keys)),
        or_(and_(row.name == TOTAL, row.user_id == 0), and_(row.name == READ, row.user_id == viewer.user_id)),
    )
    kept: dict[str, dict[str, int]] = {}
    for name, key, value in tx.execute(rows):
        kept.setdefault(key, {})[name] = value
    own = _own(tx, viewer, resource, list(keys.values())) if viewer.entity_id is not None else {}
    found = {}
    for key, held in kept.items():
        if total := held.get(TOTAL, 0):
            fresh = total - held.get(READ, 0) - own.get(keys[key], 0)
            found[keys[key]] = (fresh, total - fresh)
    return found


def _mine(viewer: Viewer, rows: Select[Any]) -> Select[Any]:
    """Of tagged messages those that the viewer wrote in themselves and has no read mark on."""
    mark = msg_read_status.c
    return (
        rows.select_from(pe_contact)
        .join(msg_log, and_(msg_log.c.sender == pe_contact.c.address, msg_log.c.entity_id == viewer.entity_id))
        .join(msg_tag, msg_tag.c.message_id == msg_log.c.id)
        .join(auth_user, auth_user.c.id == viewer.user_id)
        .outerjoin(msg_read_status, and_(mark.message_id == msg_log.c.id, mark.auth_user_id == auth_user.c.id))
        .where(
            pe_contact.c.entity_id == viewer.entity_id,
            _counted,
            or_(mark.read_at <= 0, and_(mark.read_at.is_(None), msg_log.c.id > auth_user.c.unread_from)),
        )
    )


def _own(tx: Connection, viewer: Viewer, resource: str, records: list[str]) -> dict[str, int]:
    rows = _mine(viewer, select(msg_tag.c.record, func.count())).where(
        msg_tag.c.resource == resource, msg_tag.c.record.in_(records)
    )
    return {row[0]: row[1] for row in tx.execute(rows.group_by(msg_tag.c.record))}


def _own_of_type(tx: Connection, viewer: Viewer, resource: str) -> int:
    return tx.scalar(_mine(viewer, select(_messages)).where(msg_tag.c.resource == resource)) or 0
