"""The queue of a station that people work: what waits, what is in somebody's hands, what came of the rest."""

from __future__ import annotations

from typing import Any

import msgspec
from sqlalchemy import ColumnElement, Connection, func, or_, select

from msgserver.records import DeliveryState, Viewer
from msgserver.store import visible
from msgserver.store.schema import msg_delivery_status, msg_log, pe_entity

MOST = 100
LOOK_BACK = 24 * 3600.0  # seconds for which what has ended is shown
_OPEN = (DeliveryState.PENDING, DeliveryState.CLAIMED, DeliveryState.UNKNOWN)


class Queued(msgspec.Struct, frozen=True, kw_only=True):
    """One text of a station's queue; times are POSIX seconds."""

    id: int
    ref: str  # the envelope's
    state: DeliveryState
    address: str
    to_name: str
    priority: int
    subject: str
    body: str
    ticket_id: int | None
    number: int
    reason: str
    due_at: float | None
    expires: float | None
    created_at: float
    changed_at: float


class Queue(msgspec.Struct, frozen=True):
    """At most a hundred of each."""

    waiting: tuple[Queued, ...]  # the most urgent first, as they are handed out
    open: tuple[Queued, ...]  # taken, or unknown
    ended: tuple[Queued, ...]  # of the last day, newest first
    more: int  # that wait and are not listed


_ROW = msg_delivery_status.c
_COLUMNS = (
    _ROW.id,
    msg_log.c.uid,
    _ROW.state,
    _ROW.address,
    func.coalesce(pe_entity.c.name, "").label("to_name"),
    _ROW.priority,
    msg_log.c.subject,
    msg_log.c.body,
    _ROW.ticket_id,
    msg_log.c.number,
    _ROW.reason,
    _ROW.next_attempt,
    _ROW.expires,
    _ROW.created_at,
    _ROW.changed_at,
)


def _query(viewer: Viewer, *where: ColumnElement[bool]) -> Any:
    joined = msg_delivery_status.join(msg_log, msg_log.c.id == _ROW.message_id).outerjoin(
        pe_entity, pe_entity.c.id == _ROW.entity_id
    )
    return select(*_COLUMNS).select_from(joined).where(visible.messages(viewer), *where)


def _queued(row: Any) -> Queued:
    return Queued(
        id=row.id,
        ref=f"d{row.id}.{row.uid[-12:]}",
        state=DeliveryState(row.state),
        address=row.address,
        to_name=row.to_name,
        priority=row.priority,
        subject=row.subject,
        body=row.body,
        ticket_id=row.ticket_id,
        number=row.number,
        reason=row.reason,
        due_at=row.next_attempt,
        expires=row.expires,
        created_at=row.created_at,
        changed_at=row.changed_at,
    )


def queue(tx: Connection, viewer: Viewer, connector: str, now: float) -> Queue:
    """A connector's queue as the viewer may see it."""
    ours = _ROW.connector == connector
    pending = _query(viewer, ours, _ROW.state == DeliveryState.PENDING.value)
    order = (_ROW.priority.desc(), _ROW.next_attempt, _ROW.id)
    waiting = [_queued(row) for row in tx.execute(pending.order_by(*order).limit(MOST))]
    count = tx.scalar(select(func.count()).select_from(pending.order_by(None).subquery())) or 0
    states = or_(_ROW.state == DeliveryState.CLAIMED.value, _ROW.state == DeliveryState.UNKNOWN.value)
    hands = tx.execute(_query(viewer, ours, states).order_by(*order).limit(MOST))
    rest = _ROW.state.not_in([state.value for state in _OPEN])
    past = _query(viewer, ours, rest, _ROW.changed_at > now - LOOK_BACK).order_by(
        _ROW.changed_at.desc(), _ROW.id.desc()
    )
    return Queue(
        tuple(waiting),
        tuple(_queued(row) for row in hands),
        tuple(_queued(row) for row in tx.execute(past.limit(MOST))),
        int(count) - len(waiting),
    )


def queued(tx: Connection, viewer: Viewer, connector: str, delivery_id: int) -> Queued | None:
    """One text of a connector's, whatever became of it; None: there is none, or the viewer may not see it."""
    row = tx.execute(_query(viewer, _ROW.connector == connector, _ROW.id == delivery_id)).one_or_none()
    return None if row is None else _queued(row)
