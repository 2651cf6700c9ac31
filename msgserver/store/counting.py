"""Kept numbers: versions that go up by one, and how many messages each record has, in all and read by whom.

Kept are, for each tag (``key`` is "resource/record"): ``total``, its incoming messages that are not spam; and for
each user ``read``, those of them with a read mark, or from before the user and not marked unread. What somebody has
yet to read is total less read, less what they wrote themselves.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Select,
    and_,
    delete,
    func,
    insert,
    literal,
    literal_column,
    or_,
    select,
)

from msgserver.records import Viewer
from msgserver.store.schema import auth_user, counter, msg_log, msg_read_status, msg_tag, pe_contact
from msgserver.store.upsert import inserting

TOTAL = "total"
READ = "read"

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


def _totals(sign: int) -> Select[Any]:
    rows = select(literal(TOTAL), _key, literal(0), func.count() * sign).select_from(msg_tag)
    return rows.join(msg_log, msg_log.c.id == msg_tag.c.message_id).where(_counted).group_by(_key).order_by(_key)


def _reads(sign: int) -> Select[Any]:
    mark = msg_read_status.c
    rows = select(literal(READ), _key, auth_user.c.id, func.count() * sign).select_from(msg_tag)
    rows = rows.join(msg_log, msg_log.c.id == msg_tag.c.message_id).join(auth_user, literal(True))
    rows = rows.outerjoin(msg_read_status, and_(mark.message_id == msg_log.c.id, mark.auth_user_id == auth_user.c.id))
    seen = or_(mark.read_at > 0, and_(mark.read_at.is_(None), msg_log.c.id <= auth_user.c.unread_from))
    return rows.where(_counted, seen).group_by(auth_user.c.id, _key).order_by(_key, auth_user.c.id)


def count_tags(tx: Connection, which: ColumnElement[bool], sign: int) -> None:
    """Count tags of msg_tag joined with msg_log in (+1, after they were written) or out (-1, before they go)."""
    for rows in (_totals(sign), _reads(sign)):
        _added(tx, inserting(tx, counter).from_select(_NAMES, rows.where(which)))


def count_marks(tx: Connection, user_id: int, message_ids: Iterable[int], sign: int) -> None:
    """Count messages as read by a user, or no longer."""
    ids = list(message_ids)
    if not ids:
        return
    rows = select(literal(READ), _key, literal(user_id), func.count() * sign).select_from(msg_tag)
    rows = rows.join(msg_log, msg_log.c.id == msg_tag.c.message_id).where(_counted, msg_log.c.id.in_(ids))
    _added(tx, inserting(tx, counter).from_select(_NAMES, rows.group_by(_key).order_by(_key)))


def count_user(tx: Connection, user_id: int) -> None:
    """For a new user all that is there counts as read."""
    rows = select(literal(READ), counter.c.key, literal(user_id), counter.c.value).where(counter.c.name == TOTAL)
    tx.execute(insert(counter).from_select(_NAMES, rows))


def recount(tx: Connection) -> None:
    """Count everything again."""
    tx.execute(delete(counter).where(counter.c.name.in_([TOTAL, READ])))
    for rows in (_totals(1), _reads(1)):
        tx.execute(insert(counter).from_select(_NAMES, rows))


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


def _own(tx: Connection, viewer: Viewer, resource: str, records: list[str]) -> dict[str, int]:
    """What the viewer wrote in themselves and has no read mark on."""
    mark = msg_read_status.c
    rows = (
        select(msg_tag.c.record, func.count())
        .select_from(pe_contact)
        .join(msg_log, and_(msg_log.c.sender == pe_contact.c.address, msg_log.c.entity_id == viewer.entity_id))
        .join(msg_tag, msg_tag.c.message_id == msg_log.c.id)
        .join(auth_user, auth_user.c.id == viewer.user_id)
        .outerjoin(msg_read_status, and_(mark.message_id == msg_log.c.id, mark.auth_user_id == auth_user.c.id))
        .where(
            pe_contact.c.entity_id == viewer.entity_id,
            _counted,
            msg_tag.c.resource == resource,
            msg_tag.c.record.in_(records),
            or_(mark.read_at <= 0, and_(mark.read_at.is_(None), msg_log.c.id > auth_user.c.unread_from)),
        )
        .group_by(msg_tag.c.record)
    )
    return {row[0]: row[1] for row in tx.execute(rows)}
