"""Connectors as any process and any page may know them: status rows, pauses, and what each remembers."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import msgspec
from sqlalchemy import Connection, Subquery, delete, func, or_, select, update

from msgserver.records import ConnectorRow, Viewer
from msgserver.store import audit, sweeping
from msgserver.store.schema import connector_state, connector_status, msg_delivery_status, node
from msgserver.store.upsert import put

_strings = msgspec.json.Decoder(tuple[str, ...])
_gauges = msgspec.json.Decoder(dict[str, float | str])


# --- what a connector remembers ----------


def recall(tx: Connection, connector: str, key: str) -> bytes | None:
    """What a connector last remembered under a key."""
    row = connector_state.c
    value = tx.scalar(select(row.value).where(row.connector == connector, row.key == key))
    return None if value is None else bytes(value)


def remember(tx: Connection, connector: str, key: str, value: bytes, now: float) -> None:
    """Keep a connector's small durable state."""
    put(tx, connector_state, {"connector": connector, "key": key}, {"value": value, "at": now})


def forget(tx: Connection, connector: str, key: str) -> bool:
    """Let go of it."""
    row = connector_state.c
    return tx.execute(delete(connector_state).where(row.connector == connector, row.key == key)).rowcount > 0


# --- status ----------


def put_status(
    tx: Connection,
    name: str,
    kind: str,
    node_name: str,
    able: bool,
    words: str,
    now: float,
    schemes: Sequence[str] = (),
    gauges: Mapping[str, float | str] | None = None,
) -> None:
    """Write how a connector is; ``since`` moves only when its ability or its words change, a pause stays."""
    before = tx.execute(select(connector_status).where(connector_status.c.name == name)).one_or_none()
    same = before is not None and bool(before.able) == able and before.words == words
    row = {
        "kind": kind,
        "node": node_name,
        "able": able,
        "words": words,
        "since": before.since if same and before is not None else now,
        "seen_at": now,
        "schemes": msgspec.json.encode(list(schemes)).decode(),
        "gauges": msgspec.json.encode(dict(gauges or {})).decode(),
    }
    put(tx, connector_status, {"name": name}, row)


def note_traffic(tx: Connection, name: str, *, last_in: float | None = None, last_out: float | None = None) -> None:
    """Write when a connector last brought or took something."""
    times = {key: at for key, at in (("last_in", last_in), ("last_out", last_out)) if at is not None}
    if times:
        tx.execute(update(connector_status).where(connector_status.c.name == name).values(**times))


def _waiting() -> Subquery:
    row = msg_delivery_status.c
    legs = select(row.connector, func.count().label("held")).where(row.state == "pending").group_by(row.connector)
    return legs.subquery()


def rows(tx: Connection, name: str = "") -> list[ConnectorRow]:
    """All connectors by name (or one), each with how many deliveries wait for it."""
    waiting = _waiting()
    chosen = (
        select(connector_status, func.coalesce(waiting.c.held, 0).label("waiting"))
        .outerjoin(waiting, waiting.c.connector == connector_status.c.name)
        .order_by(connector_status.c.name)
    )
    if name:
        chosen = chosen.where(connector_status.c.name == name)
    return [_row(row) for row in tx.execute(chosen)]


def _row(row: Any) -> ConnectorRow:
    values = dict(row._mapping)
    values["schemes"] = _strings.decode(values["schemes"])
    values["gauges"] = _gauges.decode(values["gauges"])
    values["able"], values["paused"] = bool(row.able), bool(row.paused)
    return ConnectorRow(**values)


def connector(tx: Connection, name: str) -> ConnectorRow | None:
    """One connector."""
    found = rows(tx, name)
    return found[0] if found else None


def set_paused(tx: Connection, actor: Viewer, name: str, paused: bool, now: float) -> ConnectorRow | None:
    """Let a connector send nothing for a while (what is for it waits), or go on. None where there is no such."""
    changed = update(connector_status).where(connector_status.c.name == name).values(paused=paused)
    if not tx.execute(changed).rowcount:
        return None
    audit.note(tx, actor, "pause" if paused else "resume", f"connector/{name}", {}, now)
    return rows(tx, name)[0]


def paused(tx: Connection) -> frozenset[str]:
    """The connectors that are to send nothing."""
    return frozenset(tx.scalars(select(connector_status.c.name).where(connector_status.c.paused)))


def remove(tx: Connection, actor: Viewer, name: str, now: float) -> bool:
    """Forget a connector that is no longer configured; its messages and its state stay."""
    if not tx.execute(delete(connector_status).where(connector_status.c.name == name)).rowcount:
        return False
    audit.note(tx, actor, "remove", f"connector/{name}", {}, now)
    return True


FORGOTTEN = 24 * 3600.0  # seconds after which a connector that no process speaks of counts as gone


def retire(tx: Connection, node_name: str, configured: Collection[str], now: float) -> list[str]:
    """Give nothing more to connectors that are gone, and hand over what waits for them; returns their names.

    Gone is what this node ran and its configuration no longer names, and whatever no process has spoken of for a day.
    Their rows stay, with no schemes; one that comes back writes them anew.
    """
    row = connector_status.c
    unspoken = or_(row.node == node_name, row.seen_at < now - FORGOTTEN)
    found = tx.scalars(select(row.name).where(row.schemes != "[]", row.name.not_in(list(configured)), unspoken))
    gone = sorted(found)
    for name in gone:
        words = {"schemes": "[]", "able": False, "words": "no longer configured", "since": now}
        tx.execute(update(connector_status).where(row.name == name).values(**words))
    for name in gone:
        sweeping.hand_over(tx, name, now)
    return gone


# --- nodes ----------


def heartbeat(tx: Connection, name: str, started_at: float, now: float) -> None:
    """A process says that it lives."""
    put(tx, node, {"name": name}, {"started_at": started_at, "seen_at": now})
