"""What arrived, word for word, before anybody read it: committed before the wire is acknowledged."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, and_, exists, func, literal_column, select, true, update

from msgserver.message import Accepted
from msgserver.records import JournalRow, Outcome, Raw, RawState, Viewer
from msgserver.store import bulk, visible
from msgserver.store.committing import place
from msgserver.store.schema import connector_state, msg_log, msg_raw, msg_raw_bytes

_COLUMNS = ("connector", "wire_id", "envelope", "blob", "size", "sha256", "received_at")

_FIRST = bulk.Statement(
    """
    WITH r AS MATERIALIZED ({rows})
    SELECT r.i AS i, m.id AS id FROM r JOIN msg_raw m ON m.connector = r.connector AND m.wire_id = r.wire_id
    """,
    rows="i:int connector:text wire_id:text",
    out="i id",
)


@place("C1")
def journal(tx: Connection, rows: list[JournalRow]) -> list[Accepted]:
    """Write arrivals; the same (connector, wire_id) again is a duplicate of the first, also within one group.

    The connector's cursors are committed together with the rows.
    """
    ids, inserted = bulk.insert_numbered(tx, msg_raw, _COLUMNS, [_values(row) for row in rows])
    _keep_cursors(tx, rows)
    accepted = [Accepted(raw_id) for raw_id in ids]
    if inserted < len(rows):
        accepted = _with_repeats(tx, rows, ids, inserted)
    taken = zip(accepted, rows, strict=True)
    content = [(one.raw_id, row.raw) for one, row in taken if row.raw and not one.duplicate]
    bulk.insert_rows(tx, msg_raw_bytes, ("raw_id", "raw"), content)
    return accepted


def _values(row: JournalRow) -> tuple[Any, ...]:
    return row.connector, row.wire_id, row.envelope.decode(), row.blob, row.size, row.sha256, row.received_at


def _with_repeats(tx: Connection, rows: Sequence[JournalRow], ids: Sequence[int], inserted: int) -> list[Accepted]:
    """Of a group in which some are repeats: each with the id that its first coming has."""
    first = dict(_FIRST.fetch(tx, [(i, row.connector, row.wire_id) for i, row in enumerate(rows)]))
    fresh = bulk.went_in(tx, ids, sorted(set(first.values())), inserted)
    accepted = []
    for i in range(len(rows)):
        accepted.append(Accepted(first[i], duplicate=first[i] not in fresh))
        fresh.discard(first[i])
    return accepted


def _keep_cursors(tx: Connection, rows: Sequence[JournalRow]) -> None:
    last = {(row.connector, row.cursor[0]): row for row in rows if row.cursor is not None}
    for (connector, key), row in sorted(last.items()):
        assert row.cursor is not None
        values = {"value": row.cursor[1], "at": row.received_at}
        where = and_(connector_state.c.connector == connector, connector_state.c.key == key)
        if not tx.execute(update(connector_state).where(where).values(values)).rowcount:
            tx.execute(connector_state.insert().values(connector=connector, key=key, **values))


_RAW = (
    msg_raw.c.id,
    msg_raw.c.connector,
    msg_raw.c.wire_id,
    msg_raw.c.envelope,
    msg_raw_bytes.c.raw,
    msg_raw.c.blob,
    msg_raw.c.received_at,
)
_JOURNAL = select(*_RAW).join_from(msg_raw, msg_raw_bytes, msg_raw_bytes.c.raw_id == msg_raw.c.id, isouter=True)


def unread(tx: Connection, after_id: int, limit: int) -> list[Raw]:
    """Arrivals not read yet, oldest first.

    On PostgreSQL a smaller id may be committed after a larger one: ask again from 0 now and then.
    """
    query = (
        _JOURNAL.where(msg_raw.c.state == literal_column("'received'"), msg_raw.c.id > after_id)
        .order_by(msg_raw.c.id)
        .limit(limit)
    )
    return [_raw(row) for row in tx.execute(query)]


def backlog(tx: Connection) -> int:
    """How many arrivals wait to be read."""
    return tx.execute(select(func.count()).where(msg_raw.c.state == literal_column("'received'"))).scalar_one()


def raw(tx: Connection, viewer: Viewer, raw_id: int) -> Raw | None:
    """One arrival as it came; None where there is none or the viewer may not see what it became."""
    query = _JOURNAL.where(msg_raw.c.id == raw_id)
    if not visible.whole_log(viewer):
        seen = select(msg_log.c.id).where(msg_log.c.raw_id == msg_raw.c.id, visible.messages(viewer))
        query = query.where(exists(seen.correlate(msg_raw)))
    row = tx.execute(query).one_or_none()
    return None if row is None else _raw(row)


def mark(tx: Connection, raw_id: int, outcome: Outcome, outcome_id: int | None, at: float) -> None:
    """An arrival was read and became something that ``record`` does not write: a form, a report, a part.

    A part that already belongs to a message still does after it was read once more.
    """
    fresh = msg_raw.c.outcome_id.is_(None) if outcome_id is None else true()
    tx.execute(
        update(msg_raw)
        .where(msg_raw.c.id == raw_id, fresh)
        .values(state=RawState.READ, outcome=outcome, outcome_id=outcome_id, read_at=at, reason="")
    )


_UNREADABLE = bulk.Statement(
    """
    WITH r AS MATERIALIZED ({rows})
    UPDATE msg_raw SET state = 'unreadable', reason = r.reason, read_at = r.at FROM r
    WHERE msg_raw.id = r.id AND msg_raw.state = 'received'
    """,
    rows="id:int reason:text at:float",
)


def mark_unreadable(tx: Connection, items: list[tuple[int, str, float]]) -> list[None]:
    """Arrivals (id, why in words, when) that could not be read; they are shown raw and block nobody."""
    _UNREADABLE.run(tx, items)
    return [None] * len(items)


def _raw(row: Any) -> Raw:
    return Raw(
        id=row.id,
        connector=row.connector,
        wire_id=row.wire_id,
        envelope=row.envelope.encode(),
        raw=bytes(row.raw or b""),
        blob=row.blob,
        received_at=row.received_at,
    )
